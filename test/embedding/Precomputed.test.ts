import { DuckDBInstance } from "@duckdb/node-api"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as DuckDb from "../../layers/duckdb/DuckDb.ts"
import { EmbeddingError } from "../../src/embedding/EmbeddingError.ts"
import * as Precomputed from "../../src/embedding/Precomputed.ts"
import { TextEncoder } from "../../src/embedding/TextEncoder.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import { distance, golden, list } from "../Golden.ts"

const services = DuckDb.layer.pipe(Layer.provideMerge(NodeServices.layer))
const keys = ["a", "b", "c"]
const values = [1, 2, 3, 4, 5, 6.5]

const npy = (
  type: "f2" | "f4" | "f8",
  options: {
    readonly fortran?: boolean
    readonly shape?: string
    readonly order?: string
    readonly numbers?: ReadonlyArray<number>
  } = {}
) => {
  const ordered = options.numbers ?? (options.fortran === true ? [1, 3, 5, 2, 4, 6.5] : values)
  const halves: Readonly<Record<number, number>> = {
    1: 0x3c00,
    2: 0x4000,
    3: 0x4200,
    4: 0x4400,
    5: 0x4500,
    6.5: 0x4680
  }
  const data = type === "f2"
    ? Uint16Array.from(ordered, (value) => halves[value]!)
    : type === "f4"
    ? Float32Array.from(ordered)
    : Float64Array.from(ordered)
  const text = `{'descr': '${options.order ?? "<"}${type}', 'fortran_order': ${
    options.fortran === true ? "True" : "False"
  }, 'shape': ${options.shape ?? "(3, 2)"}, }`
  const header = Buffer.from(`${text.padEnd(117)}\n`)
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8])
  return Buffer.concat([start, header, Buffer.from(data.buffer)])
}

const reading = (name: string, bytes: Uint8Array, wanted = keys) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(yield* fs.makeTempDirectoryScoped(), name)
    yield* fs.writeFile(file, bytes)
    return yield* Precomputed.read(file, wanted)
  }).pipe(Effect.scoped)

