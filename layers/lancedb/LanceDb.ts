/**
 * Embeddings in LanceDB: one table per version in a folder.
 *
 * Besides `key`, `position` and `vector` every row carries the number of rows and the hash of the whole version, so a
 * table that is not whole is detected when it is read.
 */
import { connect } from "@lancedb/lancedb"
import { Field, FixedSizeList, Float32, Int32, Schema as ArrowSchema, Utf8 } from "apache-arrow"
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
import { row, zeros } from "../../src/embedding/Matrix.ts"

/** The number is that of the form; tables of another form are as if absent. */
const tableOf = (version: string) => `v2_${createHash("sha256").update(version).digest("hex").slice(0, 32)}`

/** Takes rows into a hash, so that a version can be checked while it is streamed. */
const addRows = (hash: Hash, { keys, matrix }: StoredEmbeddings): void => {
  for (const [position, key] of keys.entries()) {
    const values = row(matrix, position)
    hash.update(`${key.length}:${key}`).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
}

const hashOf = (embeddings: StoredEmbeddings): string => {
  const hash = createHash("sha256")
  addRows(hash, embeddings)
  return hash.digest("hex")
}

interface StoredRow {
  readonly key: string
  readonly position: number
  readonly rows: number
  readonly hash: string
  readonly vector: { readonly length: number; get(at: number): number }
}

const toEmbeddings = (rows: ReadonlyArray<StoredRow>): StoredEmbeddings => {
  const width = rows[0]?.vector.length ?? 0
  const matrix = zeros(rows.length, width)
  for (const [i, { vector }] of rows.entries()) {
    for (let d = 0; d < width; d++) matrix.data[i * width + d] = vector.get(d)
  }
  return { keys: rows.map(({ key }) => String(key)), matrix }
}

const corrupt = (version: string, detail: string) =>
  new EmbeddingStoreError({ reason: new CorruptStore({ version, detail }) })

const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new EmbeddingStoreError({ reason: new StoreFailure({ cause }) })
  })

/** The store in a folder, which is made when it is not there. */
export const layer = (folder: string): Layer.Layer<EmbeddingStore, EmbeddingStoreError> =>
  Layer.effect(
    EmbeddingStore,
    Effect.gen(function*() {
      const database = yield* Effect.acquireRelease(
        attempt(() => connect(folder)),
        (database) => Effect.sync(() => database.close())
      )
      /** Reads that fail on a table that is there mean damage. */
      const reading = <A>(version: string, run: () => Promise<A>) =>
        Effect.tryPromise({
          try: run,
          catch: (cause) => corrupt(version, cause instanceof Error ? cause.message.split("\n")[0]! : String(cause))
        })
      const open = Effect.fnUntraced(function*(version: string) {
        const names = yield* attempt(() => database.tableNames())
        if (!names.includes(tableOf(version))) {
          return yield* new EmbeddingStoreError({ reason: new NoVersion({ version }) })
        }
        return yield* Effect.acquireRelease(
          reading(version, () => database.openTable(tableOf(version))),
          (table) => Effect.sync(() => table.close())
        )
      })
      return EmbeddingStore.of({
        put: Effect.fn("EmbeddingStore.put")(function*(version, embeddings) {
          yield* check(embeddings)
          const { keys, matrix } = embeddings
          const hash = hashOf(embeddings)
          const schema = new ArrowSchema([
            new Field("key", new Utf8()),
            new Field("position", new Int32()),
            new Field("rows", new Int32()),
            new Field("hash", new Utf8()),
            new Field("vector", new FixedSizeList(matrix.width, new Field("item", new Float32())))
          ])
          const rows = keys.map((key, position) => ({
            key,
            position,
            rows: keys.length,
            hash,
            vector: Array.from(row(matrix, position))
          }))
          const mode = (yield* attempt(() => database.tableNames())).includes(tableOf(version)) ? "overwrite" : "create"
          yield* Effect.acquireUseRelease(
            attempt(() => database.createTable(tableOf(version), rows, { mode, schema })),
            () => Effect.void,
            (table) => Effect.sync(() => table.close())
          )
        }),
        has: Effect.fn("EmbeddingStore.has")(function*(version) {
          return (yield* attempt(() => database.tableNames())).includes(tableOf(version))
        }),
        get: Effect.fn("EmbeddingStore.get")(function*(version) {
          const table = yield* open(version)
          const rows = (yield* reading(version, () => table.query().toArray())) as ReadonlyArray<StoredRow>
          const sorted = rows.toSorted((a, b) => a.position - b.position)
          const embeddings = toEmbeddings(sorted)
          const [first] = sorted
          if (first === undefined || sorted.length !== first.rows) {
            return yield* corrupt(version, `it has ${sorted.length} of ${first?.rows ?? "?"} rows`)
          }
          if (hashOf(embeddings) !== first.hash) {
            return yield* corrupt(version, "its hash is another than when it was written")
          }
          return embeddings
        }, Effect.scoped),
        stream: (version, size) =>
          Stream.unwrap(Effect.gen(function*() {
            const table = yield* open(version)
            const hash = createHash("sha256")
            let wanted: { readonly rows: number; readonly hash: string } | undefined
            let seen = 0
            return Stream.paginate(0, (from: number) =>
              Effect.gen(function*() {
                const found = (yield* reading(version, () =>
                  table.query().where(`position >= ${from} and position < ${from + size}`).toArray())) as ReadonlyArray<
                    StoredRow
                  >
                const sorted = found.toSorted((a, b) =>
                  a.position - b.position
                )
                wanted ??= sorted[0]
                const part = toEmbeddings(sorted)
                addRows(hash, part)
                seen += sorted.length
                const isLast = wanted === undefined || from + size >= wanted.rows
                if (isLast && (wanted === undefined || seen !== wanted.rows)) {
                  return yield* corrupt(version, `it has ${seen} of ${wanted?.rows ?? "?"} rows`)
                }
                if (isLast && hash.digest("hex") !== wanted!.hash) {
                  return yield* corrupt(version, "its hash is another than when it was written")
                }
                return [[part], isLast ? Option.none<number>() : Option.some(from + size)] as const
              }))
          })),
        nearest: Effect.fn("EmbeddingStore.nearest")(function*(version, vector, count) {
          const table = yield* open(version)
          const schema = yield* attempt(() => table.schema())
          const field = schema.fields.find((candidate) => candidate.name === "vector")
          yield* checkWidth((field?.type as FixedSizeList | undefined)?.listSize ?? 0, vector)
          const rows = yield* attempt(() =>
            table.vectorSearch(Array.from(vector)).distanceType("cosine").limit(count).toArray()
          )
          return rows.map((entry) => ({ key: String(entry.key), similarity: 1 - Number(entry._distance) }))
        }, Effect.scoped)
      })
    })
  )
