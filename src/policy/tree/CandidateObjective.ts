/**
 * Objectives over candidate trees as part of a tensor program: inputs, loss, and the feeds of a batch.
 */
import * as tf from "@tensorflow/tfjs"
import * as Objective from "../../objective/Objective.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { float32, hostFloat32, hostInt32, type HostTensor, int32, type TensorSpec } from "../../tensor/TensorProgram.ts"
import { type CandidateGroup, type ScoredGroup } from "../PolicyModel.ts"
import { type CandidateTrees } from "./CandidateTrees.ts"

/** Tensors by name. */
type Inputs = Readonly<Record<string, tf.Tensor>>

/** Returns the input name of an objective's scalar. */
const scalarName = (name: string) => `scalar.${name}`

const terms = "term."

/** Returns the terms of an objective from the outputs of its program. */
export const termsOf = <A>(outputs: Readonly<Record<string, A>>): ReadonlyArray<readonly [name: string, term: A]> =>
  Object.entries(outputs).flatMap(([key, output]) =>
    key.startsWith(terms) ? [[key.slice(terms.length), output] as const] : []
  )

/** Gathers entries of a flat table by indices of any shape. */
export const gather = (table: tf.Tensor, indices: tf.Tensor): tf.Tensor =>
  tf.gather(table, indices.reshape([-1])).reshape(indices.shape)

/** Input of `edges`: the flat index of each edge of each inner node into the table of log-probabilities. */
export const edgesInput: TensorSpec = int32("R", "K")

const edgesOf = (trees: CandidateTrees, bases: Int32Array, nodes: ReadonlyArray<number>): HostTensor => {
  const { edges: columns, starts, widest } = trees
  const indices = new Int32Array(nodes.length * widest)
  for (const [row, r] of nodes.entries()) {
    const base = bases[r]!
    indices.fill(base, row * widest, (row + 1) * widest)
    for (let e = starts[r]!; e < starts[r + 1]!; e++) indices[row * widest + e - starts[r]!] = base + columns[e]!
  }
  return hostInt32(indices, nodes.length, widest)
}

/**
 * Builds the feed of the edges; `bases` are the offsets of each inner node's columns in the table of log-probabilities,
 * [R].
 */
export const edges = (trees: CandidateTrees, bases: Int32Array): HostTensor =>
  edgesOf(trees, bases, Array.from(trees.nodes.keys()))

/**
 * Rows of the inner nodes in the tables of an objective, [M, K]. Nodes with a single edge share one row: their step has
 * the probability 1 under any weights, so that each contributes 0 to an entropy or a divergence.
 */
const rowsOf = ({ nodes: { length: count }, starts }: CandidateTrees) => {
  const rows = new Int32Array(count)
  /** An inner node of each row. */
  const nodes: Array<number> = []
  let shared = -1
  for (let r = 0; r < count; r++) {
    const single = starts[r + 1]! - starts[r]! === 1
    if (single && shared >= 0) rows[r] = shared
    else {
      rows[r] = nodes.push(r) - 1
      if (single) shared = rows[r]!
    }
  }
  return { rows, nodes }
}

/** Returns the inputs of an objective over C candidates in P groups, with M rows of K edges. */
export const inputs = (objective: Objective.GroupObjective): Record<string, TensorSpec> => ({
  /** Flat index of each edge of each row of nodes into the table of log-probabilities. */
  edges: int32("M", "K"),
  /** Flat index of each step's edge into the table of log-probabilities. */
  steps: int32("C", "L"),
  stepMask: float32("C", "L"),
  behaviour: float32("C", "L"),
  reference: float32("C", "L"),
  stepNode: int32("C", "L"),
  advantages: float32("C"),
  answer: float32("C"),
  members: int32("P", "G"),
  memberMask: float32("P", "G"),
  totalCandidates: float32(),
  totalSteps: float32(),
  totalGroups: float32(),
  nodeReference: float32("M", "K"),
  edgeMask: float32("M", "K"),
  visits: float32("M"),
  ...Object.fromEntries(Object.keys(objective.scalars).map((name) => [scalarName(name), float32()]))
})

/** Computes the loss of an objective and its terms from a flat table of log-probabilities. */
export const evaluate = (objective: Objective.GroupObjective, table: tf.Tensor, inputs: Inputs) => {
  const computed = Objective.evaluate(objective, {
    logProbs: gather(table, inputs["steps"]!).mul(inputs["stepMask"]!),
    behaviour: inputs["behaviour"]!,
    reference: inputs["reference"]!,
    mask: inputs["stepMask"]!,
    node: inputs["stepNode"]!,
    advantages: inputs["advantages"]!,
    answer: inputs["answer"]!,
    members: { candidates: inputs["members"]!, mask: inputs["memberMask"]! },
    total: {
      candidates: inputs["totalCandidates"]!,
      steps: inputs["totalSteps"]!,
      groups: inputs["totalGroups"]!
    },
    nodes: {
      logProbs: gather(table, inputs["edges"]!).mul(inputs["edgeMask"]!),
      reference: inputs["nodeReference"]!,
      legal: inputs["edgeMask"]!,
      visits: inputs["visits"]!
    }
  }, Object.fromEntries(Object.keys(objective.scalars).map((name) => [name, inputs[scalarName(name)]!])))
  return {
    loss: computed.loss,
    auxiliary: Object.fromEntries(Object.entries(computed.terms).map(([name, term]) => [`${terms}${name}`, term]))
  }
}

