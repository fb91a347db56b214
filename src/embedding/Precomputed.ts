/**
 * Embeddings from a file: `.npy`, `.safetensors` or Parquet.
 *
 * Rows of `.npy` and safetensors stand in the order of the items; a Parquet table has a column of item keys and one of
 * lists of numbers, in any order.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { type PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { TableReader } from "../catalog/reader/TableReader.ts"
import * as ColumnRoles from "../catalog/table/ColumnRoles.ts"
import * as Matrix from "../matrix/Matrix.ts"
import * as MatrixFile from "../matrix/MatrixFile.ts"
import * as Npy from "../matrix/Npy.ts"
import * as Safetensors from "../storage/Safetensors.ts"
import { BadFile, BadModel, EmbeddingError, MissingItem, NotANumber, WrongRows } from "./EmbeddingError.ts"
import { checkModel, type EncoderModel, TextEncoder } from "./TextEncoder.ts"

/**
 * Reads the embeddings [keys, D] of a file. `inFile` names the rows of a file without keys, in their order; by default
 * the same keys.
 */
export const read = Effect.fn("Precomputed.read")(function*(
  file: string,
  keys: ReadonlyArray<string>,
  inFile: ReadonlyArray<string> = keys
) {
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const matrix = file.toLowerCase().endsWith(".parquet")
    ? yield* fromTable(file, keys)
    : yield* rowsOf(file, keys, inFile)
  if (matrix.width === 0) return yield* bad("its rows have no components")
  const wrong = Matrix.findNonFinite(matrix)
  if (wrong !== undefined) {
    return yield* new EmbeddingError({
      reason: new NotANumber({ file, item: keys[wrong.row]!, component: wrong.component, value: String(wrong.value) })
    })
  }
  return matrix
})

/** Reads the matrix of a `.npy` or safetensors file block by block: it may be larger than a buffer can be. */
export const matrixOf = Effect.fn("Precomputed.matrixOf")(function*(file: string) {
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const layoutOf = file.toLowerCase().endsWith(".npy")
    ? Npy.layout
    : file.toLowerCase().endsWith(".safetensors")
    ? layoutOfSafetensors
    : undefined
  if (layoutOf === undefined) return yield* bad("its name ends in none of .npy, .safetensors and .parquet")
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.gen(function*() {
    const opened = yield* fs.open(file)
    const layout = yield* layoutOf(opened)
    return "problem" in layout ? yield* bad(layout.problem) : yield* MatrixFile.read(opened, layout)
  }).pipe(Effect.scoped, Effect.catchTag("PlatformError", (error) => Effect.fail(bad(error.message))))
})

const rowsOf = Effect.fnUntraced(function*(file: string, keys: ReadonlyArray<string>, inFile: ReadonlyArray<string>) {
  const matrix = yield* matrixOf(file)
  if (matrix.rows !== inFile.length) {
    return yield* new EmbeddingError({ reason: new WrongRows({ file, expected: inFile.length, actual: matrix.rows }) })
  }
  if (keys === inFile) return matrix
  const rows = new Map(inFile.map((key, row) => [key, row]))
  const missing = keys.find((key) => !rows.has(key))
  if (missing !== undefined) return yield* new EmbeddingError({ reason: new MissingItem({ file, item: missing }) })
  return Matrix.take(matrix, keys.map((key) => rows.get(key)!))
})

const types: Partial<Record<Safetensors.StoredType, MatrixFile.MatrixLayout["type"]>> = {
  F16: "f2",
  BF16: "bf2",
  F32: "f4",
  F64: "f8"
}

