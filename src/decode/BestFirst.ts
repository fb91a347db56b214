/**
 * Best-first search over the trie of SIDs: exact for filtered spaces too, and with a prior, whose gains are never
 * positive.
 *
 * Every prefix has a bound that no leaf below it exceeds. A round expands the prefixes among the k best of all prefixes
 * and leaves seen so far. The others are kept and none is pruned, so that a prefix whose leaves are excluded takes no
 * place from another. When the k best are all leaves, they are the best leaves of the space. Ties go to the lower trie
 * node.
 */
import * as Effect from "effect/Effect"
import { PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import { type RankedLeaves, type Search } from "./BeamSearch.ts"
import { DecoderError, ofPolicy, Unsettled } from "./DecoderError.ts"
import { type LogMass } from "./Prior.ts"

/** Random values that replace log-probabilities in the search; no value below a node may exceed the node's own. */
export interface Perturbation {
  /** Value of the root. */
  readonly root: number
  /**
   * Returns the values of a node's children (and end) from the node's value and the log-probabilities of their
   * prefixes.
   */
  readonly below: (value: number, logProbs: Float64Array) => Float64Array
}

/** Request for one list of leaves. */
export interface Query {
  /** Length of the list, k; shorter if the space has fewer leaves. */
  readonly count: number
  /** Perturbation of the bounds. @default none: the bound is the log-probability */
  readonly perturbation?: Perturbation | undefined
  /**
   * Divisor of the log-probabilities of a node's children and end, which are then normalised again; above 0.
   * @default 1
   */
  readonly temperature?: number | undefined
}

/** Search for several lists after one prompt; each node is computed once for all of them. */
export interface Queries extends Search {
  readonly queries: ReadonlyArray<Query>
}

/** Path from the root to a prefix or, if it is done, to a leaf. */
export interface Path {
  readonly node: number
  readonly done: boolean
  /** Sum of `value` and `prior`, by which paths are ordered. */
  readonly bound: number
  /** The policy's natural log-probability of the whole prefix, at temperature 1. */
  readonly logProb: number
  /** The policy's natural log-probability of its last step, at temperature 1. */
  readonly step: number
  /** Log-probability of the prefix at the temperature of the query. */
  readonly weight: number
  /** Perturbed value of the prefix; `weight` without a perturbation. */
  readonly value: number
  /** Sum of the prior's gains along the path. */
  readonly prior: number
  readonly before: Path | undefined
}

/** Result of a query. */
export interface Found {
  /** Leaves in decreasing order of their bounds. */
  readonly leaves: ReadonlyArray<Path>
  /** The policy's probability of all allowed prefixes and leaves that were seen and are not listed, 0 to 1. */
  readonly tail: number
}

/** Continuations of a node (its children, and its end if a SID ends there) with their scores. */
interface Follow {
  /** The policy's log-probabilities of all children, then of the end if there is one. */
  readonly steps: Float32Array
  /** Places in `steps` of the allowed continuations; the next three fields have one entry for each of them. */
  readonly open: Int32Array
  readonly nodes: Int32Array
  readonly done: Uint8Array
  readonly gains: Float64Array
}

/** Cursor over the continuations of one expanded prefix of a query, best first. */
interface Cursor {
  readonly before: Path
  readonly follow: Follow
  readonly weights: Float64Array
  readonly values: Float64Array
  readonly bounds: Float64Array
  /** Places among the allowed continuations, best bound first. */
  readonly order: Int32Array
  at: number
}

interface Ranked {
  readonly bound: number
  readonly done: boolean
  readonly node: number
}

/** Compares by bound; a prefix comes before a leaf of the same bound, because a leaf below it may have a lower node. */
const compare = (a: Ranked, b: Ranked): number =>
  a.bound !== b.bound ? (a.bound > b.bound ? -1 : 1) : a.done !== b.done ? (a.done ? 1 : -1) : a.node - b.node

const headOf = ({ at, bounds, follow, order }: Cursor): Ranked => {
  const place = order[at]!
  return { bound: bounds[place]!, done: follow.done[place] === 1, node: follow.nodes[place]! }
}

/** Takes the best path of a cursor. */
const take = (cursor: Cursor): Path => {
  const { before, bounds, follow, order, values, weights } = cursor
  const place = order[cursor.at++]!
  const i = follow.open[place]!
  return {
    node: follow.nodes[place]!,
    done: follow.done[place] === 1,
    bound: bounds[place]!,
    logProb: before.logProb + follow.steps[i]!,
    step: follow.steps[i]!,
    weight: weights[i]!,
    value: values[i]!,
    prior: before.prior + follow.gains[place]!,
    before
  }
}

/** Inserts into a list that is sorted by `compare`. */
const insert = <A>(list: Array<A>, one: A, order: (a: A, b: A) => number): void => {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (order(list[middle]!, one) <= 0) low = middle + 1
    else high = middle
  }
  list.splice(low, 0, one)
}

