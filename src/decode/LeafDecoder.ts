/**
 * Service that decodes prompts into ranked leaves of the trie.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type Prompt } from "../policy/Prompt.ts"
import { Sids } from "../sid/Sids.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import * as Batches from "./Batches.ts"
import * as BeamSearch from "./BeamSearch.ts"
import { BadRequest, DecoderError } from "./DecoderError.ts"
import * as ExactLeaves from "./ExactLeaves.ts"
import { type Prior } from "./Prior.ts"
import * as Sampling from "./Sampling.ts"
import * as StochasticBeams from "./StochasticBeams.ts"

/** Decoding request. */
export interface DecodeRequest {
  readonly prompt: Prompt
  /** Number of leaves to return, at least 1; fewer are returned only where the space has fewer. */
  readonly count: number
  /** SIDs that may be returned. @default the whole catalogue */
  readonly space?: LeafSpace | undefined
  /** Prior added to the scores. @default none */
  readonly prior?: Prior | undefined
  /** Key of every random draw; equal keys draw equal leaves. Not read by beam search and exact search. @default [] */
  readonly key?: ReadonlyArray<number> | undefined
}

/** Options of every decoder. */
export interface DecoderOptions {
  /** Largest number of requests computed together. @default 32 */
  readonly batch?: number | undefined
}

/** Options of a decoder by best-first search. */
export interface ExactOptions extends DecoderOptions {
  /** Largest number of prefixes expanded per prompt. @default 4096 */
  readonly prefixes?: number | undefined
}

/**
 * Decoder of requests with given weights; results are in the order of the requests. `progress` is called with the
 * number of requests done so far.
 *
 * Every leaf returned belongs to its request's space as it was when the request was made. The policy's probabilities
 * are normalised over the unfiltered space.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as assert from "node:assert/strict"
 * import { LeafDecoder } from "sidereal/decode/LeafDecoder"
 * import { PolicyParameters } from "sidereal/policy/PolicyParameters"
 * import * as Prompt from "sidereal/policy/Prompt"
 * import { Sids } from "sidereal/sid/Sids"
 * import * as LeafSpace from "sidereal/sid/trie/LeafSpace"
 * import * as Testing from "sidereal/testing"
 * import * as CountingPolicy from "sidereal/testing/CountingPolicy"
 *
 * const program = Effect.gen(function*() {
 *   const { space } = yield* Sids
 *   const weights = yield* (yield* PolicyParameters).evaluation
 *   const prompt = Prompt.ofItems(Int32Array.of(3, 4))
 *   const request = { prompt, count: 5, space: LeafSpace.without(space, [3, 4]) }
 *   const [found] = yield* (yield* LeafDecoder).decode([request], weights)
 *   return Array.from(found!.leaves, (leaf) => space.items(leaf)[0]!)
 * })
 * const policy = PolicyParameters.layer.pipe(Layer.provideMerge(CountingPolicy.layer()))
 * const items = await Effect.runPromise(program.pipe(
 *   Effect.scoped,
 *   Effect.provide(Layer.merge(policy, LeafDecoder.layerBeams())),
 *   Effect.provide(Layer.merge(Sids.layer(Testing.index(27)), Testing.layerNoTensors))
 * ))
 * assert.equal(new Set(items).size, 5)
 * assert.ok(!items.includes(3) && !items.includes(4))
 * ```
 */
