/**
 * Beam search over the trie of SIDs: the prompt is computed once, only existing children are scored.
 *
 * A leaf that is reached early keeps its place by score among the longer ones. Ties are broken by trie order, so a
 * search is repeatable. With as many beams as there are prefixes at every level the search is exact.
 *
 * Every beam leads to an allowed leaf: a prefix whose leaves are all excluded is never kept. Beams are therefore lost at
 * no level, and of n allowed leaves a search with k beams returns min(n, k).
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { PolicyModel, type PolicyWeights } from "../policy/PolicyModel.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Trie from "../sid/trie/Trie.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** The most beams that a search is asked for; its memory grows with their square. */
export const most = 4096
/** Users for whom SIDs were decoded. */
export const users: Metric.Counter<number> = Metric.counter("sidereal.decode.users", {
  description: "Users for whom SIDs were decoded",
  incremental: true
})

/** What to search for. */
export interface BeamOptions {
  /** Prefixes kept per prompt and level, and SIDs returned where the catalogue has as many. */
  readonly beams: number
  /** Leaves that may not be written, per prompt: the SIDs of items that must not be recommended. */
  readonly excluded?: ReadonlyArray<ReadonlySet<number>> | undefined
  /** Log-probability below which no prefix is followed. @default -Infinity */
  readonly floor?: number | undefined
}

/** SIDs of one prompt, best first. */
export interface RankedLeaves {
  /** Trie nodes. */
  readonly leaves: Int32Array
  /** Log-probability of the whole SID. */
  readonly logProbs: Float32Array
  /** Log-probability of each code on the path. */
  readonly steps: ReadonlyArray<Float32Array>
}

interface Beam {
  readonly node: number
  readonly score: number
  /** Log-probability of the last code, and the beam without it. */
  readonly step: number
  readonly before: Beam | undefined
  /** Column in the last frontier that held this node's parent. */
  readonly parent: number
  readonly done: boolean
}

const stepsOf = (beam: Beam): Float32Array => {
  const steps: Array<number> = []
  for (let at: Beam | undefined = beam; at?.before !== undefined; at = at.before) steps.push(at.step)
  return Float32Array.from(steps.toReversed())
}

