/**
 * Splits of a data set into training, validation and test.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CatalogError, NoSplit } from "./CatalogError.ts"
import { type Dataset, type Example } from "./Dataset.ts"

export type { Example } from "./Dataset.ts"

/** Split of a data set into three parts. */
export interface Split {
  readonly name: "leave-one-out" | "chronological" | "given"
  /** Training sequences, oldest item first; none contains an event that is a target of another part. */
  readonly train: ReadonlyArray<Int32Array>
  /** Times of the events of `train`, where the data have them; a split that came with the data has none. */
  readonly trainTimes?: ReadonlyArray<Float64Array> | undefined
  readonly validation: ReadonlyArray<Example>
  readonly test: ReadonlyArray<Example>
}

/** Settings of the split. */
export class SplitConfig extends Schema.Class<SplitConfig>("sidereal/catalog/SplitConfig")({
  /** Kind of split. @default the one that came with the data, else leave-one-out */
  kind: Schema.optionalKey(Schema.Literals(["leave-one-out", "chronological", "given"])),
  /** Number of latest history items before a target of the chronological split. @default 10 */
  window: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(10)))
}) {}

/**
 * Splits by leave-one-out: the last event of a user is the test target, the one before it the validation target, and
 * the others are for training. The test history includes the validation item. Users with fewer than three events are
 * for training only.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Assemble from "sidereal/catalog/Assemble"
 * import * as Split from "sidereal/catalog/Split"
 *
 * const { test, train, validation } = Split.leaveOneOut({
 *   name: "tiny",
 *   items: ["a", "b", "c", "d"].map(Assemble.nameless),
 *   userKeys: ["u"],
 *   sequences: [Int32Array.of(0, 1, 2, 3)],
 *   counts: []
 * })
 * assert.deepEqual(Array.from(train[0]!), [0, 1])
 * assert.deepEqual([validation[0]!.target, test[0]!.target], [2, 3])
 * assert.deepEqual(Array.from(test[0]!.history), [0, 1, 2])
 * ```
 */
export const leaveOneOut = (dataset: Dataset): Split => {
  const lengths = dataset.sequences.map(({ length }) => length < 3 ? length : length - 2)
  const validation: Array<Example> = []
  const test: Array<Example> = []
  for (const [user, { length }] of dataset.sequences.entries()) {
    if (length < 3) continue
    validation.push(exampleAt(dataset, user, 0, length - 2))
    test.push(exampleAt(dataset, user, 0, length - 1))
  }
  return { name: "leave-one-out", ...trainingPart(dataset, lengths), validation, test }
}

/** Returns the example whose target is event `at` of a user and whose history begins with event `from`. */
const exampleAt = ({ sequences, times }: Dataset, user: number, from: number, at: number): Example => ({
  user,
  history: sequences[user]!.subarray(from, at),
  times: times?.[user]!.subarray(from, at),
  target: sequences[user]![at]!
})

/** Returns the first events of each user, `lengths[user]` of them. */
const trainingPart = (
  { sequences, times }: Dataset,
  lengths: ArrayLike<number>
): Pick<Split, "train" | "trainTimes"> => ({
  train: sequences.map((items, user) => items.subarray(0, lengths[user])),
  trainTimes: times?.map((list, user) => list.subarray(0, lengths[user]))
})

/** Returns the examples of the three parts by the targets' times, 8 : 1 : 1. */
export const chronologicalParts = (dataset: Dataset, window: number): Readonly<
  Record<"train" | "validation" | "test", ReadonlyArray<Example>>
> => {
  const { sequences } = dataset
  const times = dataset.times!
  const samples: Array<readonly [user: number, at: number]> = []
  for (const [user, items] of sequences.entries()) for (let at = 1; at < items.length; at++) samples.push([user, at])
  // Sorting is stable: targets of one time stay in the order of users and positions.
  const ordered = samples.toSorted((a, b) => times[a[0]]![a[1]]! - times[b[0]]![b[1]]!)
    .map(([user, at]) => exampleAt(dataset, user, Math.max(0, at - window), at))
  const [trainEnd, validEnd] = [Math.floor(ordered.length * 0.8), Math.floor(ordered.length * 0.9)]
  return {
    train: ordered.slice(0, trainEnd),
    validation: ordered.slice(trainEnd, validEnd),
    test: ordered.slice(validEnd)
  }
}

/**
 * Splits chronologically, as MiniOneRec: every event but a user's first is a target; in the order of the targets'
 * times, the first 80 % are for training, the next 10 % for validation, the others for test. A user's training sequence
 * ends with the last training target, so that it has no event of the later parts; users occur in several parts.
 */
export const chronological = (dataset: Dataset, window: number): Split => {
  const { test, train, validation } = chronologicalParts(dataset, window)
  const targets = new Int32Array(dataset.sequences.length)
  for (const { user } of train) targets[user]!++
  // Targets of a user come in the order of time, so those that train are the user's first.
  const lengths = targets.map((count) => count === 0 ? 0 : count + 1)
  return { name: "chronological", ...trainingPart(dataset, lengths), validation, test }
}

/** Returns the time of the first training event of each of `items` items, NaN for none; undefined without times. */
export const firstTimes = ({ train, trainTimes }: Split, items: number): Float64Array | undefined => {
  if (trainTimes === undefined) return undefined
  const first = new Float64Array(items).fill(NaN)
  for (const [user, sequence] of train.entries()) {
    for (const [at, item] of sequence.entries()) {
      const time = trainTimes[user]![at]!
      if (!(first[item]! <= time)) first[item] = time
    }
  }
  return first
}

/** Splits a data set; fails with `NoSplit` where the data do not support the split. */
export const split = (dataset: Dataset, { kind, window }: SplitConfig): Effect.Effect<Split, CatalogError> => {
  const fail = (wanted: string, detail: string) =>
    Effect.fail(new CatalogError({ reason: new NoSplit({ wanted, detail }) }))
  switch (kind ?? (dataset.split === undefined ? "leave-one-out" : "given")) {
    case "given":
      return dataset.split === undefined
        ? fail("given", "the data have none; MiniOneRec's folders have one")
        : Effect.succeed({ name: "given", ...dataset.split })
    case "chronological":
      return dataset.times === undefined || dataset.comparableTimes === false
        ? fail("chronological", "the events have no times that can be compared between users")
        : Effect.succeed(chronological(dataset, window))
    default:
      return dataset.sequences.every((items) => items.length < 3)
        ? fail("leave-one-out", "no user has three events, one each for training, validation and test")
        : Effect.succeed(leaveOneOut(dataset))
  }
}
