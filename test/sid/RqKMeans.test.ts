import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { type Matrix } from "../../src/embedding/Matrix.ts"
import * as Collision from "../../src/sid/Collision.ts"
import * as KMeans from "../../src/sid/KMeans.ts"
import { Quantizer } from "../../src/sid/Quantizer.ts"
import * as RqKMeans from "../../src/sid/RqKMeans.ts"
import { type SidError } from "../../src/sid/SidError.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Random from "../../src/tensor/Random.ts"

const runtime = OnnxRuntime.layerCpu({ threads: 2 })
const config = (values: typeof RqKMeans.RqKMeansConfig.Encoded) => Schema.decodeSync(RqKMeans.RqKMeansConfig)(values)
const layer = (values: typeof RqKMeans.RqKMeansConfig.Encoded, seed = 1) =>
  RqKMeans.layer(config(values), seed).pipe(Layer.provideMerge(runtime))

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

describe("RqKMeans", () => {
  it.effect("lowers the error with every level and is a function of the seed", () =>
    Effect.gen(function*() {
      const rows = gaussian(400, 8, 3)
      const errors: Array<number> = []
      for (const levels of [1, 2, 3]) {
        const [error, codes] = yield* Effect.gen(function*() {
          const quantizer = yield* Quantizer
          const books = yield* quantizer.train(rows)
          const codes = yield* quantizer.encode(rows, books)
          return [squaredError(rows, quantizer.decode(codes, books)), codes.codes] as const
        }).pipe(Effect.provide(layer({ levels, codes: 16 })))
        errors.push(error)
        if (levels === 3) {
          const again = yield* Effect.gen(function*() {
            const quantizer = yield* Quantizer
            return yield* quantizer.encode(rows, yield* quantizer.train(rows))
          }).pipe(Effect.provide(layer({ levels, codes: 16 })))
          assert.deepStrictEqual(again.codes, codes)
        }
      }
      assert.isBelow(errors[1]!, errors[0]! * 0.8)
      assert.isBelow(errors[2]!, errors[1]! * 0.8)
    }))

  it.effect("refuses NaN with row and component, and a one-item catalogue; lowers K to the distinct rows", () =>
    Effect.gen(function*() {
      const quantizer = yield* Quantizer
      const bad = gaussian(10, 4, 5)
      bad.data[4 * 7 + 2] = Number.NaN
      const error: SidError = (yield* Effect.flip(quantizer.train(bad))) as SidError
      assert.strictEqual(error.reason._tag, "BadEmbedding")
      assert.include(error.message, "item 7")
      assert.include(error.message, "component 2")
      const one = (yield* Effect.flip(quantizer.train(gaussian(1, 4, 1)))) as SidError
      assert.strictEqual(one.reason._tag, "TooFewItems")
      const equal: Matrix = { rows: 6, width: 2, data: Float32Array.of(1, 1, 1, 1, 1, 1, 0, 2, 0, 2, 0, 2) }
      const books = yield* quantizer.train(equal)
      assert.deepStrictEqual(books.map((book) => book.rows), [2, 1, 1])
    }).pipe(Effect.provide(layer({ codes: 16 }))))

  it("chooses K from the catalogue's size", () => {
    assert.deepStrictEqual([20, 1200, 4344, 12101, 1e6].map(RqKMeans.defaultCodes), [16, 64, 128, 256, 256])
  })
})

describe("Collision and SidIndex", () => {
  const codes = Int32Array.of(1, 2, 1, 2, 0, 0, 1, 2, 0, 1)
  it("extra-token gives colliding items one more code, and no SID begins another", () => {
    const index = SidIndex.fromCodes(codes, 2, [2, 3], Collision.extraToken)
    assert.deepStrictEqual(index.sids.map((sid) => [...sid]), [[1, 2, 0], [1, 2, 1], [0, 0], [1, 2, 2], [0, 1]])
    assert.deepStrictEqual([...index.codebookSizes], [2, 3, 3])
    assert.strictEqual(new Set(index.leafOf).size, 5)
    for (const leaf of index.leafOf) assert.strictEqual(index.trie.childStart[leaf], index.trie.childStart[leaf + 1])
  })
  it("keep leaves shared SIDs, and index.json goes there and back", () =>
    Effect.gen(function*() {
      const index = SidIndex.fromCodes(codes, 2, [2, 3], Collision.keep)
      assert.strictEqual(new Set(index.leafOf).size, 3)
      assert.strictEqual(SidIndex.format(index.sids[0]!), "<a_1><b_2>")
      const back = yield* SidIndex.fromJson(JSON.parse(JSON.stringify(SidIndex.toJson(index))))
      assert.deepStrictEqual(back.sids, index.sids)
      for (const bad of [{ 0: ["<a_1>", "<a_2>"] }, { 0: [] }, { 1: ["<a_1>"] }, { 0: "<a_1>" }, null]) {
        const error = yield* Effect.flip(SidIndex.fromJson(bad))
        assert.strictEqual(error.reason._tag, "BadIndex")
      }
    }).pipe(Effect.runPromise))
})
