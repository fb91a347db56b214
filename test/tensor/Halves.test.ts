import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { valueOf } from "../../layers/onnx/Lowerings.ts"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { trace } from "../../layers/onnx/TracingBackend.ts"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Half from "../../src/storage/Half.ts"
import * as Attention from "../../src/tensor/Attention.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { hostInt32, int32, make, widened } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { resident } from "./Backends.ts"

const runtimes = {
  onnx: OnnxRuntime.layerCpu({ threads: 2 }),
  "onnx on a worker": OnnxRuntime.layerCpu({ threads: 2, worker: true }),
  reference: Reference.layer,
  resident: resident[1]
}

const config = new Transformer.DecoderConfig({
  vocabulary: 24,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headWidth: 4,
  feedForward: 20,
  maxPositions: 32,
  ropeTheta: 10_000,
  attentionBias: true,
  queryKeyNorm: true,
  tied: true,
  epsilon: 1e-6
})

/** Parameters rounded to bfloat16, of which all but the last block and norm are frozen, in 16 or 32 bits. */
const specs = (storage: "bfloat16" | "float32"): ParameterBuffer.ParameterSpecs =>
  Object.fromEntries(
    Object.entries(Transformer.parameters(config, Random.normal(7, 1))).map(([name, spec]) => {
      const trainable = name.includes("layers.1") || name === "model.norm.weight"
      return [name, {
        ...spec,
        trainable,
        ...(trainable ? {} : { storage }),
        initialize: (values: Float32Array) => {
          spec.initialize(values)
          values.forEach((value, i) => (values[i] = value * (spec.shape.length > 1 ? 8 : 1) + (i % 3) / 16))
          const patterns = new Uint16Array(values.length)
          Half.writeBfloat16(values, patterns)
          Half.readBfloat16(patterns, values)
        }
      }]
    })
  )

const [batch, length] = [2, 6]
const tokens = Int32Array.from({ length: batch * length }, (_, i) => (i * 5 + 3) % 24)

const program = (buffer: ParameterBuffer.ParameterBuffer) =>
  make({
    name: "halves",
    inputs: {
      ...ParameterBuffer.inputs(buffer.slots),
      tokens: int32("B", "T"),
      positions: int32("B", "T")
    },
    body: (x: Readonly<Record<string, tf.Tensor>>) => {
      const own = Object.fromEntries(
        buffer.slots.flatMap(({ name, trainable }) => trainable ? [[name, x[name]!]] : [])
      )
      const { gradients, value } = Autodiff.valueAndGradients((trained) => {
        const w = { ...x, ...trained }
        const { hidden } = Transformer.forward(config, w, {
          tokens: x["tokens"]!,
          positions: x["positions"]!,
          mask: Attention.packedMask(tf.zerosLike(x["positions"]!), x["positions"]!)
        })
        const rows = hidden.shape[0]!
        // A slice of a 16-bit matrix is one as well.
        const head = tf.slice(w[Transformer.headName(config)]!, [4, 0], [20, config.width])
        return LinearCrossEntropy.loss(hidden, head, {
          targets: x["tokens"]!.reshape([rows]).mod(tf.scalar(20, "int32")),
          weights: tf.onesLike(hidden).slice([0, 0], [-1, 1]).reshape([rows])
        })
      }, own)
      return { loss: value, ...gradients }
    }
  })

const feeds = {
  tokens: hostInt32(tokens, batch, length),
  positions: hostInt32(Int32Array.from({ length: batch * length }, (_, i) => i % length), batch, length)
}

const train = Effect.fnUntraced(function*(storage: "bfloat16" | "float32") {
  const store = yield* ParameterStore.make(specs(storage))
  const runtime = yield* TensorRuntime
  const executable = yield* runtime.compile(program(store.buffer))
  const optimizer = Adam.adamW(Schema.decodeSync(AdamW.AdamWConfig)({}))
  const losses: Array<number> = []
  for (let step = 0; step < 3; step++) {
    yield* Effect.scoped(Effect.gen(function*() {
      const [outputs] = yield* store.differentiate(executable, [{ feeds }])
      losses.push((yield* outputs!["loss"]!.read).data[0]!)
    }))
    yield* store.apply(optimizer, 0.01)
  }
  yield* store.pull
  return { losses, store, executable }
})

