/**
 * Augmentation of training sequences: each epoch reads other windows of them, with items left out.
 *
 * Only examples whose targets are all items of a history are changed. Draws are a function of (seed, epoch, number of
 * the example), so that a resumed run reads what an uninterrupted one would have read.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type History } from "../catalog/History.ts"
import { type TrainingExample } from "../policy/Prompt.ts"
import * as Random from "../statistics/Random.ts"

const Share = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1))

/** Settings of the augmentation; by default there is none. */
export class AugmentationConfig extends Schema.Class<AugmentationConfig>("sidereal/sft/AugmentationConfig")({
  /** Probability of leaving out each item of a sequence, 0 to 0.9; at least one item stays. @default 0 */
  itemDrop: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /** Probability of replacing a sequence with a window of consecutive items, 0 to 1. @default 0 */
  subSequence: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** Least length of a window as a share of the sequence's, 0 to 1. @default 0.5 */
  leastShare: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.5)))
}) {}

/** Returns the numbers of the events that stay, in order: a window, without the items that are left out. */
const kept = (
  { itemDrop, leastShare, subSequence }: AugmentationConfig,
  count: number,
  next: () => number
): ReadonlyArray<number> => {
  let [from, length] = [0, count]
  if (subSequence > 0 && next() < subSequence) {
    const least = Math.max(1, Math.ceil(leastShare * count))
    length = least + Math.floor(next() * (count - least + 1))
    from = Math.floor(next() * (count - length + 1))
  }
  const window = Array.from({ length }, (_, i) => from + i)
  const stay = itemDrop > 0 ? window.filter(() => next() >= itemDrop) : window
  return stay.length > 0 ? stay : [from + Math.floor(next() * length)]
}

const augmented = (config: AugmentationConfig, history: History, next: () => number): History => {
  const { items, times } = history
  if (items.length === 0) return history
  const events = kept(config, items.length, next)
  return {
    ...history,
    items: Int32Array.from(events, (event) => items[event]!),
    ...(times === undefined ? {} : { times: Float64Array.from(events, (event) => times[event]!) })
  }
}

/**
 * Returns the examples of an epoch, of the same number and order; those given, if the settings change nothing.
 *
 * @example
 * ```ts
 * import * as Schema from "effect/Schema"
 * import * as assert from "node:assert/strict"
 * import * as Prompt from "sidereal/policy/Prompt"
 * import * as Augmentation from "sidereal/sft/Augmentation"
 *
 * const examples = [Prompt.everyPosition({ user: 0, items: Int32Array.of(5, 6, 7, 8) })]
 * const decode = Schema.decodeSync(Augmentation.AugmentationConfig)
 * assert.equal(Augmentation.apply(decode({}), examples, 1, 0), examples)
 * const [one] = Augmentation.apply(decode({ itemDrop: 0.5 }), examples, 1, 0)
 * const [again] = Augmentation.apply(decode({ itemDrop: 0.5 }), examples, 1, 0)
 * assert.deepEqual(one, again)
 * ```
 */
export const apply = (
  config: AugmentationConfig,
  examples: ReadonlyArray<TrainingExample>,
  seed: number,
  epoch: number
): ReadonlyArray<TrainingExample> =>
  config.itemDrop === 0 && config.subSequence === 0
    ? examples
    : examples.map((example, number) => {
      const { answer, prompt } = example
      if (answer !== "every-position" || prompt._tag !== "History") return example
      const history = augmented(config, prompt.history, Random.uniform(seed, epoch, number, 0xa06))
      return { ...example, prompt: { ...prompt, history } }
    })