/** Finds the tensor "embeddings", or the only matrix of a file. */
const layoutOfSafetensors = Effect.fnUntraced(function*(
  file: FileSystem.File
): Effect.fn.Return<MatrixFile.MatrixLayout | MatrixFile.Problem, PlatformError> {
  const size = Number((yield* file.stat).size)
  const begin = yield* MatrixFile.readAt(file, 0, Safetensors.headerStart)
  try {
    const length = Safetensors.headerLength(begin, size)
    const json = yield* MatrixFile.readAt(file, Safetensors.headerStart, length)
    const start = Safetensors.headerStart + length
    const matrices = [...Safetensors.entries(json, size - start)].filter(([, { dtype, shape }]) =>
      shape.length === 2 && types[dtype] !== undefined
    )
    const chosen = matrices.find(([name]) => name === "embeddings") ?? (matrices.length === 1 ? matrices[0] : undefined)
    if (chosen === undefined) {
      return {
        problem:
          `it has ${matrices.length} two-dimensional tensors of floating-point numbers; name one of them "embeddings"`
      }
    }
    const { dtype, from, shape } = chosen[1]
    return { offset: start + from, rows: shape[0]!, width: shape[1]!, type: types[dtype]!, byColumn: false }
  } catch (cause) {
    if (cause instanceof Safetensors.SafetensorsError) return { problem: cause.message }
    throw cause
  }
})

const fromTable = Effect.fnUntraced(function*(file: string, keys: ReadonlyArray<string>) {
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const reader = yield* TableReader
  const tableError = Effect.mapError((error: { readonly message: string }) => bad(error.message))
  const { columns } = yield* reader.sample(file).pipe(tableError)
  const key = ColumnRoles.columnOf("item", columns, {})
  const vector = columns.find((name) => /^(embedding|vector|emb)s?$/i.test(name))
  if (key === undefined || vector === undefined) {
    return yield* bad(`it has the columns ${columns.join(", ")}; one of item keys and one named "embedding" are needed`)
  }
  const { rows } = yield* reader.read(file, [key, vector]).pipe(tableError)
  const known = new Map<string, ReadonlyArray<number>>()
  for (const [item, list] of rows) {
    known.set(
      String(item),
      (list ?? "").replaceAll(/[[\]\s]/g, "").split(",").filter((part) => part !== "").map(Number)
    )
  }
  const width = known.get(keys[0] ?? "")?.length ?? 0
  const matrix = Matrix.zeros(keys.length, width)
  for (const [r, item] of keys.entries()) {
    const list = known.get(item)
    if (list === undefined) return yield* new EmbeddingError({ reason: new MissingItem({ file, item }) })
    if (list.length !== width) {
      return yield* bad(`the embedding of "${item}" has ${list.length} components, that of "${keys[0]!}" ${width}`)
    }
    matrix.data.set(list, r * width)
  }
  return matrix
})

/** Provides the encoder; its id is the hash of the file. */
export const layer = (
  file: string
): Layer.Layer<TextEncoder, EmbeddingError, FileSystem.FileSystem | TableReader> =>
  Layer.effect(
    TextEncoder,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const reader = yield* TableReader
      const hash = createHash("sha256")
      yield* fs.stream(file).pipe(
        Stream.runForEach((bytes) => Effect.sync(() => hash.update(bytes))),
        Effect.mapError((error) => new EmbeddingError({ reason: new BadFile({ file, detail: error.message }) }))
      )
      const id = `precomputed:${hash.digest("hex")}`
      const reading = (...given: Parameters<typeof read>) =>
        read(...given).pipe(
          Effect.provideService(FileSystem.FileSystem, fs),
          Effect.provideService(TableReader, reader)
        )
      return TextEncoder.of({
        id,
        fit: (_, keys) => Effect.map(reading(file, keys), (embeddings) => ({ embeddings, model: modelOf(id, keys) })),
        encode: Effect.fn("Precomputed.encode")(function*(texts, model, keys = texts) {
          yield* checkModel(id, model)
          return yield* reading(file, keys, yield* keysOf(model))
        })
      })
    })
  )

const modelOf = (encoder: string, keys: ReadonlyArray<string>): EncoderModel => {
  const data = Buffer.from(JSON.stringify(keys))
  return { encoder, tensors: new Map([["keys", { dtype: "U8", shape: [data.length], data }]]) }
}

const decodeKeys = Schema.decodeSync(Schema.fromJsonString(Schema.Array(Schema.String)))

const keysOf = ({ encoder, tensors }: EncoderModel) =>
  Effect.try({
    try: () => decodeKeys(Buffer.from(Safetensors.pick(tensors, "keys", "U8").data).toString()),
    catch: (cause) => new EmbeddingError({ reason: new BadModel({ encoder, detail: (cause as Error).message }) })
  })
