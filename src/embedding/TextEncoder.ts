/**
 * Encoders of texts: fitted to a catalogue, then applied to any text.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type Item } from "../catalog/Dataset.ts"
import { type Matrix } from "../matrix/Matrix.ts"
import { type StoredTensor } from "../storage/Safetensors.ts"
import * as Words from "../text/Words.ts"
import { EmbeddingError, OtherEncoder } from "./EmbeddingError.ts"

/** A fitted encoder as plain data, sufficient to encode texts that it was not fitted on. */
export interface EncoderModel {
  /** `id` of the encoder that fitted it. */
  readonly encoder: string
  readonly tensors: ReadonlyMap<string, StoredTensor>
}

/** A fitted encoder and the embeddings [N, D] of the texts it was fitted on. */
export interface Fitted {
  readonly model: EncoderModel
  readonly embeddings: Matrix
}

/** An encoder of item texts. */
export class TextEncoder extends Context.Service<TextEncoder, {
  /** Identifier of encoder and settings: equal ids mean equal embeddings of equal texts. */
  readonly id: string
  /** Fits the encoder to texts; `keys` name the items they belong to. */
  fit(texts: ReadonlyArray<string>, keys: ReadonlyArray<string>): Effect.Effect<Fitted, EmbeddingError>
  /**
   * Returns embeddings [B, D] of texts, fitted on or new; of the former, those that `fit` returned within rounding.
   * `keys` name the items and are the texts themselves by default.
   */
  encode(
    texts: ReadonlyArray<string>,
    model: EncoderModel,
    keys?: ReadonlyArray<string>
  ): Effect.Effect<Matrix, EmbeddingError>
}>()("sidereal/embedding/TextEncoder") {}

/** Fails unless a model was fitted by the encoder `id`. */
export const checkModel = (id: string, model: EncoderModel): Effect.Effect<void, EmbeddingError> =>
  model.encoder === id
    ? Effect.void
    : Effect.fail(new EmbeddingError({ reason: new OtherEncoder({ expected: model.encoder, found: id }) }))

/** Returns the text of an item: title twice, brand, categories, the first 60 words of the description. */
export const itemText = (item: Item): string =>
  [
    item.title,
    item.title,
    item.brand,
    item.categories.join(" "),
    item.description.split(/\s+/).slice(0, 60).join(" ")
  ].join(" ")

/** Returns whether an item has a text: more than its key as title, unless the key is prose. */
export const hasText = ({ brand, categories, description, key, title }: Item): boolean =>
  (title === key ? Words.isProse(title) : title.trim() !== "") || brand.trim() !== "" || description.trim() !== "" ||
  categories.some((category) => category.trim() !== "")
