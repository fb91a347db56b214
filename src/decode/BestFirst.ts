/**
 * Best-first search over the trie of SIDs: exact, whatever is left out and whatever a prior adds.
 *
 * Every prefix has a bound that no leaf below it exceeds. A round expands the unfinished ones among the best k of all
 * prefixes and leaves seen so far; the others wait and none is pruned, so that a prefix whose leaves turn out to be left
 * out costs no place. When the best k are leaves, they are the best of the space. Ties are broken by trie order.
 */
import * as Effect from "effect/Effect"
import { PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import { type RankedLeaves, type Search } from "./BeamSearch.ts"
import { DecoderError, ofPolicy, Unsettled } from "./DecoderError.ts"
import { type LogMass } from "./Prior.ts"

/** Random values in the place of log-probabilities; no value below a node may exceed the node's own. */
export interface Perturbation {
  /** Value of the root. */
  readonly root: number
  /** Returns values for what may follow a node of the given value, from the log-probabilities of the whole prefixes. */
  readonly below: (value: number, logProbs: Float64Array) => Float64Array
}

/** One list to be found. */
export interface Query {
  /** Leaves wanted, k. */
  readonly count: number
  /** @default none: the bound is the log-probability */
  readonly perturbation?: Perturbation | undefined
  /** Divides the log-probabilities of what may follow a node, which are normalised again. @default 1 */
  readonly temperature?: number | undefined
}

/** A search for several lists after one prompt: each node is computed once for all of them. */
export interface Queries extends Search {
  readonly queries: ReadonlyArray<Query>
}

/** A prefix or, where it is done, a leaf. */
export interface Path {
  readonly node: number
  readonly done: boolean
  /** The perturbed value, or the log-probability, and the prior. */
  readonly bound: number
  /** The policy's log-probability of the whole prefix, and of its last step. */
  readonly logProb: number
  readonly step: number
  /** Log-probability at the temperature of the query. */
  readonly weight: number
  readonly value: number
  readonly prior: number
  readonly before: Path | undefined
}

/** Result of a query. */
export interface Found {
  /** Best bound first. */
  readonly leaves: ReadonlyArray<Path>
  /** The policy's probability of all prefixes and leaves that were seen, are allowed and are not listed. */
  readonly tail: number
}

/** What may follow a node, as the policy and the prior have it. */
interface Follow {
  /** The policy's log-probabilities of all children and of the end, where there is one. */
  readonly steps: Float32Array
  /** Places in `steps` of what is allowed, and per place: the node, whether it is a leaf, and the prior's gain. */
  readonly open: Int32Array
  readonly nodes: Int32Array
  readonly done: Uint8Array
  readonly gains: Float64Array
}

/** What follows one expanded prefix of a query, best first. */
interface Cursor {
  readonly before: Path
  readonly follow: Follow
  readonly weights: Float64Array
  readonly values: Float64Array
  readonly bounds: Float64Array
  /** Places among what is allowed, best bound first. */
  readonly order: Int32Array
  at: number
}

interface Ranked {
  readonly bound: number
  readonly done: boolean
  readonly node: number
}

/** Prefixes stand before leaves of the same bound: a leaf below them may come earlier in the trie. */
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

/** What one query has seen. */
class Frontier {
  /** The cursor with the best head stands last. */
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
  /** Expands the pending prefixes; the unfinished ones among the best k of all are pending next. */
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

/** Log-probabilities of whole prefixes: those of steps at a temperature, after what comes before. */
const tempered = (steps: Float32Array, temperature: number, before: number): Float64Array => {
  if (temperature === 1) return Float64Array.from(steps, (step) => before + step)
  const logits = Float64Array.from(steps, (step) => step / temperature)
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const logSum = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
  return logits.map((logit) => before + logit - logSum)
}

/** The prior's gain of a step: a weight of 0 adds nothing, and no mass is never written. */
const gain = (weight: number, mass: number, above: number): number =>
  weight === 0 ? 0 : mass === -Infinity ? -Infinity : weight * (mass - above)

/** Steps of a path. */
export const stepsOf = (path: Path): Float32Array => {
  const steps: Array<number> = []
  for (let at: Path | undefined = path; at?.before !== undefined; at = at.before) steps.push(at.step)
  return Float32Array.from(steps.toReversed())
}

/** Ranks leaves by the policy's log-probability and the prior, whatever they were found by; equal ones in trie order. */
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

/** Reads what may follow a node off the policy's scores. */
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

/** Prefixes of one prompt that are expanded at most; memory grows with them. */
export const mostPrefixes = 4096

/**
 * Finds the lists of every search.
 *
 * Fails with `Unsettled` where more than `prefixes` prefixes of a prompt would have to be expanded, as for a policy that
 * knows nothing.
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
