/**
 * Policy family without a network: a table of one logit for every pair of last item and step.
 *
 * It is the smallest policy that supervised training, beams, GRPO and evaluation run on, for tests that do not depend
 * on the policy. It runs no tensor program; only the loss of an objective and its gradient are evaluated, on tfjs
 * tensors of this process.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Objective from "../objective/Objective.ts"
import { type Feeds, type ParameterStore, type Weights } from "../optimizer/ParameterStore.ts"
import { ofTensor, PolicyError, UnscoredParent, Unsupported } from "../policy/PolicyError.ts"
import {
  type CandidateGroup,
  checkNeeds,
  type Gradient,
  PolicyModel,
  type ScoredGroup,
  type SupervisedBatch,
  type TreeLogProbs
} from "../policy/PolicyModel.ts"
import { type Prompt } from "../policy/Prompt.ts"
import { Sids } from "../sid/Sids.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import * as Random from "../statistics/Random.ts"
import * as Autodiff from "../tensor/Autodiff.ts"
import { hostFloat32, hostInt32, type HostTensor } from "../tensor/TensorProgram.ts"
import { type Executable, type TensorHandle } from "../tensor/TensorRuntime.ts"

const family = "counting"
const table = "table"

const handle = (name: string, tensor: HostTensor): TensorHandle => ({
  name,
  shape: tensor.shape,
  read: Effect.succeed(tensor),
  released: () => false
})

/** tfjs prints an advertisement on first use, except under its own test flag. */
const quietly = () => {
  const flag = tf.env().getBool("IS_TEST")
  tf.env().set("IS_TEST", true)
  tf.scalar(0).dispose()
  tf.env().set("IS_TEST", flag)
}

/** A step: the id of the child it leads to, or the number of nodes plus the id of the node whose SID ends. */
type Step = number

/** Returns the steps after a node: its children in order, then its end where its SID is a prefix of another SID. */
const stepsAfter = (space: LeafSpace.LeafSpace, node: number): ReadonlyArray<Step> => {
  const children = Array.from(LeafSpace.childNodes(space, node))
  return children.length > 0 && space.ends(node) ? [...children, space.nodes + node] : children
}

const stepsTo = (space: LeafSpace.LeafSpace, leaf: number): ReadonlyArray<Step> => {
  const path = LeafSpace.path(space, leaf)
  return space.childCount(leaf) > 0 ? [...path, space.nodes + leaf] : path
}

/** Returns the node that a step starts from. */
const leftBy = (space: LeafSpace.LeafSpace, step: Step): number =>
  step < space.nodes ? space.parent(step) : step - space.nodes

