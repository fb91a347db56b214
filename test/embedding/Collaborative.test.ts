import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as Collaborative from "../../src/embedding/Collaborative.ts"
import * as Fusion from "../../src/embedding/Fusion.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import * as Pca from "../../src/matrix/Pca.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance } from "../Golden.ts"

const config = (values: typeof Collaborative.CollaborativeConfig.Encoded) =>
  Schema.decodeSync(Collaborative.CollaborativeConfig)(values)
const fusion = (values: typeof Fusion.FusionConfig.Encoded) => Schema.decodeSync(Fusion.FusionConfig)(values)

const embedded = (train: ReadonlyArray<Int32Array>, items: number, settings: Collaborative.CollaborativeConfig) =>
  Effect.runPromise(Collaborative.embed(train, items, settings, 1).pipe(Effect.provide(Progress.layerSilent)))

const next = Random.uniform(12)
const sequences = Array.from(
  { length: 40 },
  () => Int32Array.from({ length: 8 }, () => Math.floor(next() * 12) + (next() < 0.1 ? 6 : 0))
)

const gram = ({ data, rows, width }: Matrix.Matrix) =>
  Float64Array.from({ length: rows * rows }, (_, i) => {
    let sum = 0
    for (let d = 0; d < width; d++) sum += data[Math.floor(i / rows) * width + d]! * data[(i % rows) * width + d]!
    return sum
  })

const gaussian = (rows: number, width: number, seed: number): Matrix.Matrix => ({
  rows,
  width,
  data: Float32Array.from({ length: rows * width }, Random.normal(seed))
})

describe("Collaborative.embed", () => {
  it.for([20, 5])(
    "has the singular vectors of the PPMI matrix, computed from scratch: %d pairs an item",
    async (most) => {
      const items = 20
      const settings = config({ window: 3, decay: 0.5, width: 20, pairs: most * items })
      const found = await embedded(sequences, items, settings)
      const n = new Float64Array(items * items)
      for (const list of sequences) {
        for (let i = 0; i < list.length; i++) {
          for (let j = 0; j < list.length; j++) {
            const apart = Math.abs(i - j)
            if (apart >= 1 && apart <= 3 && list[i] !== list[j]) n[list[i]! * items + list[j]!]! += 0.5 ** (apart - 1)
          }
        }
      }
      const sum = Array.from(
        { length: items },
        (_, x) => n.subarray(x * items, (x + 1) * items).reduce((a, b) => a + b, 0)
      )
      const total = sum.reduce((a, b) => a + (b === 0 ? 0 : b ** 0.75), 0)
      const kept = n.map((count, i) => {
        const row = Array.from(n.subarray(i - i % items, i - i % items + items))
        const order = Array.from(row.keys()).toSorted((a, b) => row[b]! - row[a]! || a - b)
        return order.indexOf(i % items) < most ? count : 0
      })
      const ppmi = kept.map((count, i) =>
        count === 0 ? 0 : Math.max(0, Math.log(count * total / (sum[Math.floor(i / items)]! * sum[i % items]! ** 0.75)))
      )
      // U S U' is the root of M M' for all of the rank: (U sqrt(S))(U sqrt(S))' squared is M M'.
      const own = gram(found)
      const square = (m: ArrayLike<number>, transposed: boolean) =>
        Float64Array.from({ length: items * items }, (_, i) => {
          let value = 0
          for (let k = 0; k < items; k++) {
            value += m[Math.floor(i / items) * items + k]! *
              (transposed ? m[(i % items) * items + k]! : m[k * items + i % items]!)
          }
          return value
        })
      assert.isBelow(distance(square(own, false), square(ppmi, true)), 1e-3)
      for (const [x, count] of sum.entries()) {
        if (count === 0) assert.isTrue(Matrix.row(found, x).every((value) => value === 0))
      }
    }
  )

  it("never looks at held-out events: other ones leave every bit as it is", async () => {
    const dataset = (held: number): Dataset => ({
      name: "x",
      items: [],
      userKeys: [],
      counts: [],
      sequences: sequences.map((list, user) => {
        const changed = list.slice()
        changed[list.length - 1] = (user * held) % 18
        changed[list.length - 2] = (user + held) % 18
        return changed
      })
    })
    const [one, other] = [Split.leaveOneOut(dataset(3)), Split.leaveOneOut(dataset(7))]
    assert.notDeepEqual(one.test, other.test)
    const [a, b] = await Promise.all([one, other].map(({ train }) => embedded(train, 18, config({}))))
    assert.deepStrictEqual(a, b)
    const text = gaussian(18, 6, 1)
    for (const kind of ["concat", "cca"] as const) {
      assert.deepStrictEqual(
        Fusion.fit(text, a!, fusion({ kind })),
        Fusion.fit(text, b!, fusion({ kind }))
      )
    }
  })
})

