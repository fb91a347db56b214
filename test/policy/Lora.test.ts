import { assert, describe, it } from "@effect/vitest"
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import * as Lora from "../../src/policy/lora/Lora.ts"
import * as LoraConfig from "../../src/policy/lora/LoraConfig.ts"
import * as LoraLayer from "../../src/policy/lora/LoraLayer.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Random from "../../src/statistics/Random.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { resident } from "../tensor/Backends.ts"
import { config as plain } from "./Fixture.ts"
import {
  adaptedPolicy,
  configOf,
  decode,
  drawn,
  enliven,
  gradients,
  groups,
  learnsWithAdapters,
  lora,
  onnx,
  withPolicy
} from "./Lora.ts"

describe("LoraConfig", () => {
  it("has the defaults and the scale of peft", () => {
    assert.deepInclude(configOf({}), { rank: 8, alpha: 8, rsLora: false, dropout: 0 })
    assert.strictEqual(LoraConfig.scale(configOf({ rank: 4, alpha: 6 })), 1.5)
    assert.strictEqual(LoraConfig.scale(configOf({ rank: 4, alpha: 6, rsLora: true })), 3)
  })

  it("refuses what is no adapter", () => {
    const wrong: ReadonlyArray<Readonly<Record<string, unknown>>> = [
      { rank: 0 },
      { rank: 1.5 },
      { alpha: 0 },
      { alpha: Infinity },
      { modules: [] },
      { modules: ["q_proj", "q_proj"] },
      { modules: ["lm_head"] },
      { dropout: 1 },
      { layers: [] },
      { layers: [-1] },
      { dora: true }
    ]
    for (const settings of wrong) assert.isTrue(Result.isFailure(decode(settings)), JSON.stringify(settings))
    const flat = Schema.decodeUnknownResult(FlatPolicy.FlatPolicyConfig)
    assert.isTrue(Result.isSuccess(flat({ lora: { layers: [3] } })))
    assert.isTrue(Result.isFailure(flat({ lora: { layers: [4] } })))
    assert.isTrue(Result.isFailure(flat({ lora: { dropout: 0.1 } })))
  })
})

describe("Lora.parameters", () => {
  const decoder = Schema.decodeSync(Transformer.DecoderConfig)({ vocabulary: 16, layers: 3, queryKeyNorm: true })
  const base = Transformer.parameters(decoder, Random.normal(1))

  it("freeze the base, draw A as Kaiming does, and set B to zero", () => {
    const specs = Lora.parameters(configOf({ rank: 16 }), base, Random.uniform(2))
    assert.strictEqual(Object.keys(specs).length, Object.keys(base).length + 3 * 7 * 2)
    for (const name of Object.keys(base)) assert.isFalse(specs[name]!.trainable, name)
    for (const [name, { initialize, shape, trainable }] of Object.entries(specs)) {
      if (name in base) continue
      assert.notStrictEqual(trainable, false)
      const values = new Float32Array(shape[0]! * shape[1]!)
      initialize(values)
      if (name.endsWith("lora_B.weight")) assert.isTrue(values.every((value) => value === 0), name)
      else {
        const bound = 1 / Math.sqrt(shape[1]!)
        const square = values.reduce((sum, value) => sum + value * value, 0) / values.length
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length
        assert.isAtMost(Math.max(...values.map(Math.abs)), bound, name)
        assert.closeTo(square, bound * bound / 3, bound * bound / 20, name)
        assert.closeTo(mean, 0, bound / 10, name)
      }
    }
  })

  it("adapt the chosen layers and modules alone", () => {
    const some = configOf({ rank: 2, modules: ["down_proj", "k_proj"], layers: [0, 2] })
    assert.deepStrictEqual([...Lora.shapes(some, base)], [
      ["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", [2, 128]],
      ["base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight", [64, 2]],
      ["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight", [2, 344]],
      ["base_model.model.model.layers.0.mlp.down_proj.lora_B.weight", [128, 2]],
      ["base_model.model.model.layers.2.self_attn.k_proj.lora_A.weight", [2, 128]],
      ["base_model.model.model.layers.2.self_attn.k_proj.lora_B.weight", [64, 2]],
      ["base_model.model.model.layers.2.mlp.down_proj.lora_A.weight", [2, 344]],
      ["base_model.model.model.layers.2.mlp.down_proj.lora_B.weight", [128, 2]]
    ])
  })

  it("begin from tensors of their shape", () => {
    const name = "model.norm.weight"
    const tensor = (size: number) =>
      new Map([[name, { dtype: "F32" as const, shape: [size], data: new Float32Array(size).fill(3) }]])
    const values = new Float32Array(128)
    Lora.startingFrom(base, tensor(128))[name]!.initialize(values)
    assert.isTrue(values.every((value) => value === 3))
    assert.throws(() => Lora.startingFrom(base, tensor(64)), RangeError, name)
  })
})

