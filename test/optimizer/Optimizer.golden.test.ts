import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Adafactor from "../../src/optimizer/Adafactor.ts"
import * as Adagrad from "../../src/optimizer/Adagrad.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as LearningRate from "../../src/optimizer/LearningRate.ts"
import * as Lion from "../../src/optimizer/Lion.ts"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as Sgd from "../../src/optimizer/Sgd.ts"
import { float32, hostFloat32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "../tensor/Backends.ts"

type Values = Readonly<Record<"matrix" | "vector", ReadonlyArray<number>>>

/** Made by `torch_optimizers.py`. */
const torch = JSON.parse(
  readFileSync(fileURLToPath(new URL("./torch.json", import.meta.url)), "utf8")
) as {
  readonly rate: number
  readonly shapes: Values
  readonly start: Values
  readonly gradients: ReadonlyArray<Values>
  readonly cases: Readonly<Record<string, ReadonlyArray<Values>>>
  readonly schedule: { readonly peak: number; readonly floor: number; readonly warmupSteps: number; total: number }
  readonly schedules: Readonly<Record<"cosine" | "linear" | "constant", ReadonlyArray<number>>>
}

const names = ["matrix", "vector"] as const

const adamW = (maxGradientNorm: number) =>
  Schema.decodeSync(AdamW.AdamWConfig)({ beta2: 0.98, weightDecay: 0.1, maxGradientNorm, averaging: 0.9 })

const optimizers: Readonly<Record<string, Optimizer.Optimizer>> = {
  "adamw": { transform: Adam.adamW(adamW(1e9)).transform },
  "adamw.clipped": { transform: Adam.adamW(adamW(1)).transform },
  "sgd": Optimizer.of(Sgd.sgd()),
  "sgd.momentum": Optimizer.of(Sgd.sgd({ momentum: 0.9 })),
  "sgd.nesterov": Optimizer.of(Sgd.sgd({ momentum: 0.8, nesterov: true })),
  "adagrad": Optimizer.of(Adagrad.adagrad({ initial: 0.1 })),
  "adafactor": Optimizer.of(Adafactor.adafactor()),
  "adafactor.decay": Optimizer.of(Adafactor.adafactor({ weightDecay: 0.1 })),
  "lion": Optimizer.of(Lion.lion()),
  "groups": Optimizer.of(
    Optimizer.groups(({ name }) => name === "matrix" ? "slow" : "still", {
      slow: Optimizer.scaleByRate(0.1),
      still: Optimizer.frozen
    })
  )
}

const spec = (name: "matrix" | "vector") => ({
  shape: torch.shapes[name],
  initialize: (values: Float32Array) => values.set(torch.start[name])
})

/** A program whose gradients are what it is fed. */
const given = make({
  name: "given",
  inputs: Object.fromEntries(names.flatMap((name) => [
    [name, float32(...torch.shapes[name])],
    [`given.${name}`, float32(...torch.shapes[name])]
  ])),
  body: (inputs) => Object.fromEntries(names.map((name) => [name, inputs[`given.${name}`]!.add(0)]))
})

const feeds = (gradients: Values) =>
  Object.fromEntries(names.map((name) => [
    `given.${name}`,
    hostFloat32(Float32Array.from(gradients[name]), ...torch.shapes[name])
  ]))

const train = (optimizer: Optimizer.Optimizer, microBatches = 1) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const store = yield* ParameterStore.make({ matrix: spec("matrix"), vector: spec("vector") })
    const executable = yield* runtime.compile(given)
    const after: Array<Record<string, Float32Array>> = []
    for (const gradients of torch.gradients) {
      const batch = feeds(gradients)
      yield* Effect.scoped(store.differentiate(
        executable,
        Array.from({ length: microBatches }, () => ({ feeds: batch, share: 1 / microBatches }))
      ))
      yield* store.apply(optimizer, torch.rate)
      yield* store.pull
      after.push(Object.fromEntries(names.map((name) => [name, store.buffer.view("weights", name).slice()])))
    }
    return { after, average: store.buffer.flat("average").slice() }
  }).pipe(Effect.scoped)

for (const [backend, layer] of backends) {
  describe(`optimizers against torch on ${backend}`, () => {
    it("have every case", () => assert.deepStrictEqual(Object.keys(torch.cases), Object.keys(optimizers)))

    for (const [name, expected] of Object.entries(torch.cases)) {
      it.effect(name, () =>
        Effect.gen(function*() {
          const { after } = yield* train(optimizers[name]!)
          for (const [step, weights] of after.entries()) {
            for (const parameter of names) {
              assert.isBelow(
                distance(weights[parameter]!, expected[step]![parameter]),
                3e-6,
                `${parameter} after step ${step + 1}`
              )
            }
          }
        }).pipe(Effect.provide(layer)))
    }

    it.effect("sum micro-batches to the big batch", () =>
      Effect.gen(function*() {
        const { after } = yield* train(optimizers["adamw.clipped"]!, 4)
        for (const parameter of names) {
          assert.isBelow(distance(after.at(-1)![parameter]!, torch.cases["adamw.clipped"]!.at(-1)![parameter]), 3e-6)
        }
      }).pipe(Effect.provide(layer)))

    it.effect("keep the moving average of the weights, as the fused kernel does", () =>
      Effect.gen(function*() {
        const config = adamW(1)
        const traced = yield* train({ transform: Adam.adamW(config).transform })
        const fused = yield* train(Adam.adamW(config))
        assert.isBelow(distance(traced.average, fused.average), 1e-6)
        for (const parameter of names) {
          assert.isBelow(distance(traced.after.at(-1)![parameter]!, fused.after.at(-1)![parameter]!), 1e-6)
        }
        const exact = Float64Array.from(torch.start.vector)
        for (const [step, weights] of traced.after.entries()) {
          const keep = Math.min(0.9, (step + 1) / (step + 11))
          for (let i = 0; i < exact.length; i++) exact[i] = keep * exact[i]! + (1 - keep) * weights["vector"]![i]!
        }
        assert.isBelow(distance(traced.average.subarray(12, 17), exact), 1e-6)
      }).pipe(Effect.provide(layer)))
  })
}

describe("Optimizer", () => {
  it("refuses two transforms whose slots have one name, unless one is named apart", () => {
    const parameters = [{ name: "w", shape: [2], decay: false }]
    assert.throws(() => Optimizer.chain(Sgd.trace(0.9), Lion.scaleByLion()).init(parameters), /"momentum.w"/)
    assert.deepStrictEqual(
      Object.keys(Optimizer.chain(Sgd.trace(0.9), Optimizer.named("lion", Lion.scaleByLion())).init(parameters)),
      ["momentum.w", "lion/momentum.w"]
    )
  })

  it("names a parameter whose group has no transform", () => {
    assert.throws(
      () => Optimizer.groups(() => "other", { head: Optimizer.frozen }).init([{ name: "w", shape: [], decay: false }]),
      /"w" is in the group "other"/
    )
  })
})

describe("LearningRate.at against torch", () => {
  for (const [decay, rates] of Object.entries(torch.schedules)) {
    it(decay, () => {
      const { total, ...settings } = torch.schedule
      const config = Schema.decodeSync(LearningRate.LearningRateConfig)({
        ...settings,
        decay: decay as "cosine"
      })
      for (const [step, rate] of rates.entries()) {
        assert.approximately(LearningRate.at(config, step, total), rate, 1e-12, `step ${step}`)
      }
    })
  }
})