describe("Pca", () => {
  it("turns rows to uncorrelated components, most variance first, and back", () => {
    const rows = gaussian(50, 5, 3)
    for (let r = 0; r < 50; r++) rows.data[r * 5 + 1] = rows.data[r * 5]! * 2 + rows.data[r * 5 + 1]! * 0.1
    const pca = Pca.fit(rows, 5)
    const coordinates = Pca.project(rows, pca)
    for (let a = 0; a < 5; a++) {
      for (let b = 0; b < 5; b++) {
        let sum = 0
        for (let r = 0; r < 50; r++) sum += coordinates.data[r * 5 + a]! * coordinates.data[r * 5 + b]! / 50
        assert.closeTo(sum, a === b ? pca.variances[a]! : 0, 1e-4)
      }
    }
    assert.deepStrictEqual([...pca.variances], [...pca.variances].toSorted((a, b) => b - a))
    assert.isBelow(distance(Pca.reconstruct(coordinates, pca).data, rows.data), 1e-5)
  })
})

describe("Fusion", () => {
  it("half whitening leaves variances of the root, rows of length 1, and zeros for those that know nothing", () => {
    const rows = gaussian(300, 6, 5)
    for (let r = 0; r < 300; r++) rows.data[r * 6] = rows.data[r * 6]! * 10
    for (let d = 0; d < 6; d++) rows.data[7 * 6 + d] = 0
    const white = Fusion.halfWhiten(rows)
    for (let r = 0; r < 300; r++) {
      const length = Matrix.row(white, r).reduce((sum, value) => sum + value * value, 0)
      assert.closeTo(length, r === 7 ? 0 : 1, 1e-5)
    }
  })

  it("concatenation weighs the parts: neighbours follow the heavier one", () => {
    const [text, collaborative] = [gaussian(60, 8, 6), gaussian(60, 8, 7)]
    const nearest = (matrix: Matrix.Matrix) => {
      const products = gram(Matrix.normalizeRows(matrix))
      return Array.from({ length: 60 }, (_, r) => {
        let best = -1
        for (let c = 0; c < 60; c++) {
          if (c !== r && (best < 0 || products[r * 60 + c]! > products[r * 60 + best]!)) best = c
        }
        return best
      })
    }
    const agree = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.filter((value, i) => value === b[i]).length
    const textual = nearest(Fusion.halfWhiten(text))
    const bought = nearest(Fusion.halfWhiten(collaborative))
    const light = nearest(Fusion.fit(text, collaborative, fusion({ weight: 0.05 })).embeddings)
    const heavy = nearest(Fusion.fit(text, collaborative, fusion({ weight: 20 })).embeddings)
    assert.isAbove(agree(light, textual), 55)
    assert.isAbove(agree(heavy, bought), 55)
  })

  it("canonical correlation finds the directions that both parts share, and places an item by its text alone", () => {
    const shared = gaussian(400, 2, 8)
    const mix = (seed: number, width: number) => {
      const [noise, by] = [gaussian(400, width, seed), gaussian(2, width, seed + 1)]
      const data = noise.data.map((value, i) => {
        const [r, d] = [Math.floor(i / width), i % width]
        return value + 3 * (shared.data[r * 2]! * by.data[d]! + shared.data[r * 2 + 1]! * by.data[width + d]!)
      })
      return { rows: 400, width, data }
    }
    const [text, collaborative] = [mix(20, 7), mix(30, 5)]
    for (let d = 0; d < 5; d++) collaborative.data[11 * 5 + d] = 0
    const { embeddings: fused } = Fusion.fit(text, collaborative, fusion({ kind: "cca", width: 2, ridge: 0.01 }))
    // Items that are near in what is shared are near in the fusion.
    const [a, b] = [gram(Matrix.normalizeRows(shared)), gram(fused)]
    let [sab, saa, sbb] = [0, 0, 0]
    for (let i = 0; i < a.length; i++) {
      sab += a[i]! * b[i]!
      saa += a[i]! ** 2
      sbb += b[i]! ** 2
    }
    assert.isAbove(sab / Math.sqrt(saa * sbb), 0.9)
    assert.isTrue(Matrix.row(fused, 11).some((value) => value !== 0))
    assert.deepStrictEqual(Fusion.fit(text, Matrix.zeros(400, 5), fusion({ kind: "cca" })).embeddings, text)
  })
})
