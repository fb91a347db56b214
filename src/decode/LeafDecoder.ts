/**
 * Decoders: prompts become ranked leaves.
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

/** What is asked of a decoder. */
export interface DecodeRequest {
  readonly prompt: Prompt
  /** Leaves that are wanted; fewer come only where the space has fewer. */
  readonly count: number
  /** What may be written. @default the whole catalogue */
  readonly space?: LeafSpace | undefined
  readonly prior?: Prior | undefined
  /** Key of every random draw; a search draws nothing. @default [] */
  readonly key?: ReadonlyArray<number> | undefined
}

/** How many requests are computed together, and who is told how many are done. */
export interface DecoderOptions {
  /** @default 32 */
  readonly batch?: number | undefined
}

/**
 * Decodes requests in their order with given weights.
 *
 * Every leaf is allowed by its request's space as it was when the request was made; the policy's probabilities are those
 * of the space without filters.
 */
export class LeafDecoder extends Context.Service<LeafDecoder, {
  decode(
    requests: ReadonlyArray<DecodeRequest>,
    weights: Weights,
    options?: { readonly progress?: ((done: number) => void) | undefined }
  ): Effect.Effect<ReadonlyArray<BeamSearch.RankedLeaves>, DecoderError, PolicyModel>
}>()("sidereal/decode/LeafDecoder") {
  /** Constrained beam search with as many beams as leaves are wanted of the greediest request. */
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