describe("Lora.merge", () => {
  it.effect("names every problem of the adapters", () =>
    Effect.gen(function*() {
      const decoder = Schema.decodeSync(Transformer.DecoderConfig)({ vocabulary: 16, layers: 2 })
      const some = configOf({ rank: 2, modules: ["q_proj"], layers: [1, 5] })
      const base = new Map(
        Object.entries(Transformer.parameters(decoder, () => 0)).map(([name, { shape }]) => [
          name,
          { dtype: "F32" as const, shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }
        ])
      )
      const { down } = LoraLayer.names("model.layers.1.self_attn.q_proj.weight")
      const other = LoraLayer.names("model.layers.0.self_attn.q_proj.weight").up
      const tensor = { dtype: "F32" as const, shape: [3, 128], data: new Float32Array(3 * 128) }
      const error = yield* Effect.flip(Lora.merge(some, base, new Map([[down, tensor], [other, tensor]])))
      assert.strictEqual(error.reason._tag, "InvalidAdapter")
      for (const words of ["layer 5 does not exist", "[3, 128], expected [2, 128]", "is missing", other]) {
        assert.include(error.message, words)
      }
      const none = yield* Effect.flip(Lora.unmerge(some, new Map(), new Map()))
      assert.include(none.message, "the base has no layer \"q_proj\"")
    }))
})

