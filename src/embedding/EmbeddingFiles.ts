/**
 * Embeddings in plain files: one safetensors file per version in a folder, with the keys and a hash of both.
 *
 * A version is written and read as a whole, and the nearest items are found by comparison with every row. It needs no
 * package, for installations without LanceDB.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { createHash } from "node:crypto"
import * as Durable from "../run/Durable.ts"
import * as Safetensors from "../storage/Safetensors.ts"
import {
  check,
  CorruptStore,
  EmbeddingStore,
  EmbeddingStoreError,
  NoVersion,
  reading,
  type StoredEmbeddings,
  StoreFailure
} from "./EmbeddingStore.ts"

/** Returns the file name of a version; the number is that of the format. */
const nameOf = (version: string) => `v1_${createHash("sha256").update(version).digest("hex").slice(0, 32)}.safetensors`

const hashOf = (keys: Uint8Array, { buffer, byteLength, byteOffset }: Float32Array): Uint8Array =>
  createHash("sha256").update(keys).update(new Uint8Array(buffer, byteOffset, byteLength)).digest()

const encode = ({ keys, matrix: { data, rows, width } }: StoredEmbeddings): Uint8Array => {
  const names = Buffer.from(JSON.stringify(keys))
  const hash = hashOf(names, data)
  return Safetensors.encode(
    new Map<string, Safetensors.StoredTensor>([
      ["embeddings", { dtype: "F32", shape: [rows, width], data }],
      ["keys", { dtype: "U8", shape: [names.length], data: names }],
      ["hash", { dtype: "U8", shape: [hash.length], data: hash }]
    ])
  )
}

/** Throws where the bytes are not those of a whole version. */
const decode = (bytes: Uint8Array): StoredEmbeddings => {
  const tensors = Safetensors.decode(bytes)
  const { data, shape: [rows, width] } = Safetensors.pick(tensors, "embeddings", "F32", 2)
  const names = Safetensors.pick(tensors, "keys", "U8").data
  if (Buffer.compare(hashOf(names, data), Safetensors.pick(tensors, "hash", "U8").data) !== 0) {
    throw new Error("its hash is another than when it was written")
  }
  return {
    keys: JSON.parse(Buffer.from(names).toString()) as ReadonlyArray<string>,
    matrix: { rows: rows!, width: width!, data }
  }
}

const failure = (cause: unknown) => new EmbeddingStoreError({ reason: new StoreFailure({ cause }) })

/** Provides the store in a folder, which is made where it is missing. */
export const layer = (folder: string): Layer.Layer<EmbeddingStore, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    EmbeddingStore,
    Effect.gen(function*() {
      const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const fileOf = (version: string) => path.join(folder, nameOf(version))
      const has = (version: string) => fs.exists(fileOf(version)).pipe(Effect.mapError(failure))
      const get = Effect.fn("EmbeddingStore.get")(function*(version: string) {
        if (!(yield* has(version))) return yield* new EmbeddingStoreError({ reason: new NoVersion({ version }) })
        const bytes = yield* fs.readFile(fileOf(version)).pipe(Effect.mapError(failure))
        return yield* Effect.try({
          try: () => decode(bytes),
          catch: (cause) =>
            new EmbeddingStoreError({
              reason: new CorruptStore({ version, detail: cause instanceof Error ? cause.message : String(cause) })
            })
        })
      })
      return EmbeddingStore.of({
        put: Effect.fn("EmbeddingStore.put")(function*(version, embeddings) {
          yield* check(embeddings)
          yield* Durable.write(fileOf(version), encode(embeddings)).pipe(
            Effect.mapError(failure),
            Effect.provideContext(services)
          )
        }),
        has,
        ...reading(get)
      })
    })
  )
