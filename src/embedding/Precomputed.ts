/**
 * Embeddings that something else made: `.npy`, `.safetensors` or Parquet.
 *
 * Rows of `.npy` and safetensors stand in the order of the items; a Parquet table has a column of item keys and one of
 * lists of numbers, in any order.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import * as EventTable from "../catalog/EventTable.ts"
import { TableReader } from "../catalog/TableReader.ts"
import * as Safetensors from "../run/Safetensors.ts"
import { BadFile, EmbeddingError, MissingItem, NotANumber, WrongRows } from "./EmbeddingError.ts"
import * as Matrix from "./Matrix.ts"
import * as Npy from "./Npy.ts"
import { TextEncoder } from "./TextEncoder.ts"

/** The matrix of a file in the order of `keys`. */
export const read = Effect.fn("Precomputed.read")(function*(file: string, keys: ReadonlyArray<string>) {
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const matrix = file.toLowerCase().endsWith(".parquet") ? yield* fromTable(file, keys) : yield* fromBytes(file)
  if (matrix.rows !== keys.length) {
    return yield* new EmbeddingError({ reason: new WrongRows({ file, expected: keys.length, actual: matrix.rows }) })
  }
  if (matrix.width === 0) return yield* bad("its rows have no components")
  const wrong = Matrix.findNonFinite(matrix)
  if (wrong !== undefined) {
    return yield* new EmbeddingError({
      reason: new NotANumber({ file, item: keys[wrong.row]!, component: wrong.component, value: String(wrong.value) })
    })
  }
  return matrix
})

const fromBytes = Effect.fnUntraced(function*(file: string) {
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const fs = yield* FileSystem.FileSystem
  const bytes = yield* fs.readFile(file).pipe(Effect.mapError((error) => bad(error.message)))
  if (file.toLowerCase().endsWith(".npy")) {
    const found = Npy.decode(bytes)
    return "problem" in found ? yield* bad(found.problem) : found
  }
  if (!file.toLowerCase().endsWith(".safetensors")) {
    return yield* bad("its name ends in none of .npy, .safetensors and .parquet")
  }
  const tensors = yield* Effect.try({
    try: () => Safetensors.decode(bytes),
    catch: (cause) => bad(cause instanceof Error ? cause.message : String(cause))
  })
  const matrices = [...tensors].filter(([, { data, shape }]) =>
    shape.length === 2 && (data instanceof Float32Array || data instanceof Float64Array)
  )
  const chosen = matrices.find(([name]) => name === "embeddings") ?? (matrices.length === 1 ? matrices[0] : undefined)
  if (chosen === undefined) {
    return yield* bad(
      `it has ${matrices.length} two-dimensional tensors of floating-point numbers; name one of them "embeddings"`
    )
  }
  const [rows, width] = chosen[1].shape as [number, number]
  return { rows, width, data: Float32Array.from(chosen[1].data as Float32Array) } satisfies Matrix.Matrix
})

const fromTable = Effect.fnUntraced(function*(file: string, keys: ReadonlyArray<string>) {
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const reader = yield* TableReader
  const tableError = Effect.mapError((error: { readonly message: string }) => bad(error.message))
  const columns = yield* reader.columns(file).pipe(tableError)
  const key = EventTable.columnOf("item", columns, new EventTable.TableConfig({}))
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

/** The encoder; its id is the hash of the file. */
export const layer = (
  file: string
): Layer.Layer<TextEncoder, EmbeddingError, FileSystem.FileSystem | TableReader> =>
  Layer.effect(
    TextEncoder,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const reader = yield* TableReader
      const bytes = yield* fs.readFile(file).pipe(
        Effect.mapError((error) => new EmbeddingError({ reason: new BadFile({ file, detail: error.message }) }))
      )
      return TextEncoder.of({
        id: `precomputed:${createHash("sha256").update(bytes).digest("hex")}`,
        encode: (_, keys) =>
          read(file, keys).pipe(
            Effect.provideService(FileSystem.FileSystem, fs),
            Effect.provideService(TableReader, reader)
          )
      })
    })
  )
