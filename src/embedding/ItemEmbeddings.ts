/**
 * Embeddings of the catalogue's items, for policies and rewards that read the content of items.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Matrix } from "../matrix/Matrix.ts"
import { type EmbeddingError } from "./EmbeddingError.ts"

/** Embeddings from which the SIDs of the catalogue were made. */
export class ItemEmbeddings extends Context.Service<ItemEmbeddings, {
  /** Embeddings, [N, D], one row per item; read or computed at the first use. */
  readonly matrix: Effect.Effect<Matrix, EmbeddingError>
}>()("sidereal/embedding/ItemEmbeddings") {
  /** Provides embeddings [N, D]. */
  static readonly layer = (matrix: Matrix): Layer.Layer<ItemEmbeddings> =>
    Layer.succeed(ItemEmbeddings, ItemEmbeddings.of({ matrix: Effect.succeed(matrix) }))

  /** Provides the embeddings that `make` returns; it runs once, at the first use. */
  static readonly layerLazy = <R>(
    make: Effect.Effect<Matrix, EmbeddingError, R>
  ): Layer.Layer<ItemEmbeddings, never, R> =>
    Layer.effect(
      ItemEmbeddings,
      Effect.gen(function*() {
        const context = yield* Effect.context<R>()
        return ItemEmbeddings.of({ matrix: yield* Effect.cached(Effect.provideContext(make, context)) })
      })
    )
}
