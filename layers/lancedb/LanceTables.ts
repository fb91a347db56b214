/**
 * Tables of the store that `LanceDb` provides: one per version in a folder. `LanceDb` loads this file, and with it
 * LanceDB and Arrow, when the store is opened.
 *
 * Rows are written and read a block at a time. Besides `key`, `position` and `vector` every row carries the number of
 * rows and the hash of the whole version, so a damaged table is detected when it is read; an incomplete one lacks its tag
 * and is as if absent.
 */
import { connect, type Table } from "@lancedb/lancedb"
import {
  Field,
  FixedSizeList,
  Float32,
  Int32,
  makeData,
  RecordBatch,
  Schema as ArrowSchema,
  Struct,
  Table as ArrowTable,
  Utf8,
  type Vector,
  vectorFromArray
} from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createHash, type Hash } from "node:crypto"
import {
  check,
  checkWidth,
  CorruptStore,
  EmbeddingStore,
  EmbeddingStoreError,
  NoVersion,
  type StoredEmbeddings,
  StoreFailure
} from "../../src/embedding/EmbeddingStore.ts"
import { row, zeros } from "../../src/matrix/Matrix.ts"

/** Returns the table of a version. The number is that of the format; tables of another format are as if absent. */
const tableOf = (version: string) => `v3_${createHash("sha256").update(version).digest("hex").slice(0, 32)}`

/** The tag of a table that was written to its end. */
const whole = "whole"

/** Takes rows into a hash, so that a version can be checked while it is streamed. */
const addRows = (hash: Hash, { keys, matrix }: StoredEmbeddings): void => {
  for (const [position, key] of keys.entries()) {
    const values = row(matrix, position)
    hash.update(`${key.length}:${key}`).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
}

const schemaOf = (width: number) =>
  new ArrowSchema([
    new Field("key", new Utf8()),
    new Field("position", new Int32()),
    new Field("rows", new Int32()),
    new Field("hash", new Utf8()),
    new Field("vector", new FixedSizeList(width, new Field("item", new Float32())))
  ])

const widthOf = (schema: ArrowSchema): number =>
  (schema.fields.find((field) => field.name === "vector")?.type as FixedSizeList | undefined)?.listSize ?? 0

/** Rows `from` to `to` of a version as a table. */
const tableOfRows = ({ keys, matrix }: StoredEmbeddings, hash: string, from: number, to: number): ArrowTable => {
  const { data, width } = matrix
  const length = to - from
  const schema = schemaOf(width)
  const numbers = new Int32Array(length).fill(keys.length)
  const child = makeData({
    type: new Float32(),
    length: length * width,
    data: data.subarray(from * width, to * width)
  })
  return new ArrowTable(
    schema,
    new RecordBatch(
      schema,
      makeData({
        type: new Struct(schema.fields),
        length,
        nullCount: 0,
        children: [
          vectorFromArray(keys.slice(from, to), new Utf8()).data[0]!,
          makeData({ type: new Int32(), length, data: Int32Array.from({ length }, (_, i) => from + i) }),
          makeData({ type: new Int32(), length, data: numbers }),
          vectorFromArray(Array.from<string>({ length }).fill(hash), new Utf8()).data[0]!,
          makeData({ type: new FixedSizeList(width, new Field("item", new Float32())), length, nullCount: 0, child })
        ]
      })
    )
  )
}

class Damage extends Error {}

/** A version in its order, `size` rows at a time; throws after the last part when the whole is not what was written. */
async function* partsOf(table: Table, size: number): AsyncGenerator<StoredEmbeddings, void> {
  const width = widthOf(await table.schema())
  const count = await table.countRows()
  const hash = createHash("sha256")
  let wanted: { readonly rows: number; readonly hash: string } | undefined
  let seen = 0
  const partFrom = (): StoredEmbeddings & { readonly keys: Array<string> } => ({
    keys: [],
    matrix: zeros(Math.min(size, count - seen), width)
  })
  let part = partFrom()
  for await (const batch of table.query()) {
    const [keys, positions, rows, hashes, vectors] = ["key", "position", "rows", "hash", "vector"].map((name) =>
      batch.getChild(name) as Vector
    )
    for (let i = 0; i < batch.numRows; i++) {
      wanted ??= { rows: rows!.get(i), hash: hashes!.get(i) }
      if (count !== wanted.rows) throw new Damage(`it has ${count} of ${wanted.rows} rows`)
      if (positions!.get(i) !== seen) throw new Damage(`row ${seen} of ${wanted.rows} is not in its place`)
      part.matrix.data.set((vectors!.get(i) as Vector).toArray(), part.keys.length * width)
      part.keys.push(keys!.get(i))
      seen++
      if (part.keys.length < part.matrix.rows) continue
      addRows(hash, part)
      yield part
      part = partFrom()
    }
  }
  if (wanted === undefined) throw new Damage("it has no rows")
  if (hash.digest("hex") !== wanted.hash) throw new Damage("its hash is another than when it was written")
}

const corrupt = (version: string, detail: string) =>
  new EmbeddingStoreError({ reason: new CorruptStore({ version, detail }) })

const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new EmbeddingStoreError({ reason: new StoreFailure({ cause }) })
  })