const make = (seed: number) =>
  Effect.gen(function*() {
    quietly()
    const { index, space } = yield* Sids
    const width = 2 * space.nodes
    const rows = index.sids.length + 1

    const lastOf = (prompt: Prompt): Effect.Effect<number, PolicyError> =>
      prompt._tag === "History" ? Effect.succeed(1 + (prompt.history.items.at(-1) ?? -1)) : Effect.fail(
        new PolicyError({ reason: new Unsupported({ family, what: "a text prompt", remedy: "pass a history" }) })
      )

    /** Returns the log-probabilities of all steps after a node. */
    const logProbs = (values: Float32Array, last: number, node: number, within = space): ReadonlyArray<number> => {
      const logits = stepsAfter(within, node).map((step) => values[last * width + step]!)
      const most = Math.max(...logits)
      const logSum = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
      return logits.map((logit) => logit - logSum)
    }

    /** Adds the gradient of the log-probability of a step, times a factor. */
    const push = (values: Float32Array, into: Float32Array, last: number, step: Step, factor: number) => {
      const node = leftBy(space, step)
      const all = logProbs(values, last, node)
      for (const [i, other] of stepsAfter(space, node).entries()) {
        into[last * width + other]! += factor * ((other === step ? 1 : 0) - Math.exp(all[i]!))
      }
    }

    const valuesOf = (feeds: Feeds) => (feeds[table] as HostTensor).data as Float32Array

    /** Wraps a plain function as a compiled program. */
    const executable = (
      name: string,
      run: (feeds: Feeds, gradient: Float32Array) => Readonly<Record<string, number>>
    ): Executable<string, string> => ({
      name,
      nodes: 0,
      compileMillis: 0,
      run: (feeds, into = {}) =>
        Effect.sync(() => {
          const gradient = (into[table] ?? new Float32Array(rows * width)).fill(0)
          const terms = run(feeds, gradient)
          return Object.fromEntries(
            [...Object.entries(terms), [table, gradient] as const].map(([key, value]) => [
              key,
              handle(
                key,
                typeof value === "number" ? hostFloat32(Float32Array.of(value)) : hostFloat32(value, rows, width)
              )
            ])
          )
        })
    })

    const accumulate = Effect.fnUntraced(
      function*(
        store: ParameterStore,
        parts: ReadonlyArray<
          { readonly program: Executable<string, string>; readonly feeds: Feeds; readonly share: number }
        >
      ) {
        const sums: Record<string, number> = {}
        const outputs = yield* store.differentiate(parts[0]!.program, parts)
        for (const [i, output] of outputs.entries()) {
          for (const [name, term] of Object.entries(output)) {
            if (name !== table) sums[name] = (sums[name] ?? 0) + parts[i]!.share * (yield* term.read).data[0]!
          }
        }
        return { loss: 0, ...sums }
      },
      Effect.scoped,
      Effect.mapError(ofTensor)
    )

    const likelihood = executable("counting.supervised", (feeds, gradient) => {
      const [lasts, steps] = ["lasts", "steps"].map((name) => (feeds[name] as HostTensor).data)
      const values = valuesOf(feeds)
      let loss = 0
      for (const [i, step] of steps!.entries()) {
        const node = leftBy(space, step)
        loss -= logProbs(values, lasts![i]!, node)[stepsAfter(space, node).indexOf(step)]! / steps!.length
        push(values, gradient, lasts![i]!, step, -1 / steps!.length)
      }
      return { loss }
    })

    const score = Effect.fnUntraced(function*(groups: ReadonlyArray<CandidateGroup>, weights: Weights) {
      const values = valuesOf(weights.feeds)
      return yield* Effect.forEach(groups, ({ leaves, prompt }) =>
        Effect.map(lastOf(prompt), (last): TreeLogProbs => {
          const nodes = new Set([0])
          for (const leaf of leaves) for (const step of stepsTo(space, leaf)) nodes.add(leftBy(space, step))
          const rows = Array.from(nodes, (node) => logProbs(values, last, node))
          const starts = [0]
          for (const row of rows) starts.push(starts.at(-1)! + row.length)
          return {
            nodes: Int32Array.from(nodes),
            starts: Int32Array.from(starts),
            logProbs: Float32Array.from(rows.flat())
          }
        }))
    })

    /** Computes the loss of an objective over candidates, and its derivative by the log-probability of every step. */
    const evaluate = (
      objective: Objective.GroupObjective,
      groups: ReadonlyArray<ScoredGroup>,
      lasts: ReadonlyArray<number>,
      values: Float32Array
    ) => {
      const candidates = groups.flatMap((group, g) =>
        Array.from(group.leaves, (leaf, c) => ({ group, g, c, steps: stepsTo(space, leaf) }))
      )
      const most = Math.max(...candidates.map(({ steps }) => steps.length))
      const grid = (value: (candidate: (typeof candidates)[number], l: number) => number) =>
        tf.tensor2d(
          candidates.map((one) => Array.from({ length: most }, (_, l) => l < one.steps.length ? value(one, l) : 0))
        )
      const rows = groups.flatMap(({ leaves, reference }, g) => {
        const nodes = Array.from(
          new Set([0, ...Array.from(leaves).flatMap((leaf) => stepsTo(space, leaf).map((step) => leftBy(space, step)))])
        )
        return nodes.map((node) => {
          const r = reference?.nodes.indexOf(node) ?? -1
          return { g, node, from: reference?.starts[r] ?? 0, size: stepsAfter(space, node).length }
        })
      })
      const widest = Math.max(...rows.map(({ size }) => size))
      const rowOf = (g: number, step: Step) => rows.findIndex((row) => row.g === g && row.node === leftBy(space, step))
      const largest = Math.max(...groups.map(({ leaves }) => leaves.length))
      const members = (value: (candidate: number) => number) =>
        groups.map(({ leaves }, g) =>
          Array.from({ length: largest }, (_, i) =>
            i < leaves.length ? value(candidates.findIndex((one) => one.g === g && one.c === i)) : 0)
        )
      const edges = (value: (row: (typeof rows)[number], e: number) => number) =>
        tf.tensor2d(
          rows.map((row) =>
            Array.from({ length: widest }, (_, e) => e < row.size ? value(row, e) : 0)
          )
        )
      const at = (row: (typeof rows)[number], step: Step) => stepsAfter(space, row.node).indexOf(step)
      const computed = { terms: { loss: 0 }, bySteps: new Float32Array(0), byEdges: new Float32Array(0) }
      tf.tidy(() => {
        const auxiliary: Record<string, number> = {}
        const { gradients, value } = Autodiff.valueAndGradients(({ nodeLogProbs, logProbs }) => {
          const { loss, terms } = Objective.evaluate(objective, {
            logProbs: logProbs!,
            behaviour: grid(({ c, group }, l) => group.behaviour?.[c]![l] ?? 0),
            reference: grid(({ g, steps }, l) => {
              const row = rows[rowOf(g, steps[l]!)]!
              return groups[g]!.reference?.logProbs[row.from + at(row, steps[l]!)] ?? 0
            }),
            mask: grid(({ group: { forced = 0 } }, l) => l < forced ? 0 : 1),
            node: grid(({ g, steps }, l) => rowOf(g, steps[l]!)).cast("int32"),
            advantages: tf.tensor1d(candidates.map(({ c, group }) => group.advantages[c]!)),
            answer: tf.tensor1d(candidates.map(({ c, group }) => group.answer?.[c] === true ? 1 : 0)),
            members: {
              candidates: tf.tensor2d(members((c) => c), undefined, "int32"),
              mask: tf.tensor2d(members(() => 1))
            },
            total: {
              candidates: tf.scalar(candidates.length),
              steps: tf.scalar(
                candidates.reduce((sum, { group: { forced = 0 }, steps }) => sum + steps.length - forced, 0)
              ),
              groups: tf.scalar(groups.length)
            },
            nodes: {
              logProbs: nodeLogProbs!,
              reference: edges(({ from, g }, e) => groups[g]!.reference?.logProbs[from + e] ?? 0),
              legal: edges(() => 1),
              visits: tf.tensor1d(rows.map((row) =>
                candidates.filter(({ g, group: { forced = 0 }, steps }) =>
                  g === row.g && steps.slice(forced).some((step) => leftBy(space, step) === row.node)
                )
                  .length
              ))
            }
          }, Object.fromEntries(Object.entries(objective.scalars).map(([name, scalar]) => [name, tf.scalar(scalar)])))
          for (const [name, term] of Object.entries(terms)) {
            auxiliary[name] = term.dataSync()[0]!
          }
          // A loss that uses only one of the two kinds of log-probabilities has no gradient by the other.
          return loss.add(nodeLogProbs!.sum().mul(0)).add(logProbs!.sum().mul(0))
        }, {
          logProbs: grid(({ g, steps }, l) => {
            const node = leftBy(space, steps[l]!)
            return logProbs(values, lasts[g]!, node)[stepsAfter(space, node).indexOf(steps[l]!)]!
          }),
          nodeLogProbs: edges(({ g, node }, e) =>
            logProbs(values, lasts[g]!, node)[e]!
          )
        })
        computed.terms = { loss: value.dataSync()[0]!, ...auxiliary }
        computed.bySteps = gradients.logProbs.dataSync() as Float32Array<ArrayBuffer>
        computed.byEdges = gradients.nodeLogProbs.dataSync() as Float32Array<ArrayBuffer>
      })
      return { ...computed, candidates, rows, most, widest }
    }

    return PolicyModel.of({
      family,
      get parameters() {
        const next = Random.normal(seed, 0xc0)
        return {
          [table]: {
            shape: [rows, width],
            initialize: (values: Float32Array) => values.forEach((_, i) => (values[i] = 0.1 * next()))
          }
        }
      },
      positions: () => 0,
      open: Effect.fnUntraced(function*(prompts, { space: given, weights }) {
        const values = valuesOf(weights.feeds)
        const lasts = yield* Effect.forEach(prompts, lastOf)
        const spaces = Array.isArray(given) ? given as ReadonlyArray<LeafSpace.LeafSpace> : prompts.map(() => space)
        const scored = prompts.map(() => new Set<number>())
        return {
          score: Effect.fnUntraced(function*(nodes: ReadonlyArray<Int32Array>) {
            for (const [prompt, list] of nodes.entries()) {
              for (const node of list) {
                const parent = spaces[prompt]!.parent(node)
                if (node > 0 && !scored[prompt]!.has(parent)) {
                  return yield* new PolicyError({ reason: new UnscoredParent({ prompt, node, parent }) })
                }
              }
              for (const node of list) scored[prompt]!.add(node)
            }
            return {
              children: (prompt, node, into) => {
                const count = spaces[prompt]!.childCount(node)
                into.set(logProbs(values, lasts[prompt]!, node, spaces[prompt]).slice(0, count))
                return count
              },
              end: (prompt, node) => {
                const own = spaces[prompt]!
                if (!own.ends(node)) return -Infinity
                return own.childCount(node) === 0 ? 0 : logProbs(values, lasts[prompt]!, node, own).at(-1)!
              }
            }
          })
        }
      }),
      score,
      scoreItems: Option.none(),
      plan: Effect.fnUntraced(function*(examples, seed, epoch) {
        const batches: Array<SupervisedBatch> = []
        const order = Random.permutation(examples.length, seed, epoch)
        for (let at = 0; at < order.length; at += 32) {
          const [lasts, steps]: [Array<number>, Array<number>] = [[], []]
          for (const which of order.subarray(at, at + 32)) {
            const { prompt } = examples[which]!
            yield* lastOf(prompt)
            const items = prompt._tag === "History" ? prompt.history.items : []
            for (const [i, item] of items.entries()) {
              const own = stepsTo(space, space.leaf(item))
              steps.push(...own)
              lasts.push(...own.map(() => 1 + (items[i - 1] ?? -1)))
            }
          }
          if (steps.length === 0) continue
          batches.push({
            program: likelihood.name,
            targets: steps.length,
            feeds: {
              lasts: hostInt32(Int32Array.from(lasts), lasts.length),
              steps: hostInt32(Int32Array.from(steps), steps.length)
            }
          })
        }
        return batches
      }),
      supervised: Effect.succeed<Gradient<SupervisedBatch>>({
        accumulate: (store, parts) =>
          accumulate(store, parts.map(({ batch, share = 1 }) => ({ program: likelihood, feeds: batch.feeds, share })))
      }),
      groupGradient: (objective) =>
        Effect.succeed<Gradient<ReadonlyArray<ScoredGroup>>>({
          accumulate: Effect.fnUntraced(function*(store, parts) {
            yield* Effect.forEach(parts, ({ batch }) => checkNeeds(objective, batch), { discard: true })
            let part = 0
            const lasts = yield* Effect.forEach(
              parts,
              ({ batch }) => Effect.forEach(batch, ({ prompt }) => lastOf(prompt))
            )
            const program = executable(`counting.${objective.name}`, (feeds, gradient) => {
              const values = valuesOf(feeds)
              const own = lasts[part]!
              const { byEdges, bySteps, candidates, most, rows, terms, widest } = evaluate(
                objective,
                parts[part++]!.batch,
                own,
                values
              )
              for (const [c, { g, steps }] of candidates.entries()) {
                for (const [l, step] of steps.entries()) push(values, gradient, own[g]!, step, bySteps[c * most + l]!)
              }
              for (const [r, { g, node }] of rows.entries()) {
                for (const [e, step] of stepsAfter(space, node).entries()) {
                  push(values, gradient, own[g]!, step, byEdges[r * widest + e]!)
                }
              }
              return terms
            })
            return yield* accumulate(store, parts.map(({ share = 1 }) => ({ program, feeds: {}, share })))
          })
        })
    })
  })

/** Builds the policy for the catalogue of the context, its table drawn near 0 from `seed`, 1 by default. */
export const layer = (seed = 1): Layer.Layer<PolicyModel, never, Sids> => Layer.effect(PolicyModel, make(seed))
