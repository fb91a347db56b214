import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LeastSquares from "../../src/matrix/LeastSquares.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import * as NewRows from "../../src/policy/text/NewRows.ts"
import * as SidTokens from "../../src/policy/text/SidTokens.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as ByteAlphabet from "../../src/tokenizer/ByteAlphabet.ts"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { distance } from "../Golden.ts"

const drawn = (rows: number, width: number, ...key: ReadonlyArray<number>): Matrix.Matrix => {
  const next = Random.normal(...key)
  return { rows, width, data: Float32Array.from({ length: rows * width }, next) }
}
const matrix = (...rows: ReadonlyArray<ReadonlyArray<number>>): Matrix.Matrix => ({
  rows: rows.length,
  width: rows[0]!.length,
  data: Float32Array.from(rows.flat())
})

const bytes = Object.fromEntries(ByteAlphabet.characters.map((token, id) => [token, id]))
const bare = TokenizerFile.parse(TokenizerFile.assemble(bytes, "", "gpt2"))

describe("SID tokens", () => {
  const sids = [[10, 2], [1, 2, 9], [10, 99], [1, 2, 99]].map((codes) => Int32Array.from(codes))
  const index = { sids, codebookSizes: [11, 100, 100] }

  it("stand in the order of strings, in which > follows the digits", () => {
    assert.deepStrictEqual(SidTokens.vocabulary(sids), ["<a_10>", "<a_1>", "<b_2>", "<b_99>", "<c_99>", "<c_9>"])
  })

  it.effect("follow the vocabulary; items and codes have their ids, codes of no item none", () =>
    Effect.gen(function*() {
      const definition = yield* bare
      const tokenizer = yield* ByteLevelBpe.make(TokenizerFile.extend(definition, SidTokens.vocabulary(sids)))
      const tokens = yield* SidTokens.make(tokenizer, index)
      assert.deepStrictEqual(tokens.items.map((ids) => [...ids]), [[256, 258], [257, 258, 261], [256, 259], [
        257,
        258,
        260
      ]])
      assert.deepStrictEqual([...tokens.ids], [256, 257, 258, 259, 260, 261])
      assert.deepStrictEqual([tokens.levels[0]![10], tokens.levels[0]![1], tokens.levels[0]![0]], [256, 257, -1])
      const error = yield* Effect.flip(
        Effect.flatMap(ByteLevelBpe.make(definition), (own) => SidTokens.make(own, index))
      )
      assert.match(error.message, /no token "<a_10>" among its 256; add the tokens/)
    }))
})

describe("new rows of an embedding", () => {
  const sids = {
    levels: [],
    items: [[5, 7], [5, 6], [4, 7]].map((ids) => Int32Array.from(ids)),
    ids: Int32Array.of(4, 5, 6, 7)
  }

  it("around the mean of the old ones: mean and deviation of the rows in use, by seed", () => {
    const rows = { ...drawn(50, 3, 1), data: drawn(50, 3, 1).data.map((value, at) => value * (at % 3) + 7 * (at % 3)) }
    const made = NewRows.aroundMean(rows, { used: 40, count: 4000, seed: 3, noise: 0.5 })
    for (let i = 0; i < 3; i++) {
      const old = Array.from({ length: 40 }, (_, r) => rows.data[r * 3 + i]!)
      const own = Array.from({ length: 4000 }, (_, r) => made.data[r * 3 + i]!)
      const mean = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0) / values.length
      const deviation = (values: ReadonlyArray<number>) =>
        Math.sqrt(mean(values.map((v) => v ** 2)) - mean(values) ** 2)
      assert.closeTo(mean(own), mean(old), 0.05)
      assert.closeTo(deviation(own), 0.5 * deviation(old), 0.05)
    }
    assert.deepStrictEqual(made, NewRows.aroundMean(rows, { used: 40, count: 4000, seed: 3, noise: 0.5 }))
    assert.notDeepEqual(made, NewRows.aroundMean(rows, { used: 40, count: 4000, seed: 4, noise: 0.5 }))
    const still = NewRows.aroundMean(rows, { used: 40, count: 2, seed: 3, noise: 0 })
    assert.deepStrictEqual(Matrix.row(still, 0), Matrix.row(still, 1))
  })

  it("means of the items that have a token", () => {
    const made = NewRows.meansOfItems(sids, matrix([1, 2], [3, 4], [5, 12]))
    assert.deepStrictEqual(made, matrix([5, 12], [2, 3], [3, 4], [3, 7]))
  })

  it("means of words; a text without words has the mean of the others", () => {
    const rows = matrix([1, 0], [0, 1], [4, 4])
    assert.deepStrictEqual(
      NewRows.meansOfWords(rows, [[0, 1], [], [2, 2, 0]]),
      matrix([0.5, 0.5], [1.75, 19 / 12], [3, 8 / 3])
    )
  })

  it("projections of item embeddings recover a linear map exactly, and its nearest image otherwise", () => {
    const embeddings = drawn(60, 5, 2)
    const map = drawn(5, 4, 3)
    const words = Matrix.zeros(60, 4)
    for (let r = 0; r < 60; r++) {
      for (let j = 0; j < 4; j++) {
        let sum = 0.25 * j
        for (let i = 0; i < 5; i++) sum += embeddings.data[r * 5 + i]! * map.data[i * 4 + j]!
        words.data[r * 4 + j] = sum
      }
    }
    assert.isBelow(distance(NewRows.projected(embeddings, words, 0).data, words.data), 1e-5)
    // Residuals of least squares are orthogonal to the inputs and to the intercept.
    const noisy = { ...words, data: words.data.map((value, at) => value + drawn(60, 4, 5).data[at]!) }
    const fitted = NewRows.projected(embeddings, noisy, 0)
    for (let j = 0; j < 4; j++) {
      const residuals = Array.from({ length: 60 }, (_, r) => noisy.data[r * 4 + j]! - fitted.data[r * 4 + j]!)
      assert.closeTo(residuals.reduce((a, b) => a + b, 0), 0, 1e-4)
      for (let i = 0; i < 5; i++) {
        assert.closeTo(residuals.reduce((sum, value, r) => sum + value * embeddings.data[r * 5 + i]!, 0), 0, 1e-4)
      }
    }
    const ridged = LeastSquares.fit(embeddings, noisy, 10)
    const plain = LeastSquares.fit(embeddings, noisy, 0)
    const size = (values: Float64Array) => values.reduce((sum, value) => sum + value ** 2, 0)
    assert.isBelow(size(ridged.weights), size(plain.weights) / 10)
    const constant = NewRows.projected(Matrix.zeros(60, 5), noisy, 0)
    assert.isTrue(constant.data.every(Number.isFinite))
  })

  it("are scaled to the mean length of the old ones", () => {
    const scaled = NewRows.rescaled(matrix([3, 4], [0, 0]), matrix([0, 1], [3, 0], [100, 100]), 2)
    assert.isBelow(distance(scaled.data, [1.2, 1.6, 0, 0]), 1e-6)
  })

  it("stand at their ids, in place of rows that no token had; rows between are the mean", () => {
    const rows = matrix([1, 1], [3, 3], [9, 9])
    const placed = NewRows.place(rows, Int32Array.of(2, 4), matrix([5, 6], [7, 8]), 2)
    assert.deepStrictEqual(placed, matrix([1, 1], [3, 3], [5, 6], [2, 2], [7, 8]))
    assert.deepStrictEqual(Array.from(rows.data), [1, 1, 3, 3, 9, 9])
  })
})