/** Reads that fail on a table that is there mean damage. */
const damaged = (version: string) => (cause: unknown) =>
  corrupt(version, cause instanceof Error ? cause.message.split("\n")[0]! : String(cause))

/** Provides the store in a folder; `block` is the number of bytes written at once. */
export const layer = (folder: string, block: number): Layer.Layer<EmbeddingStore, EmbeddingStoreError> =>
  Layer.effect(
    EmbeddingStore,
    Effect.gen(function*() {
      const database = yield* Effect.acquireRelease(
        attempt(() => connect(folder)),
        (database) => Effect.sync(() => database.close())
      )
      const isThere = (version: string) =>
        Effect.map(attempt(() => database.tableNames()), (names) => names.includes(tableOf(version)))
      const scoped = (version: string, open: () => Promise<Table>) =>
        Effect.acquireRelease(
          Effect.tryPromise({ try: open, catch: damaged(version) }),
          (table) => Effect.sync(() => table.close())
        )
      /** The table of a version that was written to its end. */
      const open = Effect.fnUntraced(function*(version: string) {
        const none = new EmbeddingStoreError({ reason: new NoVersion({ version }) })
        if (!(yield* isThere(version))) return yield* none
        const table = yield* scoped(version, () => database.openTable(tableOf(version)))
        const tags = yield* attempt(async () => (await table.tags()).list())
        return tags[whole] === undefined ? yield* none : table
      })
      const parts = (version: string, size: number) =>
        Stream.unwrap(
          Effect.map(open(version), (table) => Stream.fromAsyncIterable(partsOf(table, size), damaged(version)))
        )
      return EmbeddingStore.of({
        put: Effect.fn("EmbeddingStore.put")(function*(version, embeddings) {
          yield* check(embeddings)
          const { keys, matrix } = embeddings
          const hash = createHash("sha256")
          addRows(hash, embeddings)
          const digest = hash.digest("hex")
          if (yield* isThere(version)) yield* attempt(() => database.dropTable(tableOf(version)))
          const table = yield* scoped(
            version,
            () => database.createEmptyTable(tableOf(version), schemaOf(matrix.width))
          )
          const size = Math.max(1, Math.floor(block / (matrix.width * 4)))
          for (let from = 0; from < keys.length; from += size) {
            const rows = tableOfRows(embeddings, digest, from, Math.min(from + size, keys.length))
            yield* attempt(() => table.add(rows))
          }
          yield* attempt(async () => (await table.tags()).create(whole, await table.version()))
        }, Effect.scoped),
        has: (version) =>
          open(version).pipe(
            Effect.as(true),
            Effect.catchIf(({ reason }) => reason._tag === "NoVersion", () => Effect.succeed(false)),
            Effect.scoped,
            Effect.withSpan("EmbeddingStore.has")
          ),
        // All rows are one part, and a version without rows is damaged.
        get: Effect.fn("EmbeddingStore.get")((version) =>
          parts(version, Infinity).pipe(Stream.runLast, Effect.map(Option.getOrThrow))
        ),
        stream: parts,
        nearest: Effect.fn("EmbeddingStore.nearest")(function*(version, vector, count) {
          const table = yield* open(version)
          yield* checkWidth(widthOf(yield* attempt(() => table.schema())), vector)
          const rows = yield* attempt(() =>
            table.vectorSearch(Array.from(vector)).distanceType("cosine").limit(count).toArray()
          )
          return rows.map((entry) => ({ key: String(entry.key), similarity: 1 - Number(entry._distance) }))
        }, Effect.scoped)
      })
    })
  )
