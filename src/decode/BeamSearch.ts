/**
 * Constrained beam search over the trie of SIDs: each prompt is computed once and only existing children are scored.
 *
 * A leaf reached at an early level competes by score with longer SIDs; where its SID is a prefix of another SID, its
 * end is scored like a code. Ties go to the lower trie node, so a search is repeatable. With as many beams as there are
 * prefixes at every level the search is exact.
 *
 * Every beam leads to an allowed leaf, because a prefix without an allowed leaf is never kept. No beam is wasted:
 * with n allowed leaves and k beams, a search returns min(n, k) leaves.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type NodeScores, PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type Prompt } from "../policy/Prompt.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import * as Batches from "./Batches.ts"
import { type DecoderError, ofPolicy } from "./DecoderError.ts"
import { type LogMass, type Prior } from "./Prior.ts"

/** Largest number of beams of a search, whose memory grows with the square of its beams. */
export const most = 4096

/** Search for the best SIDs after a prompt. */
export interface Search {
  readonly prompt: Prompt
  /** SIDs that may be returned. */
  readonly space: LeafSpace.LeafSpace
  /** Prior added to the scores. @default none */
  readonly prior?: Prior | undefined
}

/** Options of a search. */
export interface BeamOptions {
  /** Prefixes kept per prompt and level, 1 to 4,096; also the largest number of SIDs returned per prompt. */
  readonly beams: number
  /** Lowest score of a prefix that is expanded. @default -Infinity */
  readonly floor?: number | undefined
}

/** Leaves found for one prompt, in decreasing order of score. */
export interface RankedLeaves {
  /** Trie nodes of the leaves, [C]. */
  readonly leaves: Int32Array
  /** Natural log-probability of each whole SID under the policy, [C]. */
  readonly logProbs: Float32Array
  /** Ranking scores, [C]: the log-probability plus the contribution of the prior, if there is one. */
  readonly scores: Float32Array
  /** Per leaf, the natural log-probability of each code, then of the end where the SID is a prefix of another SID. */
  readonly steps: ReadonlyArray<Float32Array>
  /**
   * Natural log-probability that each leaf is drawn, [C], as `StochasticBeams` defines it; for leaves drawn without
   * replacement.
   */
  readonly inclusion?: Float32Array | undefined
  /**
   * The policy's probability of the leaves that are not listed, 0 to 1, as `ExactLeaves` defines it; for exact lists.
   */
  readonly tail?: number | undefined
}

interface Beam {
  readonly node: number
  readonly score: number
  /** Log-probability of the prefix; `step` is that of its last code or end, `before` the beam one step shorter. */
  readonly logProb: number
  readonly step: number
  readonly before: Beam | undefined
  /** Number of codes that followed the last step without a choice, each with the probability 1. */
  readonly forced: number
  readonly done: boolean
}

const stepsOf = (beam: Beam): Float32Array => {
  let count = 0
  for (let at = beam; at.before !== undefined; at = at.before) count += 1 + at.forced
  const steps = new Float32Array(count)
  for (let at = beam; at.before !== undefined; at = at.before) {
    count -= 1 + at.forced
    steps[count] = at.step
  }
  return steps
}

/** List of the best beams so far in decreasing order of score; ties go to the lower trie node. */
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

const only = new Int32Array(1)

/**
 * Follows a beam to the leaf to which it leads without a choice, or returns it unchanged: each of these steps has the
 * probability 1, so that the nodes between need not be scored.
 */
const toLeaf = (whole: LeafSpace.LeafSpace, beam: Beam): Beam => {
  if (beam.done) return beam
  let { node } = beam
  let forced = 0
  while (whole.childCount(node) === 1 && !whole.ends(node)) {
    whole.children(node, only)
    node = only[0]!
    forced++
  }
  return whole.childCount(node) === 0 ? { ...beam, node, forced, done: true } : beam
}

const root: Beam = { node: 0, score: 0, logProb: 0, step: 0, before: undefined, forced: 0, done: false }

/**
 * Returns a function that adds the allowed continuations of a beam to the best beams of its prompt. Most continuations
 * score below the worst beam kept and are rejected by one comparison.
 */
