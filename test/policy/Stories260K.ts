/**
 * The trained model stories260K of llama2.c, as it is published and as a folder of Hugging Face.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as ByteAlphabet from "../../src/tokenizer/ByteAlphabet.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { models } from "../Golden.ts"

/** Folder of the model of llama2.c, which may be absent. */
export const model = join(models, "stories260K")

/** Reads the file of llama2.c: seven numbers, then the weights, one kind after the other. */
export const read = () => {
  const bytes = readFileSync(join(model, "stories260K.bin"))
  const [width, feedForward, layers, heads, keyValueHeads, vocabulary, maxPositions] = Array.from(
    { length: 7 },
    (_, i) => bytes.readInt32LE(i * 4)
  ) as [number, number, number, number, number, number, number]
  const headWidth = width / heads
  const decoder = new Transformer.DecoderConfig({
    vocabulary,
    width,
    layers,
    heads,
    keyValueHeads,
    headWidth,
    feedForward,
    maxPositions,
    ropeTheta: 10_000,
    attentionBias: false,
    queryKeyNorm: false,
    tied: true,
    epsilon: 1e-5
  })
  let at = 28
  const take = (...shape: ReadonlyArray<number>) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1))
    for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(at + i * 4)
    at += data.length * 4
    return { shape, data }
  }
  /** Moves the components of each head from neighbours (2i, 2i + 1) to halves (i, i + width / 2). */
  const halves = (rows: number) => {
    const { data, shape } = take(rows, width)
    const moved = new Float32Array(data.length)
    for (let row = 0; row < rows; row++) {
      const inHead = row % headWidth
      const to = row - inHead + (inHead % 2) * (headWidth / 2) + Math.floor(inHead / 2)
      moved.set(data.subarray(row * width, (row + 1) * width), to * width)
    }
    return { shape, data: moved }
  }
  const weights = new Map<string, { readonly shape: ReadonlyArray<number>; readonly data: Float32Array }>()
  const each = (part: string, next: () => ReturnType<typeof take>) => {
    for (let l = 0; l < layers; l++) weights.set(`model.layers.${l}.${part}.weight`, next())
  }
  const narrow = keyValueHeads * headWidth
  weights.set("model.embed_tokens.weight", take(vocabulary, width))
  each("input_layernorm", () => take(width))
  each("self_attn.q_proj", () => halves(width))
  each("self_attn.k_proj", () => halves(narrow))
  each("self_attn.v_proj", () => take(narrow, width))
  each("self_attn.o_proj", () => take(width, width))
  each("post_attention_layernorm", () => take(width))
  each("mlp.gate_proj", () => take(feedForward, width))
  each("mlp.down_proj", () => take(width, feedForward))
  each("mlp.up_proj", () => take(feedForward, width))
  weights.set("model.norm.weight", take(width))
  // The rotary angles, which are computed here.
  take(maxPositions, headWidth)
  assert.strictEqual(at, bytes.length)
  return { decoder, weights }
}

/** Reads the pieces of the tokenizer: the length of the longest one, then score, length and bytes of each. */
export const pieces = (count: number): ReadonlyArray<Buffer> => {
  const bytes = readFileSync(join(model, "tok512.bin"))
  let at = 4
  return Array.from({ length: count }, () => {
    const length = bytes.readInt32LE(at + 4)
    at += 8 + length
    const piece = bytes.subarray(at - length, at)
    const byte = /^<0x([0-9A-F]{2})>$/.exec(piece.toString())
    return byte === null ? piece : Buffer.of(Number.parseInt(byte[1]!, 16))
  })
}

/**
 * Writes the model with a byte-level tokenizer of its pieces. Of a byte with two ids, one of a piece and one of a byte
 * alone, that of the piece counts; pieces are merged in the order of their ids, from any two parts.
 */
export const write = Effect.fnUntraced(function*(folder: string) {
  const { decoder, weights } = read()
  yield* CheckpointWriter.write(folder, { config: yield* CheckpointConfig.ofDecoder(decoder), weights })
  const special = ["<unk>", "<s>", "</s>"]
  const vocab = new Map<string, number>()
  for (const [id, bytes] of pieces(decoder.vocabulary).entries()) {
    if (id >= special.length) vocab.set(Array.from(bytes, (byte) => ByteAlphabet.characters[byte]!).join(""), id)
  }
  const merges = [...vocab].toSorted(([, a], [, b]) => a - b).flatMap(([piece]) =>
    Array.from({ length: piece.length - 1 }, (_, i) => [piece.slice(0, i + 1), piece.slice(i + 1)]).filter((pair) =>
      pair.every((part) => vocab.has(part))
    )
  )
  const json = TokenizerFile.assemble(
    Object.fromEntries(vocab),
    merges.map((pair) => pair.join(" ")).join("\n"),
    "gpt2",
    special.map((content, id) => ({ id, content, special: true }))
  )
  const whole = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({ ...json, pre_tokenizer: whole }))
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ bos_token: "<s>", eos_token: "</s>" }))
})
