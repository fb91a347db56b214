/**
 * A data set as one JSON file of a run, so that evaluating and recommending need nothing but the run.
 */
import * as Schema from "effect/Schema"
import { type Dataset } from "./Dataset.ts"

const Stored = Schema.Struct({
  name: Schema.String,
  items: Schema.Array(Schema.Struct({
    key: Schema.String,
    title: Schema.String,
    description: Schema.String,
    brand: Schema.String,
    categories: Schema.Array(Schema.String)
  })),
  userKeys: Schema.Array(Schema.String),
  sequences: Schema.Array(Schema.Array(Schema.Int)),
  counts: Schema.Array(Schema.Struct({ step: Schema.String, count: Schema.Int }))
})

/** The file's text. */
export const encode = ({ counts, items, name, sequences, userKeys }: Dataset): string =>
  JSON.stringify({ name, items, userKeys, sequences: sequences.map((list) => Array.from(list)), counts })

/** The data set of a file's text; throws when it is not one. The oracle of a generator is not kept. */
export const decode = (text: string): Dataset => {
  const stored = Schema.decodeSync(Schema.fromJsonString(Stored))(text)
  return { ...stored, sequences: stored.sequences.map((list) => Int32Array.from(list)) }
}
