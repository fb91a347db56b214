/**
 * Candidates that are added to those drawn from the policy: a teacher's best items, and the answer.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../catalog/History.ts"
import { type Scorer } from "../../evaluation/baseline/Scorer.ts"
import { ScorerError } from "../../evaluation/baseline/ScorerError.ts"
import { type TreeLogProbs } from "../../policy/PolicyModel.ts"
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"

/** Scorer whose best items are added to the candidates. */
export interface Teacher {
  readonly scorer: Scorer
  /** Number of allowed items taken after each history. */
  readonly count: number
}

/**
 * Treatment of a group without its answer: left as drawn, its last candidate replaced by the answer, or the answer
 * added.
 */
export type Answer = "as-drawn" | "replace" | "add"

/** Histories that are scored together, which bounds the memory of the scores [32, N]. */
const chunk = 32

/** Returns the `count` allowed items with the highest scores, best first; ties go to the smaller item number. */
const best = (scores: Float64Array, count: number, allowed: (item: number) => boolean): ReadonlyArray<number> => {
  const items: Array<number> = []
  for (const [item, score] of scores.entries()) {
    const full = items.length === count
    // A score of 0 means that the scorer has no evidence for the item.
    if (score === 0 || (full && score <= scores[items.at(-1)!]!) || !allowed(item)) continue
    let at = items.length
    while (at > 0 && scores[items[at - 1]!]! < score) at--
    items.splice(at, 0, item)
    if (full) items.pop()
  }
  return items
}

/**
 * Returns the leaves of the teacher's best allowed items after each history, best first and distinct. Fails with
 * `ScorerError` for a score that is NaN or Infinity.
 */
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

/** Candidates of one prompt: the first `kept` of those drawn, then `added`. */
export interface Joined {
  /** Number of drawn candidates that are kept. */
  readonly kept: number
  /** Leaves that follow them. */
  readonly added: Int32Array
}

/** Joins the drawn leaves, the teacher's leaves that are not among them and, as `answer` states, a missing answer. */
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

/** Returns the log-probability of every step to a leaf, [steps], from the scores of a tree that contains its nodes. */
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
