/**
 * Settings of a decoder: which search, and how it draws.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Sids } from "../sid/Sids.ts"
import { LeafDecoder } from "./LeafDecoder.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of a decoder. */
export class DecoderConfig extends Schema.Class<DecoderConfig>("sidereal/decode/DecoderConfig")({
  /** Best leaves by beam search or exactly; or leaves drawn, by ancestral sampling or stochastic beams. @default beams */
  kind: Schema.Literals(["beams", "exact", "sampling", "stochastic-beams"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("beams" as const))
  ),
  /** Divides the log-probabilities of drawn codes, once; above 0. @default 1 */
  temperature: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Whether sampling can draw a leaf several times. @default false */
  replacement: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** Prompts that are computed together. @default 32 */
  batch: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(32))),
  /** Prefixes of a prompt that all but beam search expand at most. @default 4096 */
  prefixes: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4096)))
}) {}

/** Makes the decoder of settings. */
export const layer = (config: DecoderConfig): Layer.Layer<LeafDecoder, never, Sids> => {
  switch (config.kind) {
    case "beams":
      return LeafDecoder.layerBeams(config)
    case "exact":
      return LeafDecoder.layerExact(config)
    case "sampling":
      return LeafDecoder.layerSampling(config)
    case "stochastic-beams":
      return LeafDecoder.layerStochasticBeams(config)
  }
}
