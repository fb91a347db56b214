/**
 * Candidates that the policy did not draw: a teacher's best items, and the answer.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../catalog/History.ts"
import { type Scorer } from "../../evaluation/baseline/Scorer.ts"
import { ScorerError } from "../../evaluation/baseline/ScorerError.ts"
import { type TreeLogProbs } from "../../policy/PolicyModel.ts"
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"

/** A model whose best items join the candidates. */
export interface Teacher {
  readonly scorer: Scorer
  /** Allowed items taken after each history, M. */
  readonly count: number
}

/** Whether the answer must be in its group: never put there, in the place of the last candidate, or after it. */
export type Answer = "as-drawn" | "replace" | "add"

/** Histories that are scored together: [32, N] scores are held. */
const chunk = 32

/** Numbers of the `count` highest scores among allowed items, best first; ties go to the smaller number. */
const best = (scores: Float64Array, count: number, allowed: (item: number) => boolean): ReadonlyArray<number> => {
  const items: Array<number> = []
  for (const [item, score] of scores.entries()) {
    const full = items.length === count
    // An item with a score of 0 has no evidence for it.
    if (score === 0 || (full && score <= scores[items.at(-1)!]!) || !allowed(item)) continue
    let at = items.length
    while (at > 0 && scores[items[at - 1]!]! < score) at--
    items.splice(at, 0, item)
    if (full) items.pop()
  }
  return items
}

/** Finds the leaves of the teacher's best allowed items after each history, best first, each once. */
export const taught = Effect.fn("Candidates.taught")(function*(
  { count, scorer }: Teacher,
  histories: ReadonlyArray<History>,
  spaces: ReadonlyArray<LeafSpace.LeafSpace>
) {
  const leaves: Array<ReadonlyArray<number>> = []
  for (let at = 0; at < histories.length; at += chunk) {
    const { data, rows, width } = yield* scorer.scores(histories.slice(at, at + chunk))
    const bad = data.findIndex((score) => Number.isNaN(score) || score === Infinity)
    if (bad >= 0) {
      const detail = `item ${bad % width} has the score ${data[bad]} after history ${at + Math.floor(bad / width)}`
      return yield* new ScorerError({ scorer: scorer.name, detail })
    }
    for (let row = 0; row < rows; row++) {
      const space = spaces[at + row]!
      const scores = data.subarray(row * width, (row + 1) * width)
      const items = best(scores, count, (item) => scores[item]! > -Infinity && space.leaf(item) >= 0)
      leaves.push([...new Set(items.map((item) => space.leaf(item)))])
    }
  }
  return leaves
})

/** Candidates of one prompt: places among those drawn that are kept, and the leaves that follow them. */
export interface Joined {
  readonly kept: number
  readonly added: Int32Array
}

/** Joins what was drawn, the teacher's leaves that are not among it, and the answer where it is missing. */
export const join = (
  space: LeafSpace.LeafSpace,
  drawn: Int32Array,
  { answer, target, taught }: {
    readonly taught: ReadonlyArray<number>
    readonly answer: Answer
    readonly target: number
  }
): Joined => {
  const added = taught.filter((leaf) => !drawn.includes(leaf))
  const leaf = space.leaf(target)
  let kept = drawn.length
  if (answer !== "as-drawn" && leaf >= 0 && !drawn.includes(leaf) && !added.includes(leaf)) {
    if (answer === "replace") {
      if (added.length > 0) added.pop()
      else kept = Math.max(0, kept - 1)
    }
    added.push(leaf)
  }
  return { kept, added: Int32Array.from(added) }
}

/** Log-probability of every step to a leaf, read off the scores of a tree that holds its nodes. */
export const stepsIn = (
  space: LeafSpace.LeafSpace,
  { logProbs, nodes, starts }: TreeLogProbs,
  leaf: number
): Float32Array => {
  const { whole } = space
  const rowOf = new Map(Array.from(nodes, (node, row) => [node, row]))
  const row = (node: number) => logProbs.subarray(starts[rowOf.get(node)!], starts[rowOf.get(node)! + 1])
  const steps = LeafSpace.path(whole, leaf).map((node) => {
    const parent = whole.parent(node)
    return row(parent)[LeafSpace.childNodes(whole, parent).indexOf(node)]!
  })
  return Float32Array.from(whole.childCount(leaf) > 0 ? [...steps, row(leaf).at(-1)!] : steps)
}
