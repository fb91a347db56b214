import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as LearningRate from "../../src/optimizer/LearningRate.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Dropout from "../../src/tensor/Dropout.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { TensorError } from "../../src/tensor/TensorError.ts"
import * as TrainingKernels from "../../src/tensor/TrainingKernels.ts"

const config = (values: typeof AdamW.AdamWConfig.Encoded) => Schema.decodeSync(AdamW.AdamWConfig)(values)

const buffer = () =>
  ParameterBuffer.make({
    bias: { shape: [3], initialize: (values) => values.set([1, -2, 3]) },
    matrix: { shape: [2, 3], initialize: (values) => values.set([1, 2, 3, 4, 5, 6]) }
  })

describe("AdamW.apply", () => {
  it("equals the formula in float64, with clipping, decay of matrices only, and averaging", () => {
    const settings = config({ beta1: 0.9, beta2: 0.99, weightDecay: 0.1, maxGradientNorm: 1, averaging: 0.9 })
    const held = buffer()
    const next = Random.normal(3)
    const expected = new Map(held.slots.map((slot) => [slot.name, {
      p: Float64Array.from(held.view("weights", slot.name)),
      m: new Float64Array(slot.size),
      v: new Float64Array(slot.size),
      average: Float64Array.from(held.view("weights", slot.name))
    }]))
    for (let step = 1; step <= 5; step++) {
      for (const slot of held.slots) held.view("gradients", slot.name).forEach((_, i, all) => (all[i] = next() * 3))
      const norm = Math.sqrt(
        held.slots.flatMap((slot) => [...held.view("gradients", slot.name)])
          .reduce((sum, g) => sum + g * g, 0)
      )
      const rate = 0.01 * step
      const report = AdamW.apply(held, settings, step, rate)
      assert.notInstanceOf(report, TensorError)
      assert.closeTo((report as AdamW.StepReport).gradientNorm, norm, 1e-5)
      for (const slot of held.slots) {
        const state = expected.get(slot.name)!
        const decay = slot.name === "matrix" ? 0.1 : 0
        held.view("gradients", slot.name).forEach((raw, i) => {
          const g = raw * Math.min(1, 1 / (norm + 1e-6))
          state.m[i] = 0.9 * state.m[i]! + 0.1 * g
          state.v[i] = 0.99 * state.v[i]! + 0.01 * g * g
          const update = state.m[i] / (1 - 0.9 ** step) / (Math.sqrt(state.v[i] / (1 - 0.99 ** step)) + 1e-8)
          state.p[i] = state.p[i]! * (1 - rate * decay) - rate * update
          const keep = Math.min(0.9, step / (step + 10))
          state.average[i] = keep * state.average[i]! + (1 - keep) * state.p[i]
        })
        held.view("weights", slot.name).forEach((p, i) => assert.closeTo(p, state.p[i]!, 1e-5))
        held.view("average", slot.name).forEach((p, i) => assert.closeTo(p, state.average[i]!, 1e-5))
      }
    }
  })

  it("refuses a gradient that is not finite, names it and leaves the weights alone", () => {
    const held = buffer()
    held.view("gradients", "matrix")[4] = Number.NaN
    const before = held.flat("weights").slice()
    const error = AdamW.apply(held, config({}), 7, 0.1)
    assert.instanceOf(error, TensorError)
    assert.include((error as TensorError).message, "gradient of matrix")
    assert.include((error as TensorError).message, "step 7")
    assert.deepStrictEqual(held.flat("weights"), before)
  })
})

describe("ParameterBuffer", () => {
  it("puts decaying parameters first and keeps values through a snapshot", () => {
    const held = buffer()
    assert.deepStrictEqual(held.slots.map((slot) => slot.name), ["matrix", "bias"])
    assert.strictEqual(held.decaying, 8)
    const copy = ParameterBuffer.snapshot(held, "weights")
    held.flat("weights").fill(0)
    assert.isUndefined(ParameterBuffer.load(held, "weights", copy))
    assert.deepStrictEqual([...held.view("weights", "bias")], [1, -2, 3])
  })

  it("makes every region a memory of its own, which no two begin at the same lines of the cache of", () => {
    const held = buffer()
    const regions = ["weights", "gradients", "first", "second", "average"] as const
    assert.strictEqual(new Set(regions.map((region) => held.flat(region).buffer)).size, regions.length)
    assert.strictEqual(new Set(regions.map((region) => held.address(region) % 4096 >> 6)).size, regions.length)
    for (const region of regions) {
      assert.strictEqual(held.flat(region).byteOffset, held.address(region))
      assert.strictEqual(held.address(region) % 16, 0)
    }
  })

  it("refuses weights of another shape or with NaN, and changes nothing", () => {
    const held = buffer()
    const copy = ParameterBuffer.snapshot(held, "weights")
    copy.set("bias", { dtype: "F32", shape: [3], data: Float32Array.of(0, Number.NaN, 0) })
    const error = ParameterBuffer.load(held, "weights", copy)
    assert.include(error!.message, "bias[1]")
    copy.set("bias", { dtype: "F32", shape: [2], data: Float32Array.of(0, 0) })
    assert.include(ParameterBuffer.load(held, "weights", copy)!.message, "expected [3], got [2]")
    assert.deepStrictEqual([...held.view("weights", "matrix")], [1, 2, 3, 4, 5, 6])
  })
})

describe("LearningRate.at", () => {
  it("warms up, peaks, and ends at the floor", () => {
    const schedule = Schema.decodeSync(LearningRate.LearningRateConfig)({ peak: 2, warmupSteps: 4, floor: 0.1 })
    assert.strictEqual(LearningRate.at(schedule, 0, 100), 0.5)
    assert.strictEqual(LearningRate.at(schedule, 3, 100), 2)
    assert.closeTo(LearningRate.at(schedule, 52, 100), 2 * 0.55, 1e-9)
    assert.closeTo(LearningRate.at(schedule, 100, 100), 0.2, 1e-9)
  })
})

describe("Dropout.draw", () => {
  it("is a function of seed, step and site, and keeps the share it should", () => {
    const one = Dropout.make(2).draw(1, 5, 40_001, 0.25).map((mask) => mask.slice())
    const dropout = Dropout.make(2)
    dropout.draw(9, 9, 10, 0.5)
    const again = dropout.draw(1, 5, 40_001, 0.25)
    assert.deepStrictEqual(again[0], one[0])
    assert.notDeepEqual(one[0], one[1])
    assert.notDeepEqual(dropout.draw(1, 6, 40_001, 0.25)[0], one[0])
    const kept = one[0]!.filter((value) => value > 0)
    assert.closeTo(kept.length / 40_001, 0.75, 0.01)
    assert.isTrue(kept.every((value) => Math.abs(value - 4 / 3) < 1e-6))
  })
})

describe("TrainingKernels", () => {
  it("are the assembled TrainingKernels.wat", async () => {
    const wabt = await createRequire(import.meta.url)("wabt")()
    const source = readFileSync(fileURLToPath(new URL("../../src/tensor/TrainingKernels.wat", import.meta.url)), "utf8")
    const assembled = Buffer.from(
      wabt.parseWat("kernels", source, { simd: true, threads: true, multi_memory: true }).toBinary({}).buffer
    )
    assert.strictEqual(assembled.toString("base64"), TrainingKernels.binary)
  })
})
