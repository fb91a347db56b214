/**
 * Texts to embeddings.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { type Item } from "../catalog/Dataset.ts"
import { type Matrix } from "../matrix/Matrix.ts"
import * as Words from "../text/Words.ts"
import { type EmbeddingError } from "./EmbeddingError.ts"

/** An encoder of item texts. */
export class TextEncoder extends Context.Service<TextEncoder, {
  /** Names encoder and settings: equal ids give equal embeddings. */
  readonly id: string
  /** One row per text; `keys` name the items the texts are of. */
  encode(texts: ReadonlyArray<string>, keys: ReadonlyArray<string>): Effect.Effect<Matrix, EmbeddingError>
}>()("sidereal/embedding/TextEncoder") {}

/** The text of an item: title twice, brand, categories, the first 60 words of the description. */
export const itemText = (item: Item): string =>
  [
    item.title,
    item.title,
    item.brand,
    item.categories.join(" "),
    item.description.split(/\s+/).slice(0, 60).join(" ")
  ].join(" ")

/** Whether an item has a text of its own: more than a key that stands as its title, unless the key reads as a title. */
export const hasText = ({ brand, categories, description, key, title }: Item): boolean =>
  (title === key ? Words.isProse(title) : title.trim() !== "") || brand.trim() !== "" || description.trim() !== "" ||
  categories.some((category) => category.trim() !== "")
