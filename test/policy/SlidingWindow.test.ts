import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Attention from "../../src/tensor/Attention.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import * as Float64Oracle from "./Float64Oracle.ts"

const decoder = (slidingWindow: number) =>
  new Transformer.DecoderConfig({
    vocabulary: 30,
    width: 16,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    headWidth: 4,
    feedForward: 20,
    maxPositions: 256,
    ropeTheta: 10_000,
    slidingWindow,
    attentionBias: false,
    queryKeyNorm: false,
    tied: false,
    epsilon: 1e-5
  })

/** Writes a folder of Mistral with lively weights and reads it again. */
const opened = Effect.fnUntraced(function*(slidingWindow: number) {
  const config = decoder(slidingWindow)
  const drawn = ParameterBuffer.make(Transformer.parameters(config, Random.normal(4, 2)))
  for (const { name, shape } of drawn.slots) {
    if (shape.length > 1) drawn.view("weights", name).forEach((value, i, all) => (all[i] = value * 8))
  }
  const folder = join(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped(), "m")
  yield* CheckpointWriter.write(folder, {
    config: yield* CheckpointConfig.ofDecoder(config),
    weights: CheckpointWriter.weightsOf(drawn)
  })
  return yield* CheckpointFolder.open(folder)
}, Effect.provide(NodeServices.layer))

const segments = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
const positions = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7]
const tokens = segments.map((_, t) => (t * t + 3 * t + 1) % 30)

describe("sliding window of Mistral", () => {
  for (
    const [name, layer] of [["onnx", OnnxRuntime.layerCpu({ threads: 2 })], ["reference", Reference.layer]] as const
  ) {
    for (const window of [1, 3, 100]) {
      it.effect(`states and gradients of packed rows are those of float64: ${name}, ${window}`, () =>
        Effect.gen(function*() {
          const { config: { decoder, family }, ...rest } = yield* opened(window)
          assert.strictEqual(family, "mistral")
          assert.strictEqual(decoder.slidingWindow, window)
          const buffer = ParameterBuffer.make(
            CheckpointFolder.parameters({ config: { decoder, family, dtype: "F32", json: {} }, ...rest })
          )
          const length = tokens.length
          const runtime = yield* TensorRuntime
          const factors = Float32Array.from({ length: length * decoder.width }, (_, i) => Math.sin(i))
          const program = yield* runtime.compile(make({
            name: "window",
            inputs: {
              ...Object.fromEntries(buffer.slots.map(({ name, shape }) => [name, float32(...shape)])),
              tokens: int32(1, length),
              positions: int32(1, length),
              segments: int32(1, length),
              factors: float32(length, decoder.width)
            },
            body: (x: Readonly<Record<string, tf.Tensor>>) => {
              const parameters = Object.fromEntries(buffer.slots.map(({ name }) => [name, x[name]!]))
              const states = (w: Readonly<Record<string, tf.Tensor>>) =>
                Transformer.forward(decoder, w, {
                  tokens: x["tokens"]!,
                  positions: x["positions"]!,
                  mask: Attention.packedMask(x["segments"]!, x["positions"]!, decoder.slidingWindow)
                }).hidden
              const { gradients } = Autodiff.valueAndGradients(
                (w) => states(w).mul(x["factors"]!).sum() as tf.Scalar,
                Object.fromEntries(Object.entries(parameters).filter(([name]) => name !== "lm_head.weight"))
              )
              return { hidden: states(parameters), ...gradients }
            }
          }))
          const out = yield* program.run({
            ...buffer.tensors("weights"),
            tokens: hostInt32(Int32Array.from(tokens), 1, length),
            positions: hostInt32(Int32Array.from(positions), 1, length),
            segments: hostInt32(Int32Array.from(segments), 1, length),
            factors: hostFloat32(factors, length, decoder.width)
          } as never)
          const values = (key: string) =>
            Effect.map(
              (out as Readonly<Record<string, (typeof out)[keyof typeof out]>>)[key]!.read,
              ({ data }) => data as Float32Array
            )
          const weights = new Map(
            buffer.slots.map(({ name }) => [name, Float64Array.from(buffer.view("weights", name))])
          )
          const sees = (t: number, s: number) => s <= t && segments[s] === segments[t] && t - s < window
          const hidden = () => Float64Oracle.hidden(decoder, weights, tokens, positions, sees)
          const wanted = hidden()
          const found = yield* values("hidden")
          for (const [t, state] of wanted.entries()) {
            assert.isBelow(distance(found.subarray(t * decoder.width, (t + 1) * decoder.width), state), 2e-5, `${t}`)
          }
          const value = () =>
            hidden().reduce(
              (sum, state, t) => state.reduce((inner, x, i) => inner + x * factors[t * decoder.width + i]!, sum),
              0
            )
          for (const part of ["k_proj", "v_proj", "q_proj"]) {
            const key = `model.layers.0.self_attn.${part}.weight`
            const gradient = yield* values(key)
            const own = weights.get(key)!
            for (const i of [0, 17, 60, own.length - 1]) {
              const before = own[i]!
              own[i] = before + 1e-5
              const above = value()
              own[i] = before - 1e-5
              const below = value()
              own[i] = before
              assert.closeTo(gradient[i]!, (above - below) / 2e-5, 1e-3, `${key}[${i}]`)
            }
          }
        }).pipe(Effect.scoped, Effect.provide(layer)))
    }
  }

  it("a window narrower than the row changes the states", () => {
    const drawn = ParameterBuffer.make(Transformer.parameters(decoder(3), Random.normal(4, 2)))
    const weights = new Map(drawn.slots.map(({ name }) => [name, Float64Array.from(drawn.view("weights", name))]))
    const last = (window: number) =>
      Float64Oracle.hidden(decoder(3), weights, tokens, positions, (t, s) => s <= t && t - s < window).at(-1)!
    assert.isAbove(distance(last(3), last(100)), 1e-4)
  })
})