/** Returns the number of candidates of all groups. */
export const candidatesOf = (groups: ReadonlyArray<CandidateGroup>): number =>
  groups.reduce((sum, { leaves }) => sum + leaves.length, 0)

/** Counts of a whole batch, by which an objective divides the sums of a part. */
export interface Totals {
  readonly candidates: number
  readonly steps: number
  readonly groups: number
}

/** Counts the candidates, steps and groups of a batch. */
export const totalsOf = (space: LeafSpace, groups: ReadonlyArray<ScoredGroup>): Totals => ({
  candidates: candidatesOf(groups),
  steps: groups.reduce(
    (sum, { forced = 0, leaves }) =>
      leaves.reduce((steps, leaf) => steps + space.level(leaf) - forced + (space.childCount(leaf) > 0 ? 1 : 0), sum),
    0
  ),
  groups: groups.length
})

/**
 * Builds the feeds of an objective. `bases` are the offsets of each inner node's columns in the table
 * of log-probabilities, [R]; `totals` are the counts of the whole batch of which the groups are a part.
 */
export const feeds = (
  groups: ReadonlyArray<ScoredGroup>,
  trees: CandidateTrees,
  bases: Int32Array,
  objective: Objective.GroupObjective,
  totals: Totals
): Record<string, HostTensor> => {
  const { widest } = trees
  const { nodes, rows } = rowsOf(trees)
  const count = nodes.length
  const candidates = candidatesOf(groups)
  const longestPath = Math.max(1, ...trees.paths.flatMap((paths) => paths.map((path) => path.length)))
  const table = () => new Float32Array(candidates * longestPath)
  const [stepMask, behaviour, reference] = [table(), table(), table()]
  const [steps, stepNode] = [new Int32Array(candidates * longestPath), new Int32Array(candidates * longestPath)]
  const [advantages, answer] = [new Float32Array(candidates), new Float32Array(candidates)]
  const largest = Math.max(...groups.map(({ leaves }) => leaves.length))
  const members = new Int32Array(groups.length * largest)
  const memberMask = new Float32Array(groups.length * largest)
  const [nodeReference, edgeMask] = [new Float32Array(count * widest), new Float32Array(count * widest)]
  const visits = new Float32Array(count)
  /** Inner node of each edge, and its log-probability under the reference. */
  const nodeOf = new Int32Array(trees.edges.length)
  const edgeReference = new Float32Array(trees.edges.length)
  for (let r = 0; r < rows.length; r++) nodeOf.fill(r, trees.starts[r]!, trees.starts[r + 1]!)
  let c = 0
  for (const [g, scored] of groups.entries()) {
    if (scored.reference !== undefined) {
      const { logProbs, starts } = scored.reference
      const known = new Map(Array.from(scored.reference.nodes, (node, i) => [node, starts[i]!]))
      for (let r = trees.first[g]!; r < trees.first[g + 1]!; r++) {
        const [from, start] = [known.get(trees.nodes[r]!)!, trees.starts[r]!]
        edgeReference.set(logProbs.subarray(from, from + trees.starts[r + 1]! - start), start)
      }
    }
    for (const [i, path] of trees.paths[g]!.entries()) {
      advantages[c] = scored.advantages[i]!
      answer[c] = scored.answer?.[i] === true ? 1 : 0
      members[g * largest + i] = c
      memberMask[g * largest + i] = 1
      for (const [l, edge] of path.entries()) {
        const [at, r] = [c * longestPath + l, nodeOf[edge]!]
        steps[at] = bases[r]! + trees.edges[edge]!
        stepNode[at] = rows[r]!
        if (l < (scored.forced ?? 0)) continue
        stepMask[at] = 1
        behaviour[at] = scored.behaviour?.[i]![l] ?? 0
        reference[at] = edgeReference[edge]!
        visits[rows[r]!]!++
      }
      c++
    }
  }
  for (const [row, r] of nodes.entries()) {
    const [from, to] = [trees.starts[r]!, trees.starts[r + 1]!]
    if (to - from > 1) nodeReference.set(edgeReference.subarray(from, to), row * widest)
    edgeMask.fill(1, row * widest, row * widest + to - from)
  }
  return {
    edges: edgesOf(trees, bases, nodes),
    steps: hostInt32(steps, candidates, longestPath),
    stepMask: hostFloat32(stepMask, candidates, longestPath),
    behaviour: hostFloat32(behaviour, candidates, longestPath),
    reference: hostFloat32(reference, candidates, longestPath),
    advantages: hostFloat32(advantages, candidates),
    stepNode: hostInt32(stepNode, candidates, longestPath),
    answer: hostFloat32(answer, candidates),
    members: hostInt32(members, groups.length, largest),
    memberMask: hostFloat32(memberMask, groups.length, largest),
    totalCandidates: hostFloat32(Float32Array.of(totals.candidates)),
    totalSteps: hostFloat32(Float32Array.of(totals.steps)),
    totalGroups: hostFloat32(Float32Array.of(totals.groups)),
    nodeReference: hostFloat32(nodeReference, count, widest),
    edgeMask: hostFloat32(edgeMask, count, widest),
    visits: hostFloat32(visits, count),
    ...Object.fromEntries(
      Object.entries(objective.scalars).map(([name, value]) => [
        scalarName(name),
        hostFloat32(Float32Array.of(value))
      ])
    )
  }
}
