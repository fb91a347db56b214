/**
 * Settings of a decoder: its search and its random draws.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Sids } from "../sid/Sids.ts"
import { LeafDecoder } from "./LeafDecoder.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of a decoder. */
export class DecoderConfig extends Schema.Class<DecoderConfig>("sidereal/decode/DecoderConfig")({
  /**
   * Search: `beams` and `exact` return the most probable leaves, approximately or exactly; `sampling` and
   * `stochastic-beams` draw leaves at random.
   * @default beams
   */
  kind: Schema.Literals(["beams", "exact", "sampling", "stochastic-beams"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("beams" as const))
  ),
  /** Divisor of the log-probabilities from which `sampling` and `stochastic-beams` draw, above 0. @default 1 */
  temperature: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Whether `sampling` may draw a leaf several times. @default false */
  replacement: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** Largest number of prompts computed together. @default 32 */
  batch: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(32))),
  /** Largest number of prefixes expanded per prompt; not read by `beams`. @default 4096 */
  prefixes: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4096)))
}) {}

/** Provides the configured decoder. */
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
