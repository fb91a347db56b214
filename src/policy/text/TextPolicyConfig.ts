/**
 * Settings of the text family: the folder of the model, what is trained, and the sizes of batches.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { LoraConfig } from "../lora/LoraConfig.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of a text policy. */
export class TextPolicyConfig extends Schema.Class<TextPolicyConfig>("sidereal/policy/TextPolicyConfig")(
  Schema.Struct({
    /** Folder of a model of Hugging Face (Qwen2, Qwen3, Llama, Mistral) with its tokenizer. */
    folder: Schema.String.check(Schema.isMinLength(1)),
    /**
     * What is trained besides the rows of the SID tokens: all weights, adapters (LoRA) on frozen weights, or nothing.
     * @default lora
     */
    train: Schema.Literals(["all", "lora", "sid-rows"]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("lora" as const))
    ),
    /** Adapters, where `train` is lora. */
    lora: LoraConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /**
     * Start of the rows of SID tokens that the folder does not have: the mean embedding of the words of the items with the
     * token, that of the items' embeddings projected to the model, or the mean of all rows with noise.
     * @default means-of-words
     */
    start: Schema.Literals(["means-of-words", "projected", "around-mean"]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("means-of-words" as const))
    ),
    /** Positions with a loss: those of the answer, or all. @default answer */
    loss: Schema.Literals(["answer", "all"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("answer" as const))),
    /**
     * Most positions of a prompt or an example, at least 16 and at most those of the model; longer ones lose their
     * beginning.
     * @default 512
     */
    maximumTokens: Schema.Int.check(Schema.isGreaterThanOrEqualTo(16), Schema.isLessThanOrEqualTo(2 ** 17)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(512))
    ),
    /** Positions (tokens) per training batch. @default 2048 */
    batchTokens: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2048))),
    /** Dropout rate of the states in training, 0 to 0.9. @default 0 */
    dropout: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(0))
    )
  }).check(Schema.makeFilter(({ lora }) =>
    // Its states have dropout of their own.
    lora.dropout > 0
      ? [{ path: ["lora", "dropout"], issue: "Expected 0 in a text policy, whose states `dropout` drops" }]
      : []
  ))
) {}
