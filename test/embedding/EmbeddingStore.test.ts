import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { connect } from "@lancedb/lancedb"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as LanceDb from "../../layers/lancedb/LanceDb.ts"
import * as EmbeddingFiles from "../../src/embedding/EmbeddingFiles.ts"
import { EmbeddingStore } from "../../src/embedding/EmbeddingStore.ts"

const embeddings = (rows: ReadonlyArray<ReadonlyArray<number>>) => ({
  keys: rows.map((_, i) => `item ${i}`),
  matrix: { rows: rows.length, width: rows[0]!.length, data: Float32Array.from(rows.flat()) }
})

const lance = (block?: number) =>
  Layer.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return LanceDb.layer(yield* fs.makeTempDirectoryScoped(), block)
  })).pipe(Layer.provide(NodeServices.layer))

const files = Layer.unwrap(
  Effect.map(Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()), EmbeddingFiles.layer)
).pipe(Layer.provide(NodeServices.layer), Layer.orDie)

for (
  const [name, layer] of [
    ["memory", EmbeddingStore.layerMemory],
    ["files", files],
    ["LanceDB", lance()],
    ["LanceDB, two rows at a time", lance(24)]
  ] as const
) {
  describe(`EmbeddingStore in ${name}`, () => {
    it.effect("gives back what was put, by version, and replaces a version as a whole", () =>
      Effect.gen(function*() {
        const store = yield* EmbeddingStore
        const one = embeddings([[1, 2, 3], [4, 5, 6], [-1, 0, 0.5]])
        assert.isFalse(yield* store.has("one"))
        yield* store.put("one", one)
        yield* store.put("two", embeddings([[1, 0]]))
        assert.isTrue(yield* store.has("one"))
        assert.deepStrictEqual(yield* store.get("one"), one)
        yield* store.put("one", embeddings([[7, 7, 7], [8, 8, 8]]))
        assert.strictEqual((yield* store.get("one")).matrix.rows, 2)
        assert.strictEqual((yield* store.get("two")).matrix.width, 2)
      }).pipe(Effect.provide(layer)))

    it.effect("streams a version part by part in its order", () =>
      Effect.gen(function*() {
        const store = yield* EmbeddingStore
        const rows = Array.from({ length: 23 }, (_, i) => [i, -i, i * i])
        yield* store.put("v", embeddings(rows))
        const parts = yield* store.stream("v", 5).pipe(Stream.runCollect)
        assert.deepStrictEqual(parts.map(({ keys }) => keys.length), [5, 5, 5, 5, 3])
        assert.deepStrictEqual(parts.flatMap(({ keys }) => keys), embeddings(rows).keys)
        assert.deepStrictEqual(parts.flatMap(({ matrix }) => [...matrix.data]), rows.flat())
        const error = yield* Effect.flip(store.stream("none", 5).pipe(Stream.runCollect))
        assert.strictEqual(error.reason._tag, "NoVersion")
      }).pipe(Effect.provide(layer)))

    it.effect("finds the nearest by cosine", () =>
      Effect.gen(function*() {
        const store = yield* EmbeddingStore
        yield* store.put("v", embeddings([[1, 0], [3, 3], [0, 1], [-1, 0]]))
        const found = yield* store.nearest("v", Float32Array.of(5, 4), 2)
        assert.deepStrictEqual(found.map(({ key }) => key), ["item 1", "item 0"])
        assert.closeTo(found[0]!.similarity, 9 / Math.sqrt(41 * 2), 1e-5)
      }).pipe(Effect.provide(layer)))

    it.effect("refuses NaN with item and component, wrong sizes and absent versions, and stores nothing then", () =>
      Effect.gen(function*() {
        const store = yield* EmbeddingStore
        const bad = yield* Effect.flip(store.put("bad", embeddings([[1, 2], [3, Number.NaN]])))
        assert.strictEqual(bad.reason._tag, "BadComponent")
        assert.include(bad.message, "\"item 1\"")
        assert.include(bad.message, "component 1")
        assert.isFalse(yield* store.has("bad"))
        const short = yield* Effect.flip(store.put("bad", { ...embeddings([[1, 2]]), keys: ["a", "b"] }))
        assert.strictEqual(short.reason._tag, "WrongSize")
        assert.strictEqual((yield* Effect.flip(store.get("none"))).reason._tag, "NoVersion")
        yield* store.put("v", embeddings([[1, 2]]))
        assert.strictEqual((yield* Effect.flip(store.nearest("v", Float32Array.of(1), 1))).reason._tag, "WrongSize")
      }).pipe(Effect.provide(layer)))
  })
}

