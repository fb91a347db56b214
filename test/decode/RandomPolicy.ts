/**
 * Random catalogues and a policy on them whose probabilities are drawn: every search can be compared with enumeration.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import { type NodeScores, PolicyModel, type Weights } from "../../src/policy/PolicyModel.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"

/** No weights: the policy has none. */
export const weights: Weights = { version: 0, feeds: {} }

/** Items with SIDs of one to four codes: some begin others, some are shared, some subtrees are narrow. */
export const catalogue = (items: number, codes: number, seed: number): SidIndex.SidIndex => {
  const next = Random.uniform(seed, 0xca7)
  const sids = Array.from(
    { length: items },
    () => Int32Array.from({ length: 1 + Math.floor(next() * 4) }, () => Math.floor(next() ** 2 * codes))
  )
  return SidIndex.make(sids, [codes, codes, codes, codes], "keep")
}

/** Log-probabilities of what follows each node: of each child among its siblings and the end, where there is one. */
interface Drawn {
  readonly step: Float32Array
  readonly end: Float32Array
}

/** The same for every history that ends with the same item. */
const drawn = (space: LeafSpace.LeafSpace, history: Int32Array, seed: number): Drawn => {
  const next = Random.uniform(seed, history.at(-1) ?? -1)
  const step = new Float32Array(space.nodes)
  const end = new Float32Array(space.nodes).fill(-Infinity)
  for (let node = 0; node < space.nodes; node++) {
    const children = LeafSpace.childNodes(space, node)
    const choices = Array.from(children).map(() => Math.exp(4 * next()))
    if (space.ends(node)) choices.push(children.length === 0 ? 1 : Math.exp(4 * next()))
    const sum = choices.reduce((a, b) => a + b, 0)
    for (const [i, child] of children.entries()) step[child] = Math.log(choices[i]! / sum)
    if (space.ends(node)) end[node] = Math.log(choices.at(-1)! / sum)
  }
  return { step, end }
}

/** Every leaf with the log-probability of its whole SID, best first. */
export const enumerate = (
  index: SidIndex.SidIndex,
  history: Int32Array,
  seed: number
): ReadonlyArray<{ readonly leaf: number; readonly logProb: number; readonly steps: ReadonlyArray<number> }> => {
  const space = LeafSpace.ofTrie(index.trie)
  const { end, step } = drawn(space, history, seed)
  return [...new Set(index.leafOf)].map((leaf) => {
    const steps = LeafSpace.path(space, leaf).map((node) => step[node]!)
    if (space.childCount(leaf) > 0) steps.push(end[leaf]!)
    return { leaf, logProb: steps.reduce((a, b) => a + b, 0), steps }
  }).toSorted((a, b) => b.logProb - a.logProb || a.leaf - b.leaf)
}

/** The policy; it throws when a node is scored before its parent. */
export const layer = (index: SidIndex.SidIndex, seed: number): Layer.Layer<PolicyModel> => {
  const whole = LeafSpace.ofTrie(index.trie)
  return Layer.mock(PolicyModel)({
    family: "random",
    parameters: {},
    scoreItems: Option.none(),
    open: (prompts) => {
      const all = prompts.map((prompt) => {
        if (prompt._tag === "Text") throw new Error("a text")
        return drawn(whole, prompt.history.items, seed)
      })
      const scored = prompts.map(() => new Set<number>())
      const scores: NodeScores = {
        children: (prompt, node, into) => {
          if (!scored[prompt]!.has(node)) throw new Error(`node ${node} was not scored`)
          const children = LeafSpace.childNodes(whole, node)
          for (const [i, child] of children.entries()) into[i] = all[prompt]!.step[child]!
          return children.length
        },
        end: (prompt, node) => all[prompt]!.end[node]!
      }
      return Effect.succeed({
        score: (nodes) =>
          Effect.sync(() => {
            for (const [prompt, list] of nodes.entries()) {
              for (const node of list) {
                const parent = whole.parent(node)
                if (node > 0 && !scored[prompt]!.has(parent)) throw new Error(`node ${node} before ${parent}`)
              }
              for (const node of list) scored[prompt]!.add(node)
            }
            return scores
          })
      })
    }
  })
}

/** The policy with its catalogue, a beam decoder and no weights. */
export const layers = (index: SidIndex.SidIndex, seed: number) =>
  Layer.mergeAll(
    layer(index, seed),
    LeafDecoder.layerBeams({ batch: 2 }),
    PublishedWeights.layerOf(Effect.succeed(weights))
  ).pipe(Layer.provideMerge(Sids.layer(index)))

/** A subset of numbers below `count`, each with the probability `share`. */
export const some = (count: number, share: number, seed: number): ReadonlyArray<number> => {
  const next = Random.uniform(seed, 0x50e)
  return Array.from({ length: count }, (_, i) => i).filter(() => next() < share)
}
