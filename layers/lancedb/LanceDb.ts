/**
 * Embeddings in LanceDB.
 *
 * LanceDB and Arrow are loaded when the store is opened; without them it fails with `StoreFailure`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type EmbeddingStore, EmbeddingStoreError, StoreFailure } from "../../src/embedding/EmbeddingStore.ts"
import * as Packages from "../../src/run/Packages.ts"

/** Provides the store in a folder, which is made where it is missing; `block` is the number of bytes written at once. */
export const layer = (folder: string, block = 1 << 26): Layer.Layer<EmbeddingStore, EmbeddingStoreError> =>
  Layer.unwrap(
    Effect.tryPromise({
      try: () => import("./LanceTables.ts"),
      catch: (cause) => new EmbeddingStoreError({ reason: new StoreFailure({ cause: Packages.explain(cause) }) })
    }).pipe(Effect.map((tables) => tables.layer(folder, block)))
  )
