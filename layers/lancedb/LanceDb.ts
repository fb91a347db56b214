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
import { createHash } from "node:crypto"
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

const tableOf = (version: string) => `v_${createHash("sha256").update(version).digest("hex").slice(0, 32)}`

const hashOf = ({ keys, matrix }: StoredEmbeddings) =>
  createHash("sha256").update(JSON.stringify(keys)).update(
    new Uint8Array(matrix.data.buffer, matrix.data.byteOffset, matrix.data.byteLength)
  ).digest("hex")

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
      const open = Effect.fnUntraced(function*(version: string) {
        const names = yield* attempt(() => database.tableNames())
        if (!names.includes(tableOf(version))) {
          return yield* new EmbeddingStoreError({ reason: new NoVersion({ version }) })
        }
        return yield* Effect.acquireRelease(
          attempt(() => database.openTable(tableOf(version))),
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
          const rows = yield* attempt(() => table.query().toArray())
          const sorted = rows.toSorted((a, b) => a.position - b.position)
          const width = sorted[0]?.vector.length ?? 0
          const embeddings: StoredEmbeddings = {
            keys: sorted.map((entry) => String(entry.key)),
            matrix: zeros(sorted.length, width)
          }
          for (const [i, entry] of sorted.entries()) {
            for (let d = 0; d < width; d++) embeddings.matrix.data[i * width + d] = entry.vector.get(d)
          }
          const expected = sorted[0]
          const damage = expected === undefined || sorted.length !== expected.rows
            ? `it has ${sorted.length} of ${expected?.rows ?? "?"} rows`
            : hashOf(embeddings) === expected.hash
            ? undefined
            : "its hash is another than when it was written"
          if (damage !== undefined) {
            return yield* new EmbeddingStoreError({ reason: new CorruptStore({ version, detail: damage }) })
          }
          return embeddings
        }, Effect.scoped),
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