describe("Transformer.forward with adapters", () => {
  const decoder = Schema.decodeSync(Transformer.DecoderConfig)({
    vocabulary: 12,
    width: 16,
    layers: 2,
    heads: 2,
    keyValueHeads: 1,
    headWidth: 8,
    feedForward: 24,
    lora: { rank: 3, alpha: 6 }
  })
  const specs = Lora.parameters(lora, Transformer.parameters(decoder, () => 0), () => 0)
  const layers = Lora.adapted(lora, specs)
  const [batch, length] = [2, 3]

  /** The final states with dropout masks, or without them, or without adapters. */
  const hidden = (masks: ((name: string) => Float32Array) | undefined, adapters = true) =>
    Effect.gen(function*() {
      const store = yield* ParameterStore.make(specs)
      enliven(store)
      const runtime = yield* TensorRuntime
      const names = store.buffer.slots.filter(({ name }) => adapters || !name.startsWith(LoraLayer.prefix))
      const dropped = masks === undefined ? [] : layers
      const program = yield* runtime.compile(make({
        name: "forward",
        inputs: {
          ...Object.fromEntries(names.map(({ name, shape }) => [name, float32(...shape)])),
          tokens: int32("B", "T"),
          positions: int32("B", "T"),
          mask: float32("B", 1, "T", "T"),
          ...Object.fromEntries(dropped.map(({ inputs, name }) => [`drop/${name}`, float32("B", "T", inputs)]))
        },
        body: (x: Readonly<Record<string, tf.Tensor>>) => ({
          hidden: Transformer.forward(decoder, x, {
            tokens: x["tokens"]!,
            positions: x["positions"]!,
            mask: x["mask"]!,
            adapterDropout: Object.fromEntries(dropped.map(({ name }) => [name, x[`drop/${name}`]!]))
          }).hidden
        })
      }))
      const weights = store.buffer.tensors("weights")
      const out = yield* program.run({
        ...Object.fromEntries(names.map(({ name }) => [name, weights[name]!])),
        tokens: hostInt32(Int32Array.of(1, 2, 3, 4, 5, 6), batch, length),
        positions: hostInt32(Int32Array.of(0, 1, 2, 0, 1, 2), batch, length),
        mask: hostFloat32(new Float32Array(batch * length * length), batch, 1, length, length),
        ...Object.fromEntries(
          dropped.map(({ inputs, name }) => [`drop/${name}`, hostFloat32(masks!(name), batch, length, inputs)])
        )
      })
      return (yield* out.hidden.read).data as Float32Array
    }).pipe(Effect.scoped, Effect.provide(onnx))

  const sizeOf = (name: string) => batch * length * layers.find((one) => one.name === name)!.inputs

  it.effect("drops the inputs of adapters alone", () =>
    Effect.gen(function*() {
      const [base, whole] = [yield* hidden(undefined, false), yield* hidden(undefined)]
      assert.isAbove(distance(base, whole), 0.1)
      assert.isBelow(distance(yield* hidden((name) => new Float32Array(sizeOf(name)).fill(1)), whole), 1e-5)
      assert.isBelow(distance(yield* hidden((name) => new Float32Array(sizeOf(name))), base), 1e-5)
      for (const { name } of layers) {
        const found = yield* hidden((one) => new Float32Array(sizeOf(one)).fill(one === name ? 1 : 0))
        assert.isAbove(distance(found, base), 1e-4, name)
      }
    }))

  it.effect("computes W x + scale B A dropout(x)", () =>
    Effect.gen(function*() {
      const [rows, inputs, outputs, rank] = [4, 5, 6, 3]
      const { down, up } = LoraLayer.names("layer.weight")
      const x = drawn("x", rows * inputs, 1)
      const [y, a, b] = [drawn("y", rows * outputs, 1), drawn("a", rank * inputs, 1), drawn("b", outputs * rank, 1)]
      const mask = Float32Array.from(x, (_, i) => i % 3 === 0 ? 0 : 1.5)
      const runtime = yield* TensorRuntime
      const program = yield* runtime.compile(make({
        name: "layer",
        inputs: {
          x: float32(rows, inputs),
          y: float32(rows, outputs),
          a: float32(rank, inputs),
          b: float32(outputs, rank),
          mask: float32(2, rows / 2, inputs)
        },
        body: ({ a, b, mask, x, y }) => ({
          z: LoraLayer.add(lora, { [down]: a, [up]: b }, { name: "layer.weight", x, y, mask })
        })
      }))
      const out = yield* program.run({
        x: hostFloat32(x, rows, inputs),
        y: hostFloat32(y, rows, outputs),
        a: hostFloat32(a, rank, inputs),
        b: hostFloat32(b, outputs, rank),
        mask: hostFloat32(mask, 2, rows / 2, inputs)
      })
      const expected = y.map((start, at) => {
        const [row, o] = [Math.floor(at / outputs), at % outputs]
        let sum = 0
        for (let r = 0; r < rank; r++) {
          for (let i = 0; i < inputs; i++) {
            sum += b[o * rank + r]! * a[r * inputs + i]! * x[row * inputs + i]! * mask[row * inputs + i]!
          }
        }
        return start + 2 * sum
      })
      assert.isBelow(distance((yield* out.z.read).data, expected), 1e-5)
    }).pipe(Effect.scoped, Effect.provide(onnx)))

  it("refuses half an adapter, and one of unknown scale", () => {
    const x = {} as tf.Tensor
    const { down, up } = LoraLayer.names("layer.weight")
    const add = (config: LoraConfig.LoraConfig | undefined, names: ReadonlyArray<string>) => () =>
      LoraLayer.add(config, Object.fromEntries(names.map((name) => [name, x])), { name: "layer.weight", x, y: x })
    assert.throws(add(lora, [down]), RangeError, up)
    assert.throws(add(lora, [up]), RangeError, down)
    assert.throws(add(undefined, [down, up]), RangeError, "lora")
    assert.strictEqual(add(lora, [])(), x)
  })
})

