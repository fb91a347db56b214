import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as KMeans from "../../src/sid/clustering/KMeans.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as RqKMeans from "../../src/sid/quantizer/RqKMeans.ts"
import { type SidError } from "../../src/sid/SidError.ts"
import * as Random from "../../src/statistics/Random.ts"

const runtime = Layer.merge(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent)
const config = (values: typeof RqKMeans.RqKMeansConfig.Encoded) => Schema.decodeSync(RqKMeans.RqKMeansConfig)(values)
const layer = (values: typeof RqKMeans.RqKMeansConfig.Encoded, shape: typeof Quantizer.SidShape.Encoded, seed = 1) =>
  RqKMeans.layer(config(values), Schema.decodeSync(Quantizer.SidShape)(shape), seed).pipe(Layer.provideMerge(runtime))

const gaussian = (rows: number, width: number, seed: number): Matrix => ({
  rows,
  width,
  data: Float32Array.from({ length: rows * width }, Random.normal(seed))
})

const squaredError = (a: Matrix, b: Matrix) => a.data.reduce((sum, value, i) => sum + (value - b.data[i]!) ** 2, 0)

describe("KMeans.assigner", () => {
  it.effect("finds the nearest centre and its distance (brute force)", () =>
    Effect.gen(function*() {
      const assign = yield* KMeans.assigner
      const rows = gaussian(300, 7, 1)
      const centres = gaussian(11, 7, 2)
      const { distances, labels } = yield* assign(rows, centres)
      for (let r = 0; r < rows.rows; r++) {
        const exact = Array.from({ length: 11 }, (_, c) =>
          Array.from({ length: 7 }, (_, d) =>
            (rows.data[r * 7 + d]! - centres.data[c * 7 + d]!) ** 2).reduce((a, b) =>
              a + b, 0))
        const least = Math.min(...exact)
        assert.strictEqual(labels[r], exact.indexOf(least))
        assert.closeTo(distances[r]!, least, 1e-4)
      }
    }).pipe(Effect.provide(runtime)))
})

describe("KMeans.miniBatch", () => {
  it.effect("is a running mean of what each centre was given, batch by batch (by hand)", () =>
    Effect.gen(function*() {
      const assign = yield* KMeans.assigner
      const rows = gaussian(500, 6, 3)
      const start = gaussian(9, 6, 4)
      const stoodFor = Float64Array.from({ length: 9 }, (_, k) => k * 3)
      const found = yield* KMeans.miniBatch(assign, rows, start, stoodFor, 64, 5)
      const centres = Array.from(
        { length: 9 },
        (_, k) => ({ count: stoodFor[k]!, mean: Array.from(start.data.subarray(k * 6, k * 6 + 6)) })
      )
      const order = Array.from(Random.permutation(500, 5, 0x3b))
      for (let from = 0; from < 500; from += 64) {
        const fixed = centres.map(({ mean }) => [...mean])
        for (const r of order.slice(from, from + 64)) {
          const x = Array.from(rows.data.subarray(r * 6, r * 6 + 6))
          const away = fixed.map((mean) => mean.reduce((sum, value, d) => sum + (value - x[d]!) ** 2, 0))
          const centre = centres[away.indexOf(Math.min(...away))]!
          centre.mean = centre.mean.map((value, d) => (value * centre.count + x[d]!) / (centre.count + 1))
          centre.count++
        }
      }
      for (const [i, value] of centres.flatMap(({ mean }) => mean).entries()) {
        assert.closeTo(found.data[i]!, value, 1e-5)
      }
    }).pipe(Effect.provide(runtime)))

  it.effect("lowers the error where iterations saw a part of the rows", () =>
    Effect.gen(function*() {
      const rows = gaussian(6000, 8, 6)
      const options = { maximumIterations: 25, tolerance: 1e-4, starts: 1, rowsPerCentre: 20, seedRows: 1000, seed: 1 }
      const without = yield* KMeans.train(rows, 16, { ...options, miniBatch: 0 })
      const through = yield* KMeans.train(rows, 16, { ...options, miniBatch: 256 })
      const full = yield* KMeans.train(rows, 16, { ...options, rowsPerCentre: Infinity, miniBatch: 256 })
      assert.isBelow(through.inertia, without.inertia)
      assert.isBelow(through.inertia - full.inertia, 0.5 * (without.inertia - full.inertia))
    }).pipe(Effect.scoped, Effect.provide(runtime)))
})

