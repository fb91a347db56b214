import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { models } from "../Golden.ts"
import * as Logits from "./Logits.ts"

const model = join(models, "stories260K")

/** Reads the file of llama2.c: seven numbers, then the weights, one kind after the other. */
const read = () => {
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
const pieces = (count: number): ReadonlyArray<Buffer> => {
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

const bos = 1

/** The story that the documentation shows for temperature 0. */
const story = () => /-t 0\.0\n([\s\S]*?)\n```/.exec(readFileSync(join(model, "stories260K.md"), "utf8"))![1]!

describe("stories260K, a trained model", () => {
  if (!existsSync(model)) it.skipIf(true)("the model is not here", () => {})
  else {
    it.effect("as a Hugging Face folder, it tells the story of its documentation", () =>
      Effect.gen(function*() {
        const { decoder, weights } = read()
        const root = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        yield* CheckpointWriter.write(join(root, "m"), {
          config: yield* CheckpointConfig.ofDecoder(decoder),
          weights,
          shardBytes: 300_000
        })
        const opened = yield* CheckpointFolder.open(join(root, "m"))
        assert.strictEqual(opened.config.family, "llama")
        const buffer = ParameterBuffer.make(CheckpointFolder.parameters(opened))
        assert.strictEqual(buffer.count, 260_032)
        const logits = yield* Logits.compile(opened.config.decoder, buffer)
        const tokens = [bos]
        let nats = 0
        while (tokens.length <= 256) {
          const row = new Int32Array(64 * Math.ceil(tokens.length / 64))
          row.set(tokens)
          const last = (yield* logits([row])).subarray((tokens.length - 1) * decoder.vocabulary).subarray(
            0,
            decoder.vocabulary
          )
          const next = last.reduce((best, logit, id) => logit > last[best]! ? id : best, 0)
          if (next === bos) break
          nats += Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - last[next]!), 0))
          tokens.push(next)
        }
        const known = pieces(decoder.vocabulary)
        const text = Buffer.concat(tokens.slice(1).map((token) => known[token]!)).toString().trimStart()
        assert.strictEqual(text, story())
        assert.isBelow(nats / (tokens.length - 1), 0.7)
      }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, OnnxRuntime.layerCpu({ threads: 2 })])))
  }
})