describe("a flat policy with adapters", () => {
  it.effect("begins equal to its base", () =>
    Effect.gen(function*() {
      const scores = Effect.gen(function*() {
        const policy = yield* PolicyModel
        return yield* policy.score(groups, yield* (yield* PolicyParameters).weights)
      })
      const [base, adapted] = [yield* withPolicy(plain, scores), yield* withPolicy(adaptedPolicy, scores)]
      for (const [g, { logProbs }] of base.entries()) assert.isBelow(distance(adapted[g]!.logProbs, logProbs), 1e-6)
    }).pipe(Effect.provide(onnx)))

  it.effect("has the scores of the merged policy, and the gradients that follow from its gradients", () =>
    Effect.gen(function*() {
      const adapted = yield* withPolicy(
        adaptedPolicy,
        Effect.gen(function*() {
          const store = yield* PolicyParameters
          enliven(store)
          return { ...(yield* gradients(store)), weights: (yield* store.save).weights }
        })
      )
      const { weights } = adapted
      const merged = yield* Lora.merge(lora, weights, weights)
      const whole = yield* withPolicy(
        plain,
        Effect.gen(function*() {
          const policy = yield* PolicyModel
          return yield* gradients(yield* ParameterStore.make(Lora.startingFrom(policy.parameters, merged)))
        }).pipe(Effect.scoped)
      )
      for (const [g, { logProbs }] of whole.scores.entries()) {
        assert.isBelow(distance(adapted.scores[g]!.logProbs, logProbs), 1e-4)
      }
      assert.isBelow(distance(adapted.losses, whole.losses), 1e-4)
      const shapes = Object.fromEntries(weights)
      const factor = LoraConfig.scale(lora)
      for (const loss of ["supervised", "group"] as const) {
        assert.strictEqual(adapted[loss].size, 2 * 7 * 2)
        for (const { inputs, name, names, outputs } of Lora.adapted(lora, shapes)) {
          const gradient = whole[loss].get(name)!
          const [a, b] = [weights.get(names.down)!.data, weights.get(names.up)!.data]
          // dA = scale B' dW, dB = scale dW A'.
          const down = new Float64Array(lora.rank * inputs)
          const up = new Float64Array(outputs * lora.rank)
          for (let o = 0; o < outputs; o++) {
            for (let r = 0; r < lora.rank; r++) {
              for (let i = 0; i < inputs; i++) {
                down[r * inputs + i]! += factor * b[o * lora.rank + r]! * gradient[o * inputs + i]!
                up[o * lora.rank + r]! += factor * a[r * inputs + i]! * gradient[o * inputs + i]!
              }
            }
          }
          const size = Math.max(...down.map(Math.abs), ...up.map(Math.abs))
          assert.isAbove(size, 1e-4, name)
          assert.isBelow(distance(adapted[loss].get(names.down)!, down), 1e-4 * size + 1e-6, names.down)
          assert.isBelow(distance(adapted[loss].get(names.up)!, up), 1e-4 * size + 1e-6, names.up)
        }
      }
    }).pipe(Effect.provide(onnx)))

  it.effect("has no gradient of the base, and fewer nodes than training it", () => {
    const nodes = new Map<string, number>()
    const outputs = new Set<string>()
    const noting = Layer.effect(
      TensorRuntime,
      Effect.map(TensorRuntime, (runtime) =>
        TensorRuntime.of({
          ...runtime,
          compile: (program) =>
            Effect.map(runtime.compile(program), (executable) => {
              nodes.set(program.name, executable.nodes)
              return {
                ...executable,
                run: (feeds, into) =>
                  Effect.tap(executable.run(feeds, into), (found) =>
                    Effect.sync(() => {
                      for (const name of Object.keys(found)) outputs.add(name)
                    }))
              }
            })
        }))
    )
    /** Nodes of both losses where the chosen parameters are trained. */
    const counted = (settings: FlatPolicy.FlatPolicyConfig, trained?: (name: string) => boolean) =>
      withPolicy(
        settings,
        Effect.gen(function*() {
          const { parameters } = yield* PolicyModel
          const specs = trained === undefined
            ? parameters
            : Object.fromEntries(
              Object.entries(parameters).map(([name, spec]) => [name, { ...spec, trainable: trained(name) }])
            )
          outputs.clear()
          yield* gradients(yield* ParameterStore.make(specs))
          return ["flat.supervised", "flat.grpo"].map((name) => nodes.get(name)!)
        }).pipe(Effect.scoped)
      )
    return Effect.gen(function*() {
      const whole = yield* counted(adaptedPolicy, () => true)
      const adapters = yield* counted(adaptedPolicy)
      const names = [...outputs].filter((name) => name.includes("model."))
      assert.strictEqual(names.length, 2 * 7 * 2)
      for (const name of names) assert.isTrue(name.startsWith(LoraLayer.prefix), name)
      const last = yield* counted(
        Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...plain, lora: { rank: 3, layers: [1] } })
      )
      const none = yield* counted(adaptedPolicy, () => false)
      for (const loss of [0, 1]) {
        // One product per weight of the base at least is left out, and all that is behind the first adapter.
        assert.isBelow(adapters[loss]!, whole[loss]! - 14, JSON.stringify({ whole, adapters, last, none }))
        assert.isBelow(last[loss]!, adapters[loss]! - 20)
        assert.isBelow(none[loss]!, last[loss]!)
      }
    }).pipe(Effect.provide(noting.pipe(Layer.provide(onnx))))
  })

  learnsWithAdapters(["onnx-cpu", Layer.orDie(onnx)])
  // All steps have their turn in the long suite, as a step takes a third of a second.
  learnsWithAdapters(resident, 3, 1)
})
