/**
 * Folder of a text policy: its checkpoint and its tokenizer, opened for the SIDs of a catalogue.
 */
import * as Effect from "effect/Effect"
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as TokenizerFile from "../../tokenizer/TokenizerFile.ts"
import * as CheckpointFolder from "../huggingface/CheckpointFolder.ts"
import { PolicyError, UnusableFolder } from "../PolicyError.ts"
import * as Transformer from "../transformer/Transformer.ts"
import { type TextPolicyConfig } from "./TextPolicyConfig.ts"
import * as TextVocabulary from "./TextVocabulary.ts"

/** Least positions of a prompt. */
const least = 16

/**
 * Opens the folder of the settings. Fails for one that is absent, that has a model or a tokenizer that is not supported,
 * or whose model is too small for its tokenizer or for a prompt.
 */
export const open = Effect.fn("TextFolder.open")(function*(
  { folder, lora, maximumTokens, train }: TextPolicyConfig,
  index: SidIndex
) {
  const refuse = (detail: string) => new PolicyError({ reason: new UnusableFolder({ folder, detail }) })
  /** Positions after a prompt: those of a SID, its end, and that of the answer. */
  const after = index.levels + 2
  const checkpoint = yield* CheckpointFolder.open(folder, { positions: maximumTokens + after }).pipe(
    Effect.mapError(({ message }) => refuse(message))
  )
  const vocabulary = yield* TokenizerFile.read(folder).pipe(
    Effect.flatMap((definition) => TextVocabulary.make(definition, index)),
    Effect.mapError(({ message }) => refuse(message))
  )
  const { decoder } = checkpoint.config
  if (vocabulary.own > decoder.vocabulary) {
    return yield* refuse(
      `its tokenizer has ${vocabulary.own} ids, its embedding ${decoder.vocabulary} rows; use the tokenizer of the model`
    )
  }
  const maximum = decoder.maxPositions - after
  if (maximum < least) {
    return yield* refuse(
      `its ${decoder.maxPositions} positions leave fewer than ${least} to a prompt before a SID of ${index.levels} codes; ` +
        "use a model with more"
    )
  }
  return {
    checkpoint,
    vocabulary,
    /** Shape of the decoder, with its adapters. */
    decoder: train === "lora" ? new Transformer.DecoderConfig({ ...decoder, lora }) : decoder,
    /** Most positions of a prompt. */
    maximum
  }
})