/** The best beams so far, sorted; equal scores stand in the order of the trie. */
class Best {
  readonly list: Array<Beam> = []
  readonly #limit: number
  constructor(limit: number) {
    this.#limit = limit
  }
  get full(): boolean {
    return this.list.length === this.#limit
  }
  get worst(): number {
    return this.list[this.list.length - 1]!.score
  }
  add(beam: Beam): void {
    let low = 0
    let high = this.list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.list[middle]!
      if (other.score > beam.score || (other.score === beam.score && other.node < beam.node)) low = middle + 1
      else high = middle
    }
    if (low === this.#limit) return
    this.list.splice(low, 0, beam)
    if (this.list.length > this.#limit) this.list.pop()
  }
}

const nothing: ReadonlySet<number> = new Set()

/** Nodes with children but no allowed leaf below them: followed, they would hold beams and end nowhere. */
const closedNodes = (trie: Trie.Trie, excluded: ReadonlySet<number>): ReadonlySet<number> => {
  const closed = new Set<number>()
  // Children of a node that still are, or lead to, an allowed leaf.
  const open = new Map<number, number>()
  for (const leaf of excluded) {
    let lost = Trie.childCount(trie, leaf) === 0 ? leaf : 0
    while (lost > 0) {
      const parent = Trie.parent(trie, lost)
      const left = (open.get(parent) ?? Trie.childCount(trie, parent)) - 1
      open.set(parent, left)
      if (left > 0) break
      closed.add(parent)
      lost = Trie.itemCount(trie, parent) === 0 || excluded.has(parent) ? parent : 0
    }
  }
  return closed
}

/** Searches for the best SIDs after each history. */
export const search: (
  histories: ReadonlyArray<Int32Array>,
  weights: PolicyWeights,
  options: BeamOptions
) => Effect.Effect<ReadonlyArray<RankedLeaves>, TensorError, PolicyModel> = Effect.fn("BeamSearch.search")(
  function*(histories, weights, { beams, excluded, floor = -Infinity }) {
    const policy = yield* PolicyModel
    const { trie } = policy.index
    const closed = excluded?.map((leaves) => closedNodes(trie, leaves))
    const session = yield* policy.open(histories, weights)
    const isLeaf = (node: number) => Trie.itemCount(trie, node) > 0
    const hasChildren = (node: number) => Trie.childCount(trie, node) > 0
    const target = new Float32Array(trie.widest)

    /** Adds the children of a beam to the best of its prompt; most of them fall below the worst kept and cost a look. */
    const expand = (
      best: Best,
      prompt: number,
      beam: Beam,
      column: number,
      write: (node: number, target: Float32Array) => number
    ): void => {
      if (best.full && beam.score < best.worst) return
      const leavesOut = excluded?.[prompt] ?? nothing
      const closedOnes = closed?.[prompt] ?? nothing
      const count = write(beam.node, target)
      const first = Trie.firstChild(trie, beam.node)
      for (let i = 0; i < count; i++) {
        const score = beam.score + target[i]!
        if (score < floor || (best.full && score < best.worst)) continue
        const node = first + i
        const next = { node, score, before: beam, step: target[i]!, parent: column }
        if (isLeaf(node) && !leavesOut.has(node)) best.add({ ...next, done: true })
        if (hasChildren(node) && !closedOnes.has(node)) best.add({ ...next, done: false })
      }
    }

    const root: Beam = { node: 0, score: 0, step: 0, before: undefined, parent: 0, done: false }
    let kept: ReadonlyArray<ReadonlyArray<Beam>> = histories.map((_, prompt) => {
      const best = new Best(beams)
      expand(best, prompt, root, 0, (node, into) => session.root.write(prompt, node, into))
      return best.list
    })
    while (kept.some((list) => list.some((beam) => !beam.done))) {
      const open = kept.map((list) => list.filter((beam) => !beam.done))
      const width = Math.max(...open.map((list) => list.length))
      const nodes = new Int32Array(histories.length * width).fill(-1)
      const parents = new Int32Array(histories.length * width)
      for (const [prompt, list] of open.entries()) {
        for (const [column, beam] of list.entries()) {
          nodes[prompt * width + column] = beam.node
          parents[prompt * width + column] = beam.parent
        }
      }
      const scores = yield* session.extend({ width, nodes, parents })
      kept = kept.map((list, prompt) => {
        const best = new Best(beams)
        for (const beam of list) if (beam.done) best.add(beam)
        for (const [column, beam] of open[prompt]!.entries()) {
          expand(best, prompt, beam, column, (node, into) => scores.write(prompt * width + column, node, into))
        }
        return best.list
      })
    }
    return kept.map((list) => ({
      leaves: Int32Array.from(list, (beam) => beam.node),
      logProbs: Float32Array.from(list, (beam) => beam.score),
      steps: list.map(stepsOf)
    }))
  },
  Effect.scoped
)

/** Prefixes kept per level by the second search of a stage; memory grows with their square. */
const widest = 1024
/** Log-probabilities of one SID differ by less than this between searches of different widths. */
const rounding = 1e-3

/**
 * Searches for the `count` best SIDs after one history, in stages whose sizes do not depend on `count`.
 *
 * The list for a count therefore begins the list for any greater one. The first stage finds the best `beams` (at
 * most 512), each later one the best 512 of the rest. A stage is exact while no more than 1,024 prefixes of a level are as probable as
 * its last SID: a beam search finds a floor that the best reach, a second one follows every prefix above it.
 */
export const searchBest: (
  history: Int32Array,
  weights: PolicyWeights,
  options: { readonly count: number; readonly beams: number; readonly excluded: ReadonlySet<number> }
) => Effect.Effect<RankedLeaves, TensorError, PolicyModel> = Effect.fn("BeamSearch.searchBest")(
  function*(history, weights, options) {
    const gone = new Set(options.excluded)
    const excluded = [gone]
    const stages: Array<RankedLeaves> = []
    for (let [missing, beams] = [options.count, Math.min(options.beams, widest / 2)]; missing > 0; beams = widest / 2) {
      let [found] = yield* search([history], weights, { beams, excluded })
      // Fewer than the beams are all there are, in their exact order.
      const last = found!.leaves.length < beams
      if (!last) {
        const floor = found!.logProbs[beams - 1]! - rounding
        const [wide] = yield* search([history], weights, { beams: widest, excluded, floor })
        if (wide!.leaves.length >= beams) found = wide
      }
      const stage = first(found!, Math.min(beams, missing))
      stages.push(stage)
      missing = last ? 0 : missing - beams
      for (const leaf of stage.leaves) gone.add(leaf)
    }
    yield* Metric.update(users, 1)
    return {
      leaves: Int32Array.from(stages.flatMap(({ leaves }) => [...leaves])),
      logProbs: Float32Array.from(stages.flatMap(({ logProbs }) => [...logProbs])),
      steps: stages.flatMap(({ steps }) => steps)
    }
  }
)

const first = ({ leaves, logProbs, steps }: RankedLeaves, count: number): RankedLeaves => ({
  leaves: leaves.slice(0, count),
  logProbs: logProbs.slice(0, count),
  steps: steps.slice(0, count)
})

/** Cells of the attention of a batch over its prompts and beams: 256 MB of float32. */
const widestAttention = 2 ** 26

/**
 * Searches for many histories in batches of similar length, at most `batch` and fewer where histories or beams are many;
 * results come back in the order given.
 *
 * `progress` is told how many histories are done.
 */
export const searchAll: (
  histories: ReadonlyArray<Int32Array>,
  weights: PolicyWeights,
  options: BeamOptions & { readonly batch: number; readonly progress?: ((done: number) => void) | undefined }
) => Effect.Effect<ReadonlyArray<RankedLeaves>, TensorError, PolicyModel> = Effect.fn("BeamSearch.searchAll")(
  function*(histories, weights, { batch, beams, excluded, progress }) {
    const { index } = yield* PolicyModel
    const width = Math.min(beams, index.trie.nodes)
    const sizeOf = (history: number) => 1 + (histories[history]!.length + width) * index.levels
    const order = histories.map((_, i) => i).toSorted((a, b) => histories[a]!.length - histories[b]!.length || a - b)
    const results: Array<RankedLeaves> = []
    for (let at = 0, size = batch; at < order.length; at += size) {
      // The longest history of a batch stands last.
      size = Math.min(batch, order.length - at)
      while (size > 1 && size * sizeOf(order[at + size - 1]!) ** 2 > widestAttention) size--
      const members = order.slice(at, at + size)
      const found = yield* search(members.map((i) => histories[i]!), weights, {
        beams,
        excluded: excluded === undefined ? undefined : members.map((i) => excluded[i]!)
      })
      for (const [i, member] of members.entries()) results[member] = found[i]!
      yield* Metric.update(users, members.length)
      progress?.(at + members.length)
    }
    return results
  }
)

/** Leaves whose items are all in the history: what must not be recommended again. */
export const leavesOf = (index: SidIndex, history: Int32Array): ReadonlySet<number> => {
  const seen = new Set(history)
  return new Set(
    Array.from(history, (item) => index.leafOf[item]!).filter((leaf) =>
      Trie.items(index.trie, leaf).every((item) => seen.has(item))
    )
  )
}
