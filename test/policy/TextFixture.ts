/**
 * A tiny folder of Hugging Face with a tokenizer of bytes, made anew, and text policies on it.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import { ItemEmbeddings } from "../../src/embedding/ItemEmbeddings.ts"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as TextPolicy from "../../src/policy/text/TextPolicy.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import { type SidIndex } from "../../src/sid/SidIndex.ts"
import * as Random from "../../src/statistics/Random.ts"
import { type FloatType } from "../../src/storage/Safetensors.ts"
import * as ItemTexts from "../../src/task/ItemTexts.ts"
import { TextConfig } from "../../src/task/TextConfig.ts"
import * as TextPrompts from "../../src/task/TextPrompts.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import * as ByteAlphabet from "../../src/tokenizer/ByteAlphabet.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"

/** Latest items of a history that prompts show. */
export const historyItems = 4

/** Shape of the model: 263 rows, of which the last three have no token. */
export const shape = Schema.decodeSync(Transformer.DecoderConfig)({
  vocabulary: 263,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headWidth: 4,
  feedForward: 24,
  maxPositions: 640,
  tied: true
})

/** Merges of the tokenizer. */
const merges = ["t h", "Ġ i"]

/** Writes a checkpoint of random weights, and a tokenizer, into a folder that does not exist yet. */
export const write = Effect.fnUntraced(
  function*(folder: string, own: Partial<Transformer.DecoderConfig> = {}, dtype: FloatType = "F32") {
    const decoder = new Transformer.DecoderConfig({ ...shape, ...own })
    yield* CheckpointWriter.write(folder, {
      config: yield* CheckpointConfig.ofDecoder(decoder, dtype),
      weights: CheckpointWriter.weightsOf(ParameterBuffer.make(Transformer.parameters(decoder, Random.normal(7, 3))))
    })
    const vocab = Object.fromEntries(
      [...ByteAlphabet.characters, ...merges.map((pair) => pair.replace(" ", ""))].map((token, id) => [token, id])
    )
    const added = ["<begin>", "<end>"].map((content, i) => ({ id: 258 + i, content, special: true }))
    const json = TokenizerFile.assemble(vocab, merges.join("\n"), "qwen2", added)
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json))
    writeFileSync(
      join(folder, "tokenizer_config.json"),
      JSON.stringify({ bos_token: "<begin>", eos_token: "<end>", tokenizer_class: "PreTrainedTokenizerFast" })
    )
  }
)

/** Titles of the first items; the others have none. */
const titles = ["red shoe", "red hat", "blue shoe", "green scarf", "blue scarf", "green hat", "black belt", "red belt"]

/** Returns a catalogue of items with titles. */
export const dataset = (items: number, sequences: ReadonlyArray<Int32Array> = []): Dataset => ({
  name: "tiny",
  items: Array.from({ length: items }, (_, item) => ({
    key: `item-${item}`,
    title: titles[item] ?? `item-${item}`,
    description: item % 2 === 0 ? `thing number ${item}` : "",
    brand: "",
    categories: []
  })),
  userKeys: sequences.map((_, user) => `user-${user}`),
  sequences,
  counts: []
})

/** Returns settings for a folder. */
export const settings = (folder: string, own: Partial<typeof TextConfig.Encoded> = {}) =>
  Schema.decodeSync(TextConfig)({ train: "all", tasks: { historyItems }, ...own, folder })

/** Provides the policy of settings over a catalogue of items with titles. */
export const layerOf = (config: TextConfig, index: SidIndex) =>
  TextPolicy.layer(config, TextPrompts.words(config.tasks, ItemTexts.ofItems(dataset(index.sids.length).items)), 11)
    .pipe(
      Layer.provide(ItemEmbeddings.layer({
        rows: index.sids.length,
        width: 3,
        data: Float32Array.from({ length: index.sids.length * 3 }, Random.normal(5, 1))
      }))
    )

/** Provides the policy on a folder of its own. */
export const layer = (
  index: SidIndex,
  own: Partial<typeof TextConfig.Encoded> = {},
  decoder: Partial<Transformer.DecoderConfig> = {},
  dtype: FloatType = "F32"
) =>
  Layer.unwrap(Effect.gen(function*() {
    const folder = join(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped(), "model")
    yield* write(folder, decoder, dtype)
    return layerOf(settings(folder, own), index)
  }))
