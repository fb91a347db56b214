/**
 * Embeddings of the catalogue's items, for policies and rewards that read the content of items.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Matrix } from "../matrix/Matrix.ts"
import { type EmbeddingError } from "./EmbeddingError.ts"

/** Embeddings of a catalogue. */
export interface Embeddings {
  /** Embeddings from which the SIDs were made, [N, D], one row per item. */
  readonly matrix: Matrix
  /** Returns half-whitened embeddings of the texts alone, [N, D']; `matrix` where there are no texts. */
  readonly text: () => Matrix
}

/** Embeddings of the catalogue, read or computed at the first use. */
export class ItemEmbeddings extends Context.Service<ItemEmbeddings, {
  readonly all: Effect.Effect<Embeddings, EmbeddingError>
}>()("sidereal/embedding/ItemEmbeddings") {
  /** Provides embeddings [N, D]; those of the texts are by default the same. */
  static readonly layer = (matrix: Matrix, text = matrix): Layer.Layer<ItemEmbeddings> =>
    Layer.succeed(ItemEmbeddings, ItemEmbeddings.of({ all: Effect.succeed({ matrix, text: () => text }) }))

  /** Provides the embeddings that `make` returns; it runs once, at the first use. */
  static readonly layerLazy = <R>(
    make: Effect.Effect<Embeddings, EmbeddingError, R>
  ): Layer.Layer<ItemEmbeddings, never, R> =>
    Layer.effect(
      ItemEmbeddings,
      Effect.gen(function*() {
        const context = yield* Effect.context<R>()
        return ItemEmbeddings.of({ all: yield* Effect.cached(Effect.provideContext(make, context)) })
      })
    )
}