describe("frozen parameters in bfloat16", () => {
  for (const [name, layer] of Object.entries(runtimes)) {
    it.effect(`train the others as in float32, and are not changed: ${name}`, () =>
      Effect.gen(function*() {
        const narrow = yield* train("bfloat16")
        const wide = yield* train("float32")
        assert.deepStrictEqual(narrow.losses, wide.losses)
        assert.isBelow(narrow.losses[2]!, narrow.losses[0]!)
        const [a, b] = [narrow.store.buffer, wide.store.buffer]
        assert.isBelow(a.length, b.length / 1.5)
        const frozen = b.slots.filter(({ trainable }) => !trainable)
        assert.isAtLeast(a.halves, frozen.reduce((sum, { size }) => sum + size, 0))
        for (const { name } of b.slots) {
          assert.deepStrictEqual(widened(a.tensors("weights")[name]!).data, b.tensors("weights")[name]!.data, name)
        }
        // Both kinds of snapshots and states hold all parameters, and restore them.
        const state = yield* narrow.store.save
        assert.deepStrictEqual(state.weights, (yield* wide.store.save).weights)
        const other = yield* ParameterStore.make(
          Object.fromEntries(
            Object.entries(specs("bfloat16")).map(([name, spec]) => [name, { ...spec, initialize: () => {} }])
          )
        )
        yield* other.restore(state)
        const snapshot = yield* other.snapshot("weights")
        const again = yield* narrow.executable.run({ ...snapshot.feeds, ...feeds })
        const original = yield* narrow.executable.run({ ...(yield* narrow.store.weights).feeds, ...feeds })
        assert.deepStrictEqual((yield* again["loss"]!.read).data, (yield* original["loss"]!.read).data)
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect(`are widened for a program that takes them in float32, and where they were placed: ${name}`, () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const [narrow, wide] = [ParameterBuffer.make(specs("bfloat16")), ParameterBuffer.make(specs("float32"))]
        const loss = Effect.fnUntraced(function*(
          of: ParameterBuffer.ParameterBuffer,
          given: ParameterBuffer.ParameterBuffer,
          placed: boolean
        ) {
          const executable = yield* runtime.compile(program(of))
          const weights = placed ? yield* runtime.place(given.tensors("weights")) : given.tensors("weights")
          return (yield* (yield* executable.run({ ...weights, ...feeds }))["loss"]!.read).data[0]!
        })
        const wanted = yield* loss(wide, wide, false)
        assert.isAbove(wanted, 0.1)
        assert.strictEqual(yield* loss(wide, narrow, false), wanted)
        assert.strictEqual(yield* loss(wide, narrow, true), wanted)
        assert.strictEqual(yield* loss(narrow, narrow, true), wanted)
      }).pipe(Effect.scoped, Effect.provide(layer)))
  }

  it("are widened once for each product, after its other factor", () => {
    const { nodes } = trace(program(ParameterBuffer.make(specs("bfloat16"))), "cpu", valueOf, true).graph
    const producer = new Map(nodes.flatMap((node) => node.outputs.map((value) => [value, node] as const)))
    /** Returns the values that a value is computed from, itself included. */
    const needs = (value: string): ReadonlySet<string> => {
      const found = new Set([value])
      for (const one of found) for (const input of producer.get(one)?.inputs ?? []) found.add(input)
      return found
    }
    const widened = nodes.filter(({ inputs, operator }) =>
      operator === "Cast" && producer.get(inputs[0]!)?.operator === "BitCast"
    )
    const products = nodes.filter(({ operator }) => operator === "Gemm")
    let seen = 0
    for (const { outputs: [wide] } of widened) {
      const [first, ...others] = products.filter(({ inputs }) => inputs.slice(0, 2).includes(wide!))
      if (first === undefined) continue
      seen++
      assert.deepStrictEqual(others, [])
      const factor = first.inputs.slice(0, 2).find((value) => value !== wide)
      assert.isTrue(needs(wide!).has(factor!), `${wide} does not wait for ${factor}`)
    }
    // Seven matrices of the frozen block, and the output's in both directions; the loss ends at the block after it.
    assert.isAtLeast(seen, 9)
  })

  it("have no view, and cannot be trained", () => {
    const buffer = ParameterBuffer.make(specs("bfloat16"))
    assert.throws(() => buffer.view("weights", "model.embed_tokens.weight"), "is in bfloat16")
    assert.throws(
      () => ParameterBuffer.make({ w: { shape: [2], storage: "bfloat16", initialize: () => {} } }),
      "train it in float32, or freeze it"
    )
    const saved = ParameterBuffer.snapshot(buffer, "weights")
    const blank = ParameterBuffer.make(
      Object.fromEntries(
        Object.entries(specs("bfloat16")).map(([name, spec]) => [name, { ...spec, initialize: () => {} }])
      )
    )
    assert.isUndefined(ParameterBuffer.load(blank, "weights", saved))
    assert.deepStrictEqual(ParameterBuffer.snapshot(blank, "weights"), saved)
    assert.isAbove(saved.get("model.embed_tokens.weight")!.data.filter((value) => value !== 0).length, 100)
  })
})