describe("EmbeddingStore in files", () => {
  it.effect("is read by a later process, and notices files that are changed or cut off", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const rows = embeddings([[1, 2], [3, 4], [5, 6]])
      const opened = <A, E>(use: (store: EmbeddingStore["Service"]) => Effect.Effect<A, E>) =>
        Effect.flatMap(EmbeddingStore, use).pipe(Effect.provide(EmbeddingFiles.layer(path.join(folder, "deep"))))
      yield* opened((store) => store.put("v", rows))
      assert.deepStrictEqual(yield* opened((store) => store.get("v")), rows)
      const [name] = yield* fs.readDirectory(path.join(folder, "deep"))
      const file = path.join(folder, "deep", name!)
      const bytes = yield* fs.readFile(file)
      const other = bytes.slice()
      other[8 + Number(Buffer.from(bytes).readBigUInt64LE()) + 1]! ^= 1
      for (const damaged of [other, bytes.slice(0, -1), bytes.slice(0, 4)]) {
        yield* fs.writeFile(file, damaged)
        const error = yield* Effect.flip(opened((store) => store.get("v")))
        assert.strictEqual(error.reason._tag, "CorruptStore", error.message)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("EmbeddingStore in LanceDB", () => {
  it.effect("notices rows that are missing", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      yield* Effect.gen(function*() {
        yield* (yield* EmbeddingStore).put("v", embeddings([[1, 2], [3, 4], [5, 6]]))
      }).pipe(Effect.provide(LanceDb.layer(folder)))
      yield* Effect.promise(async () => {
        const database = await connect(folder)
        const table = await database.openTable((await database.tableNames())[0]!)
        await table.delete("position = 1")
        table.close()
        database.close()
      })
      const error = yield* Effect.flip(
        Effect.flatMap(EmbeddingStore, (store) => store.get("v")).pipe(Effect.provide(LanceDb.layer(folder)))
      )
      assert.include(error.message, "2 of 3 rows")
      const streamed = yield* Effect.flip(
        Effect.flatMap(EmbeddingStore, (store) => store.stream("v", 2).pipe(Stream.runCollect)).pipe(
          Effect.provide(LanceDb.layer(folder))
        )
      )
      assert.include(streamed.message, "2 of 3 rows")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("has nothing of a version whose writing was stopped, and writes it again", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const rows = embeddings(Array.from({ length: 100_000 }, (_, i) => [i, 1]))
      yield* Effect.gen(function*() {
        const store = yield* EmbeddingStore
        yield* store.put("v", rows).pipe(Effect.timeoutOption("500 millis"))
        assert.isFalse(yield* store.has("v"))
        assert.strictEqual((yield* Effect.flip(store.get("v"))).reason._tag, "NoVersion")
      }).pipe(Effect.provide(LanceDb.layer(folder, 80)))
      assert.isAbove((yield* fs.readDirectory(folder)).length, 0)
      yield* Effect.gen(function*() {
        const store = yield* EmbeddingStore
        yield* store.put("v", rows)
        assert.deepStrictEqual(yield* store.get("v"), rows)
      }).pipe(Effect.provide(LanceDb.layer(folder)))
    }).pipe(Effect.scoped, TestClock.withLive, Effect.provide(NodeServices.layer)))

  it.effect("notices files that are changed, cut off or gone", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const damages: Readonly<Record<string, (file: string) => Effect.Effect<unknown, unknown>>> = {
        changed: (file) =>
          Effect.flatMap(fs.readFile(file), (bytes) => {
            const other = bytes.slice()
            // The vectors are the bulk of the file; its middle lies in them.
            for (let i = 0; i < 64; i++) other[Math.floor(bytes.length / 3) + i]! ^= 0x55
            return fs.writeFile(file, other)
          }),
        "cut off": (file) =>
          Effect.flatMap(fs.readFile(file), (bytes) => fs.writeFile(file, bytes.slice(0, bytes.length >> 1))),
        gone: (file) => fs.remove(file)
      }
      for (const [name, damage] of Object.entries(damages)) {
        const folder = yield* fs.makeTempDirectoryScoped()
        const rows = Array.from({ length: 200 }, (_, i) => Array.from({ length: 16 }, (_, d) => Math.sin(i * 17 + d)))
        yield* Effect.flatMap(EmbeddingStore, (store) => store.put("v", embeddings(rows))).pipe(
          Effect.provide(LanceDb.layer(folder))
        )
        const files = (yield* fs.readDirectory(folder, { recursive: true })).filter((file) =>
          file.endsWith(".lance") && file.includes("data")
        )
        assert.isAbove(files.length, 0)
        for (const file of files) yield* damage(path.join(folder, file)).pipe(Effect.orDie)
        const error = yield* Effect.flip(
          Effect.flatMap(EmbeddingStore, (store) => store.get("v")).pipe(Effect.provide(LanceDb.layer(folder)))
        )
        assert.strictEqual(error.reason._tag, "CorruptStore", `${name}: ${error.message}`)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