describe("RqKMeans", () => {
  it.effect("lowers the error with every level and is a function of the seed", () =>
    Effect.gen(function*() {
      const rows = gaussian(400, 8, 3)
      const errors: Array<number> = []
      for (const levels of [1, 2, 3]) {
        const [error, codes] = yield* Effect.gen(function*() {
          const quantizer = yield* Quantizer.Quantizer
          const trained = yield* quantizer.train(Quantizer.itemsOf(rows))
          const codes = yield* quantizer.encode(Quantizer.itemsOf(rows), trained.model)
          assert.deepStrictEqual(trained.codes, codes)
          const error = squaredError(rows, yield* quantizer.decode(codes, trained.model))
          const diagnosis = yield* quantizer.diagnose(Quantizer.itemsOf(rows), trained)
          assert.closeTo(diagnosis.meanSquaredError, error / rows.data.length, 1e-9)
          return [error, codes.codes] as const
        }).pipe(Effect.provide(layer({}, { levels, codes: 16 })))
        errors.push(error)
        if (levels === 3) {
          const again = yield* Effect.gen(function*() {
            const quantizer = yield* Quantizer.Quantizer
            return (yield* quantizer.train(Quantizer.itemsOf(rows))).codes
          }).pipe(Effect.provide(layer({}, { levels, codes: 16 })))
          assert.deepStrictEqual(again.codes, codes)
        }
      }
      assert.isBelow(errors[1]!, errors[0]! * 0.8)
      assert.isBelow(errors[2]!, errors[1]! * 0.8)
    }))

  it.effect("refuses NaN with row and component, and a one-item catalogue; pads K where rows are equal", () =>
    Effect.gen(function*() {
      const quantizer = yield* Quantizer.Quantizer
      const bad = gaussian(10, 4, 5)
      bad.data[4 * 7 + 2] = Number.NaN
      const error: SidError = (yield* Effect.flip(quantizer.train(Quantizer.itemsOf(bad)))) as SidError
      assert.strictEqual(error.reason._tag, "BadEmbedding")
      assert.include(error.message, "item 7")
      assert.include(error.message, "component 2")
      const one = (yield* Effect.flip(quantizer.train(Quantizer.itemsOf(gaussian(1, 4, 1))))) as SidError
      assert.strictEqual(one.reason._tag, "TooFewItems")
      const equal: Matrix = { rows: 6, width: 2, data: Float32Array.of(1, 1, 1, 1, 1, 1, 0, 2, 0, 2, 0, 2) }
      const { model } = yield* quantizer.train(Quantizer.itemsOf(equal))
      assert.deepStrictEqual(model.codebookSizes, [6, 6, 6])
    }).pipe(Effect.provide(layer({}, { codes: 16 }))))

  it("chooses K from the catalogue's size", () => {
    assert.deepStrictEqual([20, 1200, 4344, 12101, 1e6].map(Quantizer.defaultCodes), [16, 64, 128, 256, 256])
    const of = (levels: number, items: number, codes?: number) =>
      Quantizer.codesFor(
        Schema.decodeSync(Quantizer.SidShape)({ levels, ...(codes === undefined ? {} : { codes }) }),
        items
      )
    // As many as there are items at most; with few levels as many as give every item a SID.
    assert.deepStrictEqual([of(3, 5), of(3, 1200), of(1, 300), of(2, 100_000), of(1, 300, 8)], [5, 64, 300, 512, 8])
  })
})