/** Prefixes and leaves that one query has seen. */
class Frontier {
  /** Cursors in increasing order of their heads: the best is last. */
  readonly #cursors: Array<Cursor> = []
  readonly #leaves: Array<Path> = []
  readonly #query: Query
  pending: ReadonlyArray<Path>
  constructor(query: Query, empty: boolean) {
    this.#query = query
    const value = query.perturbation?.root ?? 0
    const root = { node: 0, done: false, bound: value, logProb: 0, step: 0, weight: 0, value, prior: 0 }
    this.pending = empty ? [] : [{ ...root, before: undefined }]
  }
  #hold(cursor: Cursor): void {
    if (cursor.at < cursor.order.length) insert(this.#cursors, cursor, (a, b) => compare(headOf(b), headOf(a)))
  }
  /** Expands the pending prefixes; the prefixes among the best k of all that were seen are pending next. */
  expand(followOf: (node: number) => Follow): void {
    const { count, perturbation, temperature = 1 } = this.#query
    for (const before of this.pending) {
      const follow = followOf(before.node)
      const weights = tempered(follow.steps, temperature, before.weight)
      const values = perturbation === undefined ? weights : perturbation.below(before.value, weights)
      const bounds = Float64Array.from(follow.open, (i, place) => values[i]! + before.prior + follow.gains[place]!)
      const order = Int32Array.from(bounds, (_, place) => place)
      const { done, nodes } = follow
      order.sort((a, b) => bounds[b]! - bounds[a]! || done[a]! - done[b]! || nodes[a]! - nodes[b]!)
      this.#hold({ before, follow, weights, values, bounds, order, at: 0 })
    }
    const open: Array<Path> = []
    while (this.#cursors.length > 0) {
      const head = headOf(this.#cursors.at(-1)!)
      let better = open.length
      for (const leaf of this.#leaves) if (compare(leaf, head) < 0) better++
      if (better >= count) break
      const cursor = this.#cursors.pop()!
      const path = take(cursor)
      this.#hold(cursor)
      if (path.done) insert(this.#leaves, path, compare)
      else open.push(path)
    }
    this.pending = open
  }
  get found(): Found {
    const { count } = this.#query
    let tail = 0
    for (const { logProb } of this.#leaves.slice(count)) tail += Math.exp(logProb)
    for (const { at, before, follow, order } of this.#cursors) {
      for (const place of order.subarray(at)) tail += Math.exp(before.logProb + follow.steps[follow.open[place]!]!)
    }
    return { leaves: this.#leaves.slice(0, count), tail }
  }
}

/**
 * Returns log-probabilities of prefixes at a temperature, from those of their last steps and of the prefix `before`.
 */
const tempered = (steps: Float32Array, temperature: number, before: number): Float64Array => {
  if (temperature === 1) return Float64Array.from(steps, (step) => before + step)
  const logits = Float64Array.from(steps, (step) => step / temperature)
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const logSum = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
  return logits.map((logit) => before + logit - logSum)
}

/** Returns the prior's gain of a step: 0 for a weight of 0, else -Infinity where the prior has no mass. */
const gain = (weight: number, mass: number, above: number): number =>
  weight === 0 ? 0 : mass === -Infinity ? -Infinity : weight * (mass - above)

/** Returns the policy's log-probability of each step of a path, first step first. */
export const stepsOf = (path: Path): Float32Array => {
  const steps: Array<number> = []
  for (let at: Path | undefined = path; at?.before !== undefined; at = at.before) steps.push(at.step)
  return Float32Array.from(steps.toReversed())
}

/**
 * Sorts leaves by the policy's log-probability plus the prior, without perturbation; ties go to the lower trie node.
 */
export const ranked = (paths: ReadonlyArray<Path>): RankedLeaves & { readonly paths: ReadonlyArray<Path> } => {
  const score = ({ logProb, prior }: Path) => logProb + prior
  const sorted = paths.toSorted((a, b) => score(b) - score(a) || a.node - b.node)
  return {
    paths: sorted,
    leaves: Int32Array.from(sorted, ({ node }) => node),
    logProbs: Float32Array.from(sorted, ({ logProb }) => logProb),
    scores: Float32Array.from(sorted, score),
    steps: sorted.map(stepsOf)
  }
}

/** Returns a function that reads the continuations of a node from the policy's scores. */
const reader = (space: LeafSpace, prior: { readonly weight: number; readonly mass: LogMass } | undefined) => {
  const { whole } = space
  const [children, allowed] = [new Int32Array(whole.width), new Int32Array(whole.width)]
  const logProbs = new Float32Array(whole.width)
  return (node: number, write: (into: Float32Array) => number, end: () => number): Follow => {
    const count = write(logProbs)
    whole.children(node, children)
    const some = space.children(node, allowed)
    const ends = whole.ends(node)
    const open: Array<number> = []
    for (let i = 0, at = 0; i < some; i++, at++) {
      while (children[at] !== allowed[i]) at++
      open.push(at)
    }
    if (space.ends(node)) open.push(count)
    const steps = new Float32Array(count + (ends ? 1 : 0))
    steps.set(logProbs.subarray(0, count))
    if (ends) steps[count] = end()
    const nodes = Int32Array.from(open, (at) => at === count ? node : children[at]!)
    return {
      steps,
      open: Int32Array.from(open),
      nodes,
      done: Uint8Array.from(open, (at) => at === count || whole.childCount(children[at]!) === 0 ? 1 : 0),
      gains: Float64Array.from(open, (at, place) => {
        if (prior === undefined) return 0
        const { mass, weight } = prior
        return gain(weight, at === count ? mass.ending(node) : mass.below(nodes[place]!), mass.below(node))
      })
    }
  }
}

/** Largest number of prefixes expanded per prompt; memory grows in proportion. */
export const mostPrefixes = 4096

/**
 * Finds the lists of every search, [searches][queries].
 *
 * Fails with `Unsettled` if more than `prefixes` prefixes of a prompt (by default 4,096) would have to be expanded, as
 * for an untrained policy with almost equal probabilities.
 */
export const search: (
  searches: ReadonlyArray<Queries>,
  weights: Weights,
  options?: { readonly prefixes?: number | undefined }
) => Effect.Effect<ReadonlyArray<ReadonlyArray<Found>>, DecoderError, PolicyModel> = Effect.fn("BestFirst.search")(
  function*(searches, weights, { prefixes = mostPrefixes } = {}) {
    const policy = yield* PolicyModel
    const priors = yield* Effect.forEach(searches, ({ prior, prompt, space }) =>
      prior === undefined
        ? Effect.succeed(undefined)
        : Effect.map(prior.logMass(prompt, space.whole), (mass) => ({ weight: prior.weight, mass })))
    const session = yield* policy.open(searches.map(({ prompt }) => prompt), {
      weights,
      space: searches.map(({ space }) => space.whole),
      normaliser: "children"
    }).pipe(Effect.mapError(ofPolicy))
    const states = searches.map(({ queries, space }, prompt) => ({
      read: reader(space, priors[prompt]),
      follows: new Map<number, Follow>(),
      frontiers: queries.map((query) => new Frontier(query, space.childCount(0) === 0))
    }))
    while (states.some(({ frontiers }) => frontiers.some(({ pending }) => pending.length > 0))) {
      const unknown = states.map(({ follows, frontiers }) =>
        Int32Array.from(
          new Set(frontiers.flatMap(({ pending }) => pending.flatMap(({ node }) => follows.has(node) ? [] : [node])))
        )
      )
      for (const [prompt, { follows }] of states.entries()) {
        if (follows.size + unknown[prompt]!.length > prefixes) {
          const count = searches[prompt]!.queries.reduce((sum, query) => sum + query.count, 0)
          return yield* new DecoderError({ reason: new Unsettled({ count, prefixes }) })
        }
      }
      if (unknown.some(({ length }) => length > 0)) {
        const scores = yield* session.score(unknown).pipe(Effect.mapError(ofPolicy))
        for (const [prompt, { follows, read }] of states.entries()) {
          for (const node of unknown[prompt]!) {
            follows.set(
              node,
              read(node, (into) => scores.children(prompt, node, into), () => scores.end(prompt, node))
            )
          }
        }
      }
      for (const { follows, frontiers } of states) {
        for (const frontier of frontiers) {
          if (frontier.pending.length > 0) frontier.expand((node) => follows.get(node)!)
        }
      }
    }
    return states.map(({ frontiers }) => frontiers.map(({ found }) => found))
  },
  Effect.scoped
)
