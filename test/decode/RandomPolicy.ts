/**
 * Random catalogues and a policy on them whose probabilities are drawn: every search can be compared with enumeration.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ParameterStore } from "../../src/optimizer/ParameterStore.ts"
import { type ChildScores, type Frontier, PolicyModel } from "../../src/policy/PolicyModel.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as Random from "../../src/statistics/Random.ts"

/** Items with SIDs of one to four codes: some begin others, some are shared, some subtrees are narrow. */
export const catalogue = (items: number, codes: number, seed: number): SidIndex.SidIndex => {
  const next = Random.uniform(seed, 0xca7)
  const sids = Array.from(
    { length: items },
    () => Int32Array.from({ length: 1 + Math.floor(next() * 4) }, () => Math.floor(next() ** 2 * codes))
  )
  return SidIndex.make(sids, [codes, codes, codes, codes], "keep")
}

/** Log-probability of each node among its siblings; the same for every history that ends with the same item. */
const drawn = (index: SidIndex.SidIndex, history: Int32Array, seed: number): Float32Array => {
  const { trie } = index
  const next = Random.uniform(seed, history.at(-1) ?? -1)
  const scores = new Float32Array(trie.nodes)
  for (let node = 0; node < trie.nodes; node++) {
    const children = Trie.childNodes(trie, node)
    const weights = children.map(() => Math.exp(4 * next()))
    const sum = weights.reduce((a, b) => a + b, 0)
    for (const [i, child] of children.entries()) scores[child] = Math.log(weights[i]! / sum)
  }
  return scores
}

/** Every leaf with the log-probability of its whole SID, best first. */
export const enumerate = (
  index: SidIndex.SidIndex,
  history: Int32Array,
  seed: number
): ReadonlyArray<{ readonly leaf: number; readonly logProb: number; readonly steps: ReadonlyArray<number> }> => {
  const { trie } = index
  const scores = drawn(index, history, seed)
  return [...new Set(index.leafOf)].map((leaf) => {
    const steps: Array<number> = []
    for (let node = leaf; node > 0; node = Trie.parent(trie, node)) steps.unshift(scores[node]!)
    return { leaf, logProb: steps.reduce((a, b) => a + b, 0), steps }
  }).toSorted((a, b) => b.logProb - a.logProb || a.leaf - b.leaf)
}

/** The policy; it throws when a frontier names a parent that is not its node's. */
export const layer = (index: SidIndex.SidIndex, seed: number): Layer.Layer<PolicyModel> =>
  Layer.mock(PolicyModel)({
    family: "random",
    index,
    parameters: { weights: Effect.succeed({}) } as unknown as ParameterStore,
    plan: () => [],
    open: (histories) => {
      const all = histories.map((history) => drawn(index, history, seed))
      let before: Frontier | undefined
      const at = (width: number): ChildScores => ({
        write: (row, node, target) => {
          const children = Trie.childNodes(index.trie, node)
          const scores = all[Math.floor(row / width)]!
          for (const [i, child] of children.entries()) target[i] = scores[child]!
          return children.length
        }
      })
      return Effect.succeed({
        prompts: histories.length,
        root: at(1),
        extend: (frontier) =>
          Effect.sync(() => {
            for (const [cell, node] of frontier.nodes.entries()) {
              if (node < 0) continue
              const prompt = Math.floor(cell / frontier.width)
              const parent = before === undefined
                ? 0
                : before.nodes[prompt * before.width + frontier.parents[cell]!]
              if (Trie.parent(index.trie, node) !== parent) throw new Error(`node ${node} has another parent`)
            }
            before = frontier
            return at(frontier.width)
          })
      })
    }
  })

/** A subset of numbers below `count`, each with the probability `share`. */
export const some = (count: number, share: number, seed: number): ReadonlyArray<number> => {
  const next = Random.uniform(seed, 0x50e)
  return Array.from({ length: count }, (_, i) => i).filter(() => next() < share)
}
