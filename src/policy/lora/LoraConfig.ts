/**
 * Settings of low-rank adapters (LoRA, Hu et al. 2021), with the meaning and the defaults of peft.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Linear layers of a block that can have an adapter. */
export const modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const

/** Name of a linear layer of a block that can have an adapter. */
export type Module = (typeof modules)[number]

/** Adapters of a decoder: a linear layer W with one computes `y = W x + scale B A dropout(x)`. */
export class LoraConfig extends Schema.Class<LoraConfig>("sidereal/policy/LoraConfig")({
  /** Rows r of A [r, in] and columns of B [out, r], 1 or more. @default 8 */
  rank: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(8))),
  /** Numerator of the scale, greater than 0. @default 8 */
  alpha: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(8))),
  /** Whether the scale is alpha / sqrt(r) (rank-stabilised LoRA, Kalajdzievski 2023) instead of alpha / r. @default false */
  rsLora: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** Linear layers with an adapter, one or more. @default all seven */
  modules: Schema.Array(Schema.Literals(modules)).check(Schema.isMinLength(1), Schema.isUnique()).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(modules))
  ),
  /** Share of the components of an adapter's input that training drops, 0 to 0.9. @default 0 */
  dropout: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /** Numbers of the blocks with adapters, from 0. @default all blocks */
  layers: Schema.optionalKey(
    Schema.Array(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))).check(Schema.isMinLength(1), Schema.isUnique())
  )
}) {}

/** Returns the factor of the product B A: alpha / r, or alpha / sqrt(r) with `rsLora`. */
export const scale = ({ alpha, rank, rsLora }: LoraConfig): number => alpha / (rsLora ? Math.sqrt(rank) : rank)
