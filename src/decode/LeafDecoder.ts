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
import * as BeamSearch from "./BeamSearch.ts"
import { BadRequest, DecoderError } from "./DecoderError.ts"
import { type Prior } from "./Prior.ts"

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

/** Options of a decoder. */
export interface DecoderOptions {
  /** Largest number of requests computed together. @default 32 */
  readonly batch?: number | undefined
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
            for (const [request, { count, prior }] of requests.entries()) {
              if (!(Number.isInteger(count) && count >= 1)) {
                return yield* new DecoderError({
                  reason: new BadRequest({ request, field: "count", value: count, remedy: "request at least 1 leaf" })
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
}
