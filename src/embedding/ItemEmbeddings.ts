/**
 * The embeddings of the catalogue's items, for policies and rewards that know items by their content.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Matrix } from "../matrix/Matrix.ts"
import { type EmbeddingError } from "./EmbeddingError.ts"

/** Embeddings that the SIDs of the catalogue were made from. */
export class ItemEmbeddings extends Context.Service<ItemEmbeddings, {
  /** Returns the embeddings [N, D], one row per item; they are read or made at the first use. */
  readonly matrix: Effect.Effect<Matrix, EmbeddingError>
}>()("sidereal/embedding/ItemEmbeddings") {
  /** Provides embeddings [N, D]. */
  static readonly layer = (matrix: Matrix): Layer.Layer<ItemEmbeddings> =>
    Layer.succeed(ItemEmbeddings, ItemEmbeddings.of({ matrix: Effect.succeed(matrix) }))

  /** Provides embeddings that `make` returns, run once when somebody first asks for them. */
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
