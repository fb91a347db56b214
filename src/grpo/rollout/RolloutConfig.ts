/**
 * Settings of rollouts: the decoder that draws candidates, and the candidates added to them.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { DecoderConfig } from "../../decode/DecoderConfig.ts"

/** Settings of rollouts. */
export class RolloutConfig extends Schema.Class<RolloutConfig>("sidereal/grpo/RolloutConfig")({
  /** Decoder that draws candidates. @default beams */
  decoder: DecoderConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /**
   * Treatment of a group without its answer: `as-drawn` leaves it, `replace` replaces its last candidate by the answer,
   * `add` adds the answer. @default as-drawn
   */
  answer: Schema.Literals(["as-drawn", "replace", "add"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("as-drawn" as const))
  ),
  /** Share of prompts whose candidates must begin with the first codes of the answer, 0 to 1. @default 0 */
  hintShare: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /** Number of the teacher's best items added to the candidates of each prompt, at least 0. @default 24 */
  teacherItems: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(24))
  ),
  /** Weight of the teacher as a prior of the decoder, at least 0. @default 0 */
  priorWeight: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /**
   * Largest number of prompts generated per group of a step, at least 1; above 1, groups with equal rewards are
   * replaced by those of other prompts (dynamic sampling). @default 1
   */
  overGeneration: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1)))
}) {}