const expander = (width: number, floor: number) => {
  const logProbs = new Float32Array(width)
  const children = new Int32Array(width)
  const allowed = new Int32Array(width)
  return (
    best: Best,
    prompt: number,
    beam: Beam,
    space: LeafSpace.LeafSpace,
    scores: NodeScores,
    prior: { readonly weight: number; readonly mass: LogMass } | undefined
  ): void => {
    if (best.full && beam.score < best.worst) return
    const { node } = beam
    const { whole } = space
    const held = prior === undefined ? 0 : prior.mass.below(node)
    const share = (gained: number) => prior === undefined ? 0 : prior.weight * (gained - held)
    const count = scores.children(prompt, node, logProbs)
    whole.children(node, children)
    const open = space === whole ? count : space.children(node, allowed)
    const follows = space === whole ? children : allowed
    for (let i = 0, at = 0; i < open; i++, at++) {
      const child = follows[i]!
      while (children[at] !== child) at++
      const step = logProbs[at]!
      const gained = prior === undefined ? step : step + share(prior.mass.below(child))
      const score = beam.score + gained
      if (score < floor || (best.full && score < best.worst)) continue
      best.add({ node: child, score, logProb: beam.logProb + step, step, before: beam, forced: 0, done: false })
    }
    if (!space.ends(node)) return
    const step = scores.end(prompt, node)
    const score = beam.score + step + (prior === undefined ? 0 : share(prior.mass.ending(node)))
    if (score < floor) return
    best.add({ node, score, logProb: beam.logProb + step, step, before: beam, forced: 0, done: true })
  }
}

/** Returns the distinct pairs of prompt and unfiltered space, and for every search the number of its pair. */
const promptsOf = (searches: ReadonlyArray<Search>) => {
  const prompts: Array<Search> = []
  const known = new Map<Prompt, Map<LeafSpace.LeafSpace, number>>()
  const places = searches.map((one) => {
    const { prompt, space: { whole } } = one
    const spaces = known.get(prompt) ?? new Map<LeafSpace.LeafSpace, number>()
    known.set(prompt, spaces)
    const place = spaces.get(whole) ?? prompts.push(one) - 1
    spaces.set(whole, place)
    return place
  })
  return { prompts, places }
}

/** Computes the mass of every prior once per prompt, concurrently. */
const massesOf = Effect.fnUntraced(function*(searches: ReadonlyArray<Search>, places: ReadonlyArray<number>) {
  const asked: Array<Effect.Effect<LogMass, DecoderError>> = []
  const known = new Map<Prior["logMass"], Map<number, number>>()
  const answers = searches.map(({ prior, prompt, space }, i) => {
    if (prior === undefined) return undefined
    const own = known.get(prior.logMass) ?? new Map<number, number>()
    known.set(prior.logMass, own)
    const answer = own.get(places[i]!) ?? asked.push(prior.logMass(prompt, space.whole)) - 1
    own.set(places[i]!, answer)
    return { weight: prior.weight, answer }
  })
  const masses = yield* Effect.all(asked, { concurrency: "unbounded" })
  return answers.map((one) => one === undefined ? undefined : { weight: one.weight, mass: masses[one.answer]! })
})

/**
 * Searches for the best SIDs after each prompt; results are in the order of the searches.
 *
 * Searches with the same prompt object share the computation of the prompt and of every node that several of them
 * reach.
 */
