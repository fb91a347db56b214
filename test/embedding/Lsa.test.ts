import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Lsa from "../../src/embedding/Lsa.ts"
import { itemText } from "../../src/embedding/TextEncoder.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import * as TruncatedSvd from "../../src/matrix/TruncatedSvd.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as Random from "../../src/statistics/Random.ts"
import { config, svdOf, tfIdf } from "./Lsa.ts"

describe("TruncatedSvd.compute", () => {
  it("finds the singular triples of a matrix with known ones", async () => {
    const [rows, columns] = [40, 25]
    const next = Random.normal(1)
    const dense = Float64Array.from({ length: rows * columns }, next)
    const a = TruncatedSvd.sparse(
      columns,
      Array.from(
        { length: rows },
        (_, r) => Array.from({ length: columns }, (_, c) => [c, dense[r * columns + c]!] as const)
      )
    )
    const { left, rank, values } = await svdOf(a, 10, 3, 60)
    assert.strictEqual(rank, 10)
    // A A' u = s^2 u, and the u are orthonormal: checked by plain multiplication.
    for (let j = 0; j < rank; j++) {
      const u = Float64Array.from({ length: rows }, (_, r) => left[r * rank + j]!)
      const w = new Float64Array(columns)
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) w[c]! += dense[r * columns + c]! * u[r]!
      for (let r = 0; r < rows; r++) {
        let v = 0
        for (let c = 0; c < columns; c++) v += dense[r * columns + c]! * w[c]!
        assert.closeTo(v, values[j]! ** 2 * u[r]!, 1e-4)
      }
      for (let i = 0; i <= j; i++) {
        let dot = 0
        for (let r = 0; r < rows; r++) dot += left[r * rank + i]! * left[r * rank + j]!
        assert.closeTo(dot, i === j ? 1 : 0, 1e-8)
      }
      if (j > 0) assert.isAtMost(values[j]!, values[j - 1]!)
    }
  })

  it("folds rows in by V / S where it has converged, and maps every row to its own left vector where it has not", async () => {
    const [rows, columns] = [60, 40]
    const next = Random.normal(4)
    const dense = Float64Array.from({ length: rows * columns }, next)
    const a = TruncatedSvd.sparse(
      columns,
      Array.from(
        { length: rows },
        (_, r) => Array.from({ length: columns }, (_, c) => [c, dense[r * columns + c]!] as const)
      )
    )
    for (const iterations of [0, 1, 60]) {
      const { folding, left, rank, values } = await svdOf(a, 8, 3, iterations)
      const p = await Effect.runPromise(folding)
      for (let j = 0; j < rank; j++) {
        for (let r = 0; r < rows; r++) {
          let folded = 0
          for (let c = 0; c < columns; c++) folded += dense[r * columns + c]! * p[c * rank + j]!
          assert.closeTo(folded, left[r * rank + j]!, 1e-6, `${iterations} iterations`)
        }
        if (iterations < 60) continue
        for (let c = 0; c < columns; c++) {
          let right = 0
          for (let r = 0; r < rows; r++) right += dense[r * columns + c]! * left[r * rank + j]! / values[j]!
          assert.closeTo(p[c * rank + j]!, right / values[j]!, 1e-5)
        }
      }
    }
  })

  it("returns as many triples as the matrix has", async () => {
    const a = TruncatedSvd.sparse(3, [[[0, 1], [1, 2]], [[0, 2], [1, 4]], []])
    const { rank, values } = await svdOf(a, 3, 1)
    assert.strictEqual(rank, 1)
    assert.closeTo(values[0]!, 5, 1e-9)
  })
})

