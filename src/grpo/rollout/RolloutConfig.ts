/**
 * Settings of rollouts: how candidates are found, and what is put beside them.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { DecoderConfig } from "../../decode/DecoderConfig.ts"

/** Settings of rollouts. */
export class RolloutConfig extends Schema.Class<RolloutConfig>("sidereal/grpo/RolloutConfig")({
  /** @default beams */
  decoder: DecoderConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /**
   * Where the answer is missing: leave the group as drawn, replace the last candidate, or add one. @default as-drawn
   */
  answer: Schema.Literals(["as-drawn", "replace", "add"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("as-drawn" as const))
  ),
  /** Share of prompts that are given the first codes of the answer, 0 to 1. @default 0 */
  hintShare: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /** The teacher's best items that join the candidates of each prompt. @default 24 */
  teacherItems: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(24))
  ),
  /** Weight of the teacher as a prior beside the policy while candidates are drawn, at least 0. @default 0 */
  priorWeight: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /** Prompts that a step may ask for each group that it wants, so that groups with equal rewards are replaced. @default 1 */
  overGeneration: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1)))
}) {}
