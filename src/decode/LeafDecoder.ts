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

/** One decoding request. */
export interface DecodeRequest {
  readonly prompt: Prompt
  /** Number of leaves to return, at least 1; fewer are returned only where the space has fewer. */
  readonly count: number
  /** SIDs that may be returned. @default the whole catalogue */
  readonly space?: LeafSpace | undefined
  readonly prior?: Prior | undefined
  /** Key of every random draw; beam search draws nothing. @default [] */
  readonly key?: ReadonlyArray<number> | undefined
}

/** How many requests are computed together. */
export interface DecoderOptions {
  /** Largest number of requests computed together. @default 32 */
  readonly batch?: number | undefined
}

/** How an exact list is found. */
export interface ExactOptions extends DecoderOptions {
  /** Prefixes of a prompt that are expanded at most. @default 4096 */
  readonly prefixes?: number | undefined
}

/**
 * Decoder of requests with given weights; results stand in the order of the requests.
 *
 * Every leaf returned belongs to its request's space as it was when the request was made. The policy's probabilities
 * are normalised over the unfiltered space.
 */
export class LeafDecoder extends Context.Service<LeafDecoder, {
  decode(
    requests: ReadonlyArray<DecodeRequest>,
    weights: Weights,
    options?: { readonly progress?: ((done: number) => void) | undefined }
  ): Effect.Effect<ReadonlyArray<BeamSearch.RankedLeaves>, DecoderError, PolicyModel>
}>()("sidereal/decode/LeafDecoder") {
  /** Constrained beam search whose number of beams is the largest `count` of the requests. */
  static readonly layerBeams = ({ batch = 32 }: DecoderOptions = {}): Layer.Layer<LeafDecoder, never, Sids> =>
    Layer.effect(
      LeafDecoder,
      Effect.gen(function*() {
        const { space } = yield* Sids
        return LeafDecoder.of({
          decode: Effect.fn("LeafDecoder.decode")(function*(requests, weights, options) {
            yield* check(requests)
            const found = yield* BeamSearch.searchAll(
              requests.map(({ prior, prompt, space: own }) => ({ prompt, prior, space: own ?? space })),
              weights,
              {
                beams: requests.reduce((most, { count }) => Math.max(most, count), 1),
                batch,
                progress: options?.progress
              }
            )
            return found.map((ranked, i) => BeamSearch.first(ranked, requests[i]!.count))
          })
        })
      })
    )

  /**
   * Constrained beam search request by request in stages, each exact, whose sizes do not depend on what is wanted: the
   * list for a count begins the list for any greater one, with a prior as without.
   *
   * `beams` are the leaves of the first stage, at most 512. @default 50
   */
  static readonly layerStages = ({ beams = 50 }: { readonly beams?: number | undefined } = {}): Layer.Layer<
    LeafDecoder,
    never,
    Sids
  > =>
    Layer.effect(
      LeafDecoder,
      Effect.gen(function*() {
        const { space } = yield* Sids
        return LeafDecoder.of({
          decode: Effect.fn("LeafDecoder.decode")(function*(requests, weights, options) {
            yield* check(requests)
            return yield* Effect.forEach(requests, ({ count, prior, prompt, space: own }, i) =>
              Effect.tap(
                BeamSearch.searchBest({ prompt, prior, space: own ?? space }, weights, { count, beams }),
                () => Effect.sync(() => options?.progress?.(i + 1))
              ))
          })
        })
      })
    )
}

/** Refuses requests that no decoder can answer. */
const check = Effect.fnUntraced(function*(requests: ReadonlyArray<DecodeRequest>) {
  const refuse = (request: number, field: string, value: number, remedy: string) =>
    Effect.fail(new DecoderError({ reason: new BadRequest({ request, field, value, remedy }) }))
  for (const [request, { count, prior }] of requests.entries()) {
    if (!(Number.isInteger(count) && count >= 1)) {
      return yield* refuse(request, "count", count, "ask for at least one leaf")
    }
    if (prior !== undefined && !(prior.weight >= 0)) {
      return yield* refuse(request, `the weight of the prior "${prior.name}"`, prior.weight, "give it at least 0")
    }
  }
})
