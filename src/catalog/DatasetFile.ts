/**
 * A data set as one JSON file of a run, so that evaluating and recommending need nothing but the run.
 */
import * as Schema from "effect/Schema"
import { type Dataset, type Example } from "./Dataset.ts"

const StoredExample = Schema.Struct({
  user: Schema.Int,
  history: Schema.Array(Schema.Int),
  target: Schema.Int
})

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
  counts: Schema.Array(Schema.Struct({ step: Schema.String, count: Schema.Int })),
  times: Schema.optionalKey(Schema.Array(Schema.Array(Schema.Finite))),
  comparableTimes: Schema.optionalKey(Schema.Boolean),
  tieShare: Schema.optionalKey(Schema.Finite),
  malformed: Schema.optionalKey(Schema.Array(Schema.Struct({
    file: Schema.String,
    line: Schema.Int,
    problem: Schema.String,
    value: Schema.String
  }))),
  split: Schema.optionalKey(Schema.Struct({
    train: Schema.Array(Schema.Array(Schema.Int)),
    validation: Schema.Array(StoredExample),
    test: Schema.Array(StoredExample)
  }))
})

const plain = (lists: ReadonlyArray<ArrayLike<number>>) => lists.map((list) => Array.from(list))
const examplesOf = (examples: ReadonlyArray<Example>) =>
  examples.map(({ history, target, user }) => ({ user, history: Array.from(history), target }))
const integers = (lists: ReadonlyArray<ReadonlyArray<number>>) => lists.map((list) => Int32Array.from(list))
const toExamples = (examples: ReadonlyArray<typeof StoredExample.Type>) =>
  examples.map(({ history, ...rest }) => ({ ...rest, history: Int32Array.from(history) }))

/** The file's text. */
export const encode = ({ sequences, split, times, ...rest }: Dataset): string =>
  JSON.stringify({
    ...rest,
    // A generator's law is code.
    oracle: undefined,
    sequences: plain(sequences),
    times: times === undefined ? undefined : plain(times),
    split: split === undefined ? undefined : {
      train: plain(split.train),
      validation: examplesOf(split.validation),
      test: examplesOf(split.test)
    }
  })

/** The data set of a file's text; throws when it is not one. The oracle of a generator is not kept. */
export const decode = (text: string): Dataset => {
  const { sequences, split, times, ...rest } = Schema.decodeSync(Schema.fromJsonString(Stored))(text)
  return {
    ...rest,
    sequences: integers(sequences),
    ...(times === undefined ? {} : { times: times.map((list) => Float64Array.from(list)) }),
    ...(split === undefined ? {} : {
      split: {
        train: integers(split.train),
        validation: toExamples(split.validation),
        test: toExamples(split.test)
      }
    })
  }
}
