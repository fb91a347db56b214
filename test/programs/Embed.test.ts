import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestConsole from "effect/testing/TestConsole"
import * as Settings from "../../programs/Settings.ts"
import * as Tokenize from "../../programs/Tokenize.ts"
import { Workspace } from "../../programs/Workspace.ts"
import { nameless } from "../../src/catalog/Assemble.ts"
import { type Item } from "../../src/catalog/Dataset.ts"
import * as Collaborative from "../../src/embedding/Collaborative.ts"
import { EmbeddingStore } from "../../src/embedding/EmbeddingStore.ts"
import * as Fusion from "../../src/embedding/Fusion.ts"
import * as Lsa from "../../src/embedding/Lsa.ts"
import { TextEncoder } from "../../src/embedding/TextEncoder.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"

const lsa = Schema.decodeSync(Lsa.LsaConfig)({})
const collaborative = Schema.decodeSync(Collaborative.CollaborativeConfig)({})

/** Every user meets six neighbouring items of a ring. */
const ring = (items: number) =>
  Array.from({ length: 2 * items }, (_, user) => Int32Array.from({ length: 6 }, (_, at) => (user + at) % items))

const titled = (titles: ReadonlyArray<string>): ReadonlyArray<Item> =>
  titles.map((title, i) => ({ ...nameless(String(100 + i)), title: title === "" ? String(100 + i) : title }))

const embed = (
  items: ReadonlyArray<Item>,
  train: ReadonlyArray<Int32Array>,
  values: typeof Settings.Settings.Encoded = {},
  encoder: Layer.Layer<TextEncoder, never, Progress> = Lsa.layer(lsa, 1)
) =>
  Effect.gen(function*() {
    const settings = yield* Settings.decode(values, "a test")
    const dataset = { name: "d", items, userKeys: [], sequences: train, counts: [] }
    const { matrix } = yield* Tokenize.embed({
      dataset,
      split: { name: "leave-one-out", train, validation: [], test: [] }
    })
      .pipe(
        Effect.provide(
          Layer.mergeAll(
            encoder,
            EmbeddingStore.layerMemory,
            Layer.mock(Workspace)({
              run: "",
              given: {},
              tokenized: false,
              file: (name) => name,
              settings,
              artefact: (_, make) => make,
              record: () => Effect.void
            })
          ).pipe(Layer.provideMerge(Progress.layerSilent))
        )
      )
    return { matrix, notes: (yield* TestConsole.errorLines).join("\n") }
  })

const together = (train: ReadonlyArray<Int32Array>, items: number) =>
  Collaborative.embed(train, items, collaborative, 1).pipe(
    Effect.map(Fusion.halfWhiten),
    Effect.provide(Progress.layerSilent)
  )

const isZero = (matrix: Matrix.Matrix, row: number) => Matrix.row(matrix, row).every((value) => value === 0)

describe("Tokenize.embed", () => {
  for (const kind of ["concat", "cca", "none"] as const) {
    it.effect(`embeds items without texts by what is bought together alone: fusion ${kind}`, () =>
      Effect.gen(function*() {
        const items = titled(Array.from({ length: 15 }, () => ""))
        const { matrix, notes } = yield* embed(items, ring(15), { fusion: { kind } })
        assert.deepStrictEqual(matrix, yield* together(ring(15), 15))
        assert.include(notes, "no item has a text of its own; items are embedded by what is bought together alone")
      }))
  }

  it.effect("does so where texts share no word, and says that", () =>
    Effect.gen(function*() {
      const { matrix, notes } = yield* embed(titled(["apple", "🍔", "mug"]), ring(3))
      assert.deepStrictEqual(matrix, yield* together(ring(3), 3))
      assert.include(notes, "2 of the 3 item texts hold words, but no word is in two of them; items are embedded by")
    }))

  it.effect("draws rows from the seed where nothing is bought together either, and says that", () =>
    Effect.gen(function*() {
      const alone = Array.from({ length: 8 }, (_, item) => Int32Array.of(item, item))
      const { matrix, notes } = yield* embed(titled(Array.from({ length: 8 }, () => "")), alone)
      assert.strictEqual(new Set(Array.from({ length: 8 }, (_, r) => Matrix.row(matrix, r).join())).size, 8)
      assert.include(notes, "embeddings are drawn from the seed and SIDs say nothing of items")
      const again = yield* embed(titled(Array.from({ length: 8 }, () => "")), alone, { seed: 2 })
      assert.notDeepEqual(again.matrix, matrix)
    }))

  it.effect("takes keys that read as titles for texts, and gives items without words zeros", () =>
    Effect.gen(function*() {
      const titles = ["red cotton shirt", "blue cotton shirt", "red mug", "blue mug"]
      const items = [...titles, "🍔"].map(nameless)
      const { matrix, notes } = yield* embed(items, ring(5), { fusion: { kind: "none" } })
      assert.deepStrictEqual([0, 1, 2, 3, 4].map((row) => isZero(matrix, row)), [false, false, false, false, true])
      assert.strictEqual(notes, "")
    }))

  it.effect("leaves embeddings from a file as they are, texts or none", () =>
    Effect.gen(function*() {
      const rows: Matrix.Matrix = { rows: 3, width: 2, data: Float32Array.of(1, 2, 3, 4, 5, 6) }
      const { matrix, notes } = yield* embed(
        titled(["", "", ""]),
        ring(3),
        { encoder: { kind: "precomputed", path: "x.npy" }, fusion: { kind: "none" } },
        Layer.succeed(
          TextEncoder,
          TextEncoder.of({
            id: "rows",
            fit: () => Effect.succeed({ embeddings: rows, model: { encoder: "rows", tensors: new Map() } }),
            encode: () => Effect.succeed(rows)
          })
        )
      )
      assert.deepStrictEqual(matrix, rows)
      assert.strictEqual(notes, "")
    }))
})

describe("Fusion of parts that know nothing", () => {
  for (const kind of ["concat", "cca"] as const) {
    it(`${kind}: equal and zero rows stay finite`, () => {
      const config = Schema.decodeSync(Fusion.FusionConfig)({ kind })
      const parts = [
        new Float32Array(24),
        new Float32Array(24).fill(0.7),
        Float32Array.from({ length: 24 }, (_, i) => i % 5)
      ]
      for (const text of parts) {
        for (const events of parts) {
          const fused = Fusion.fit({ rows: 6, width: 4, data: text }, { rows: 6, width: 4, data: events }, config)
            .embeddings
          assert.isUndefined(Matrix.findNonFinite(fused))
        }
      }
    })
  }
})