describe("Precomputed.read", () => {
  it.effect("reads .npy of every type and order, over several blocks too, and safetensors", () =>
    Effect.gen(function*() {
      for (const type of ["f2", "f4", "f8"] as const) {
        for (const fortran of [false, true]) {
          const found = yield* reading("e.npy", npy(type, { fortran }))
          assert.deepStrictEqual([found.rows, found.width, ...found.data], [3, 2, ...values])
        }
      }
      const large = Array.from({ length: 3 << 20 }, (_, i) => i % 1021)
      for (const fortran of [false, true]) {
        const order = fortran ? large.map((_, i) => large[(i % 3) * (1 << 20) + Math.floor(i / 3)]!) : large
        const file = npy("f4", { fortran, shape: `(3, ${1 << 20})`, numbers: order })
        const found = yield* reading("e.npy", file)
        assert.isTrue(found.data.every((value, i) => value === large[i]), `fortran ${fortran}`)
      }
      const tensors = new Map<string, Safetensors.StoredTensor>([
        ["other", { dtype: "F32", shape: [1, 6], data: Float32Array.from(values) }],
        ["embeddings", { dtype: "F64", shape: [3, 2], data: Float64Array.from(values) }]
      ])
      const found = yield* reading("e.safetensors", Safetensors.encode(tensors))
      assert.deepStrictEqual([...found.data], values)
      for (
        const [dtype, patterns] of [
          ["F16", [0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4680]],
          ["BF16", [0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40d0]]
        ] as const
      ) {
        const json = Buffer.from(JSON.stringify({ e: { dtype, shape: [3, 2], data_offsets: [0, 12] } }))
        const length = Buffer.alloc(8, 0)
        length.writeUInt32LE(json.length)
        const body = Buffer.from(Uint16Array.from(patterns).buffer)
        const short = yield* reading("e.safetensors", Buffer.concat([length, json, body]))
        assert.deepStrictEqual([...short.data], values, dtype)
      }
    }).pipe(Effect.provide(services)))

  it.effect("reads Parquet by its keys, in any order", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const file = path.join(yield* fs.makeTempDirectoryScoped(), "e.parquet")
      yield* Effect.promise(async () => {
        const connection = await (await DuckDBInstance.create(":memory:")).connect()
        await connection.run(
          `COPY (SELECT * FROM (VALUES ('c', [5.0, 6.5]), ('a', [1.0, 2.0]), ('b', [3.0, 4.0])) t(item_id, embedding)) TO '${file}' (FORMAT parquet)`
        )
        connection.closeSync()
      })
      assert.deepStrictEqual([...(yield* Precomputed.read(file, keys)).data], values)
      const error = yield* Effect.flip(Precomputed.read(file, ["a", "nobody"]))
      assert.include(error.message, "no embedding of item \"nobody\"")
      const encoder = yield* Effect.provide(TextEncoder, Precomputed.layer(file))
      const fitted = yield* encoder.fit(["", "", ""], keys)
      assert.deepStrictEqual([...fitted.embeddings.data], values)
      assert.deepStrictEqual([...(yield* encoder.encode(["", ""], fitted.model, ["c", "a"])).data], [5, 6.5, 1, 2])
      const unknown = yield* Effect.flip(encoder.encode(["a new title"], fitted.model))
      assert.strictEqual(unknown.reason._tag, "MissingItem")
      assert.include(unknown.message, "no embedding of item \"a new title\"")
      assert.match(encoder.id, /^precomputed:[\da-f]{64}$/)
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("encodes items of a file without keys by the keys it was fitted with", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = (yield* Path.Path).join(yield* fs.makeTempDirectoryScoped(), "e.npy")
      yield* fs.writeFile(file, npy("f4"))
      const encoder = yield* Effect.provide(TextEncoder, Precomputed.layer(file))
      const { embeddings, model } = yield* encoder.fit(["", "", ""], keys)
      assert.deepStrictEqual([...embeddings.data], values)
      assert.deepStrictEqual([...(yield* encoder.encode(["", "", ""], model, ["b", "a", "b"])).data], [
        3,
        4,
        1,
        2,
        3,
        4
      ])
      const unknown = yield* Effect.flip(encoder.encode([""], model, ["d"]))
      assert.include(unknown.message, `${file} has no embedding of item "d"; every item needs one`)
      const other = yield* Effect.flip(encoder.encode([""], { ...model, encoder: "lsa" }, ["a"]))
      assert.strictEqual(other.reason._tag, "OtherEncoder")
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("refuses what it cannot use, naming file, item and remedy", () =>
    Effect.gen(function*() {
      const whole = npy("f4")
      const nan = Buffer.from(whole)
      nan.writeFloatLE(Number.NaN, whole.length - 12)
      const cases: ReadonlyArray<readonly [string, Uint8Array, string, string]> = [
        ["e.npy", Buffer.from("PNG and so on, long enough"), "BadFile", "does not begin"],
        ["e.npy", whole.subarray(0, whole.length - 3), "BadFile", "21 bytes of numbers; 3 x 2 of f4 are 24"],
        ["e.npy", npy("f4", { shape: "(6,)" }), "BadFile", "two axes are needed"],
        ["e.npy", npy("f4", { order: ">" }), "BadFile", "big-endian"],
        [
          "e.npy",
          Buffer.from(npy("f4").toString("latin1").replace("<f4", "<i4"), "latin1"),
          "BadFile",
          "its numbers are i4"
        ],
        ["e.npy", npy("f4", { shape: "(2, 3)" }), "WrongRows", "2 rows for a catalogue of 3 items"],
        ["e.npy", nan, "NotANumber", "the embedding of \"b\" has NaN in component 1"],
        ["e.safetensors", Buffer.from("no"), "BadFile", "not a valid safetensors"],
        ["e.safetensors", Safetensors.encode(new Map()), "BadFile", "0 two-dimensional tensors"],
        ["e.parquet", Buffer.from("PAR0"), "BadFile", "e.parquet"],
        ["e.txt", Buffer.from("1 2 3"), "BadFile", "its name ends in none of"]
      ]
      for (const [name, bytes, tag, words] of cases) {
        const error = yield* Effect.flip(reading(name, bytes))
        assert.instanceOf(error, EmbeddingError)
        assert.strictEqual((error as EmbeddingError).reason._tag, tag, error.message)
        assert.include(error.message, words)
      }
      const absent = yield* Effect.flip(Precomputed.read("/nowhere/e.npy", keys))
      assert.include(absent.message, "/nowhere/e.npy")
    }).pipe(Effect.provide(services)))

  const files = list(golden, "sid").filter((file) => file.endsWith(".npy"))
  if (files.length === 0) it.skipIf(true)("no .npy is here", () => {})
  for (const file of files) {
    const info = JSON.parse(readFileSync(join(golden, "sid", file.replace(".npy", ".json")), "utf8"))
    it.effect(`reads what numpy wrote: ${file}`, () =>
      Effect.gen(function*() {
        const found = yield* Precomputed.matrixOf(join(golden, "sid", file))
        const rows = info.sample_rows ?? info.rows ?? {}
        for (const [row, values] of Object.entries<ReadonlyArray<number>>(Array.isArray(rows) ? {} : rows)) {
          const own = found.data.subarray(Number(row) * found.width, (Number(row) + 1) * found.width)
          if (Array.isArray(values) && values.length === found.width) assert.isBelow(distance(own, values), 1e-6)
        }
        assert.isAbove(found.rows, 1)
      }).pipe(Effect.provide(services)))
  }
})