describe("Lsa", () => {
  it.effect("puts texts with common words near each other; a text of its own gets zeros", () =>
    Effect.gen(function*() {
      const texts = ["red cotton shirt", "blue cotton shirt", "steel frying pan", "cast iron frying pan", "zzz"]
      const matrix = (yield* Lsa.fit(texts, config({ maximumShare: 0.9 }), 1)).embeddings
      const dot = (a: number, b: number) =>
        Matrix.row(matrix, a).reduce((sum, value, i) => sum + value * Matrix.row(matrix, b)[i]!, 0)
      assert.isAbove(dot(0, 1), 0.9)
      assert.isAbove(dot(2, 3), 0.9)
      assert.isBelow(Math.abs(dot(0, 2)), 0.1)
      assert.isTrue(Matrix.row(matrix, 4).every((value) => value === 0))
      assert.deepStrictEqual((yield* Lsa.fit(texts, config({ maximumShare: 0.9 }), 1)).embeddings.data, matrix.data)
    }).pipe(Effect.provide(Progress.layerSilent)))

  it.effect("puts texts of any script with common words near each other", () =>
    Effect.gen(function*() {
      const scripts = [
        ["红色棉衬衫", "蓝色棉衬衫", "大木桌子", "小木桌子", "陶瓷杯"],
        ["красная рубашка хлопок", "синяя рубашка хлопок", "большой стол дерево", "малый стол дерево", "чашка"],
        ["rote Hemdblüse Größe", "blaue Hemdblüse Größe", "großer Tisch Büro", "kleiner Tisch Büro", "Tasse"],
        ["เสื้อเชิ้ตสีแดง", "เสื้อเชิ้ตสีฟ้า", "โต๊ะไม้ใหญ่", "โต๊ะไม้เล็ก", "ปากกา"],
        ["빨간 면 셔츠", "파란 면 셔츠", "큰 나무 책상", "작은 나무 책상", "컵"]
      ]
      for (const texts of scripts) {
        const matrix = (yield* Lsa.fit(texts, config(), 1)).embeddings
        const dot = (a: number, b: number) =>
          Matrix.row(matrix, a).reduce((sum, value, i) => sum + value * Matrix.row(matrix, b)[i]!, 0)
        assert.isAbove(dot(0, 1), dot(0, 2) + 0.3, texts[0])
        assert.isAbove(dot(2, 3), dot(1, 3) + 0.3, texts[0])
      }
    }).pipe(Effect.provide(Progress.layerSilent)))

  it.effect("embeds texts that all say the same, whose every word is too common", () =>
    Effect.gen(function*() {
      const matrix = (yield* Lsa.fit(Array.from({ length: 12 }, () => "Gift card"), config(), 1)).embeddings
      assert.deepStrictEqual([matrix.rows, matrix.width], [12, 1])
      assert.isTrue(matrix.data.every((value) => Math.abs(value - 1) < 1e-6))
    }).pipe(Effect.provide(Progress.layerSilent)))

  it.effect("says why texts cannot be embedded", () =>
    Effect.gen(function*() {
      const failing = (texts: ReadonlyArray<string>, values: typeof Lsa.LsaConfig.Encoded = {}) =>
        Effect.map(Effect.flip(Lsa.fit(texts, config(values), 1)), ({ message, reason }) => {
          assert.strictEqual(reason._tag, "NoText")
          return message
        })
      assert.strictEqual(
        yield* failing(["", "🍔", "!!!"]),
        "none of the 3 item texts holds a word; give the items titles or descriptions that have words in common"
      )
      assert.include(
        yield* failing(["a1", "b2 c", ""]),
        "2 of the 3 item texts hold words, but no word is in two of them"
      )
      assert.include(
        yield* failing(["a b", "a b", "a"], { minimumTexts: 4 }),
        "no word is in 4 (lsa.minimumTexts) of them"
      )
    }).pipe(Effect.provide(Progress.layerSilent)))

  it("keeps the terms of the most texts where there are too many, at once or while counting", async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `w${i % 2} x${i % 3} y${i % 150} z${i}`)
    const all = await tfIdf(texts, config({ bigrams: false }))
    assert.strictEqual(all.columns, 2 + 3 + 150)
    const few = await tfIdf(texts, config({ bigrams: false, terms: 5 }))
    assert.strictEqual(few.columns, 5)
    // Every text has a w and an x, each in its own column, and nothing else.
    assert.deepStrictEqual([...few.start], Array.from({ length: 301 }, (_, i) => 2 * i))
    assert.deepStrictEqual([...few.column.subarray(0, 6)], [0, 2, 1, 3, 0, 4])
    assert.deepStrictEqual(await tfIdf(texts, config({ bigrams: false }), 20), few)
  })

  it("takes the title twice and the first sixty words of the description", () => {
    const text = itemText({
      key: "k",
      title: "T",
      description: Array.from({ length: 99 }, (_, i) => `w${i}`).join(" "),
      brand: "B",
      categories: ["c", "d"]
    })
    assert.isTrue(text.startsWith("T T B c d w0 "))
    assert.isTrue(text.endsWith(" w59"))
  })
})