export class LeafDecoder extends Context.Service<LeafDecoder, {
  decode(
    requests: ReadonlyArray<DecodeRequest>,
    weights: Weights,
    options?: { readonly progress?: ((done: number) => void) | undefined }
  ): Effect.Effect<ReadonlyArray<BeamSearch.RankedLeaves>, DecoderError, PolicyModel>
}>()("sidereal/decode/LeafDecoder") {
  /** Provides constrained beam search whose number of beams is the largest `count` of the requests. */
  static readonly layerBeams = ({ batch = 32 }: DecoderOptions = {}): Layer.Layer<LeafDecoder, never, Sids> =>
    layerOf((draws, weights, progress) => {
      const beams = draws.reduce((most, { count }) => Math.max(most, count), 1)
      return Effect.map(
        BeamSearch.searchAll(draws, weights, { beams, batch, progress }),
        (found) => found.map((ranked, i) => BeamSearch.first(ranked, draws[i]!.count))
      )
    })

  /** Provides random leaves drawn from the policy, distinct unless `replacement` is set. */
  static readonly layerSampling = (
    { batch = 32, ...options }: DecoderOptions & Sampling.SamplingOptions = {}
  ): Layer.Layer<LeafDecoder, never, Sids> =>
    layerOf(
      (draws, weights, progress) =>
        Batches.run(draws, countOf, { batch, progress }, (members) => Sampling.draw(members, weights, options)),
      options
    )

  /** Provides distinct random leaves drawn by stochastic beam search, with the log-probability of drawing each. */
  static readonly layerStochasticBeams = (
    { batch = 32, ...options }: ExactOptions & { readonly temperature?: number | undefined } = {}
  ): Layer.Layer<LeafDecoder, never, Sids> =>
    layerOf(
      (draws, weights, progress) =>
        Batches.run(draws, countOf, { batch, progress }, (members) => StochasticBeams.draw(members, weights, options)),
      options
    )

  /** Provides exact search for the most probable leaves, with the probability of the others. */
  static readonly layerExact = (
    { batch = 32, ...options }: ExactOptions = {}
  ): Layer.Layer<LeafDecoder, never, Sids> =>
    layerOf((draws, weights, progress) =>
      Batches.run(draws, countOf, { batch, progress }, (members) => ExactLeaves.search(members, weights, options))
    )

  /**
   * Provides constrained beam search of one request at a time, in stages whose sizes do not depend on `count` (`searchBest`):
   * the list for a count is a prefix of the list for any greater count, with or without a prior.
   *
   * `beams` is the number of leaves of the first stage, at most 512, by default 50.
   */
  static readonly layerStages = (
    { beams = 50 }: { readonly beams?: number | undefined } = {}
  ): Layer.Layer<LeafDecoder, never, Sids> =>
    layerOf((draws, weights, progress) =>
      Effect.forEach(draws, (one, i) =>
        Effect.tap(
          BeamSearch.searchBest(one, weights, { count: one.count, beams }),
          () => Effect.sync(() => progress?.(i + 1))
        ))
    )
}

const countOf = ({ count }: StochasticBeams.Draw): number => count

/** Provides a decoder that checks requests and runs `search`. */
const layerOf = (
  search: (
    draws: ReadonlyArray<StochasticBeams.Draw>,
    weights: Weights,
    progress: ((done: number) => void) | undefined
  ) => Effect.Effect<ReadonlyArray<BeamSearch.RankedLeaves>, DecoderError, PolicyModel>,
  { temperature = 1 }: { readonly temperature?: number | undefined } = {}
): Layer.Layer<LeafDecoder, never, Sids> =>
  Layer.effect(
    LeafDecoder,
    Effect.gen(function*() {
      const { space } = yield* Sids
      return LeafDecoder.of({
        decode: Effect.fn("LeafDecoder.decode")(function*(requests, weights, options) {
          for (const [request, { count, prior }] of requests.entries()) {
            if (!(Number.isInteger(count) && count >= 1)) {
              return yield* new DecoderError({
                reason: new BadRequest({ request, field: "count", value: count, remedy: "request at least one leaf" })
              })
            }
            if (!(temperature > 0 && temperature < Infinity)) {
              return yield* new DecoderError({
                reason: new BadRequest({
                  request,
                  field: "temperature",
                  value: temperature,
                  remedy: "set the decoder's temperature to a finite number above 0"
                })
              })
            }
            if (prior !== undefined && !(prior.weight >= 0)) {
              return yield* new DecoderError({
                reason: new BadRequest({
                  request,
                  field: `the weight of the prior "${prior.name}"`,
                  value: prior.weight,
                  remedy: "set it to at least 0"
                })
              })
            }
          }
          const draws = requests.map((one) => ({ ...one, space: one.space ?? space, key: one.key ?? [] }))
          return yield* search(draws, weights, options?.progress)
        })
      })
    })
  )