export const search: (
  searches: ReadonlyArray<Search>,
  weights: Weights,
  options: BeamOptions
) => Effect.Effect<ReadonlyArray<RankedLeaves>, DecoderError, PolicyModel> = Effect.fn("BeamSearch.search")(
  function*(searches, weights, { beams, floor = -Infinity }) {
    const policy = yield* PolicyModel
    const { places, prompts } = promptsOf(searches)
    const priors = yield* massesOf(searches, places)
    const session = yield* policy.open(prompts.map(({ prompt }) => prompt), {
      weights,
      space: prompts.map(({ space }) => space.whole),
      normaliser: "children"
    }).pipe(Effect.mapError(ofPolicy))
    const expand = expander(Math.max(...searches.map(({ space }) => space.width)), floor)

    let kept: ReadonlyArray<ReadonlyArray<Beam>> = searches.map(({ space }) => space.childCount(0) > 0 ? [root] : [])
    while (kept.some((list) => list.some((beam) => !beam.done))) {
      const open = kept.map((list) => list.filter((beam) => !beam.done))
      const nodes = prompts.map(() => new Set<number>())
      for (const [one, list] of open.entries()) for (const { node } of list) nodes[places[one]!]!.add(node)
      const scores = yield* session.score(nodes.map((list) => Int32Array.from(list))).pipe(Effect.mapError(ofPolicy))
      kept = kept.map((list, one) => {
        const best = new Best(beams)
        for (const beam of list) if (beam.done) best.add(beam)
        const { space } = searches[one]!
        for (const beam of open[one]!) expand(best, places[one]!, beam, space, scores, priors[one])
        return best.list.map((beam) => toLeaf(space.whole, beam))
      })
    }
    return kept.map((list) => ({
      leaves: Int32Array.from(list, (beam) => beam.node),
      logProbs: Float32Array.from(list, (beam) => beam.logProb),
      scores: Float32Array.from(list, (beam) => beam.score),
      steps: list.map(stepsOf)
    }))
  },
  Effect.scoped
)

/** Beams of the second search of a stage; its memory grows with the square of this number. */
const widest = 1024
/** Upper bound of the float32 rounding difference between the scores of one SID in searches of different widths. */
const rounding = 1e-3

/**
 * Finds the `count` best SIDs after one prompt, in stages whose sizes do not depend on `count`.
 *
 * The list for a count is therefore a prefix of the list for any greater count. The first stage finds the best `beams`
 * SIDs (at most 512), each later stage the best 512 of the remaining ones. A stage runs a beam search to find the score
 * of its last SID, then a second search that expands every prefix with at least this score. It is exact as long as no
 * level has more than 1,024 such prefixes.
 */
export const searchBest: (
  one: Search,
  weights: Weights,
  options: { readonly count: number; readonly beams: number }
) => Effect.Effect<RankedLeaves, DecoderError, PolicyModel> = Effect.fn("BeamSearch.searchBest")(
  function*(one, weights, options) {
    const gone: Array<number> = []
    const stages: Array<RankedLeaves> = []
    for (let [missing, beams] = [options.count, Math.min(options.beams, widest / 2)]; missing > 0; beams = widest / 2) {
      const rest = [{ ...one, space: LeafSpace.without(one.space, gone) }]
      let [found] = yield* search(rest, weights, { beams })
      // A search that returns fewer leaves than beams has found every allowed leaf, in exact order.
      const last = found!.leaves.length < beams
      if (!last) {
        const floor = found!.scores[beams - 1]! - rounding
        const [wide] = yield* search(rest, weights, { beams: widest, floor })
        if (wide!.leaves.length >= beams) found = wide
      }
      const stage = first(found!, Math.min(beams, missing))
      stages.push(stage)
      missing = last ? 0 : missing - beams
      for (const leaf of stage.leaves) gone.push(...one.space.items(leaf))
    }
    yield* Metric.update(Batches.users, 1)
    return {
      leaves: Int32Array.from(stages.flatMap(({ leaves }) => [...leaves])),
      logProbs: Float32Array.from(stages.flatMap(({ logProbs }) => [...logProbs])),
      scores: Float32Array.from(stages.flatMap(({ scores }) => [...scores])),
      steps: stages.flatMap(({ steps }) => steps)
    }
  }
)

/** Returns the first `count` leaves, or all of them if there are fewer. */
export const first = ({ leaves, logProbs, scores, steps }: RankedLeaves, count: number): RankedLeaves => ({
  leaves: leaves.slice(0, count),
  logProbs: logProbs.slice(0, count),
  scores: scores.slice(0, count),
  steps: steps.slice(0, count)
})

/** Searches in batches with prompts of similar length; results are in the order of the searches. */
export const searchAll: (
  searches: ReadonlyArray<Search>,
  weights: Weights,
  options: BeamOptions & Batches.BatchOptions
) => Effect.Effect<ReadonlyArray<RankedLeaves>, DecoderError, PolicyModel> = Effect.fn("BeamSearch.searchAll")(
  (searches, weights, options) =>
    Batches.run(searches, () => options.beams, options, (members) => search(members, weights, options))
)
