import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as RqVaeModel from "../../src/sid/rqvae/RqVaeModel.ts"
import * as RqVaeTrainer from "../../src/sid/rqvae/RqVaeTrainer.ts"
import * as Random from "../../src/statistics/Random.ts"

const layer = Layer.merge(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent)

/** Rows around 12 centres. */
const clustered = (rows: number, width: number) => {
  const next = Random.normal(5)
  const centres = Float32Array.from({ length: 12 * width }, next)
  return {
    rows,
    width,
    data: Float32Array.from(
      { length: rows * width },
      (_, i) => centres[(Math.floor(i / width) % 12) * width + (i % width)]! + 0.1 * next()
    )
  }
}

const config = Schema.decodeSync(RqVaeModel.RqVaeConfig)({
  network: { layers: [32], width: 8, codes: [8, 8] },
  epochs: 60,
  batch: 64,
  warmupEpochs: 2,
  learningRate: 3e-3,
  evaluationEpochs: 20
})

describe("RqVae.train", () => {
  it.effect("learns to rebuild clustered rows, the same way for the same seed", () =>
    Effect.gen(function*() {
      const rows = clustered(120, 16)
      const run = Effect.gen(function*() {
        const { report, rqVae } = yield* RqVaeTrainer.train(config, rows, 3)
        const codes = yield* rqVae.encode(rows)
        return { report, codes, decoded: yield* rqVae.decode(codes) }
      }).pipe(Effect.scoped)
      const first = yield* run
      const variance = rows.data.reduce((sum, x) => sum + x * x, 0)
      const error = rows.data.reduce((sum, x, i) => sum + (x - first.decoded.data[i]!) ** 2, 0)
      assert.isBelow(error / variance, 0.5)
      assert.isBelow(first.report.collisionRate, 1)
      const again = yield* run
      assert.deepStrictEqual(again.report, first.report)
      assert.deepStrictEqual([...again.codes.codes], [...first.codes.codes])
    }).pipe(Effect.provide(layer)), 240_000)

  it.effect("names the item and the component of a value that is not finite", () =>
    Effect.gen(function*() {
      const rows = clustered(20, 4)
      rows.data[4 * 7 + 2] = NaN
      const error = yield* Effect.flip(Effect.scoped(RqVaeTrainer.train(config, rows, 3)))
      assert.include(error.message, "item 7 has NaN in component 2")
    }).pipe(Effect.provide(layer)))
})
