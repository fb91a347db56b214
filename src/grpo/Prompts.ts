/**
 * Prompts of GRPO: positions in users' sequences, each with the history before it and the item that followed.
 *
 * The prompts of a step are a function of the data, the settings, the seed and the number of the step, so that a
 * resumed run continues with the next prompts without a stored cursor.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as History from "../catalog/History.ts"
import * as Random from "../statistics/Random.ts"
import * as Continuation from "./Continuation.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of the prompts. */
export class PromptsConfig extends Schema.Class<PromptsConfig>("sidereal/grpo/PromptsConfig")({
  /**
   * Order of the positions: `epochs` takes every position once per epoch, in a new random order for each epoch;
   * `random` draws a user and then one of the user's positions, both uniformly. @default epochs
   */
  order: Schema.Literals(["epochs", "random"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("epochs" as const))),
  /**
   * Events that are answers: in `training` every event except a user's first, limited by `recent`; in `held-out` each
   * user's last event, on which SFT must not have been trained; in `unlabelled` none: prompts are whole sequences.
   * `automatic` is `unlabelled` where no setting of GRPO reads an answer, otherwise `training`.
   * @default training
   */
  positions: Schema.Literals(["training", "held-out", "unlabelled", "automatic"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("training" as const))
  ),
  /**
   * Share of a step's prompts that are whole sequences without an answer, instead of one of `positions`; 0 to 1. There
   * are none where a setting of GRPO reads an answer.
   * @default 0
   */
  unlabelledShare: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /**
   * Share of the prompts without an answer whose whole sequence is continued by an item that followed its latest item in
   * the sequence of another user; 0 to 1. Small data have few sequences, and continued ones are as the next requests.
   * @default 0
   */
  continuedShare: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  ),
  /** Number of the last positions of each user that are used, at least 1; read by training positions alone. @default all */
  recent: Schema.optionalKey(Count),
  /** Number of the most recent items of a history that are kept, at least 1. @default all */
  window: Schema.optionalKey(Count),
  /**
   * Share of the prompts whose history is cut to its n most recent items, n drawn uniformly from 1 to its length; 0 to 1.
   * Short prompts cost less and teach what follows single items. @default 0
   */
  shortShare: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0))
  )
}) {}

/** Target of a prompt without a known answer: no candidate is a hit. */
export const noTarget = -1

/** History with the item that followed. */
export interface RolloutPrompt {
  /** Number of the prompt in its step, from 0; (step, ordinal) identifies the rollout in any process. */
  readonly ordinal: number
  readonly history: History.History
  /** Item number, or `noTarget`. */
  readonly target: number
}

/** Sequences from which prompts are cut. */
export interface PromptData {
  /** Item numbers of each user, oldest first. */
  readonly sequences: ReadonlyArray<Int32Array>
  /**
   * Times of the same events per user, in milliseconds since 1970; times after the last event are ignored.
   * @default none
   */
  readonly times?: ReadonlyArray<Float64Array> | undefined
  /**
   * Histories after which the policy is validated. Whole sequences that equal one are no prompts, unless that would leave
   * out more than half of all.
   * @default none
   */
  readonly validated?: ReadonlyArray<Int32Array> | undefined
}

/** Source of the prompts of each step. */
export interface Prompts {
  /** Number of positions of an epoch. */
  readonly positions: number
  /** Returns `count` prompts of a step, from 1; with the order `epochs`, `count` must be the same at every step. */
  draw(step: number, count: number): ReadonlyArray<RolloutPrompt>
}

/** Builds the prompts of the positions that the settings allow. */
export const make = (data: PromptData, config: PromptsConfig, seed: number): Prompts => {
  const labelled = ofPositions(data, config, seed)
  if (config.unlabelledShare === 0) return labelled
  const whole = ofPositions(data, new PromptsConfig({ ...config, positions: "unlabelled" }), seed)
  return {
    positions: labelled.positions,
    draw: (step, count) => {
      const share = whole.positions === 0 ? 0 : Math.round(config.unlabelledShare * count)
      const drawn = [...labelled.draw(step, count - share), ...whole.draw(step, share)]
      return drawn.map((prompt, ordinal) => ({ ...prompt, ordinal }))
    }
  }
}

/** Builds the prompts of one kind of positions. */
const ofPositions = ({ sequences, times, validated }: PromptData, config: PromptsConfig, seed: number): Prompts => {
  const unlabelled = config.positions === "unlabelled"
  const window = config.window ?? Infinity
  const recent = config.positions === "held-out" ? 1 : config.recent ?? Infinity
  /** Returns the first position of a user; a position is the number of events before it. */
  const firstOf = (length: number) => unlabelled ? length : Math.max(1, length - recent)
  const countOf = (length: number) => unlabelled ? Math.min(1, length) : Math.max(0, length - firstOf(length))
  const asked = new Set(unlabelled ? validated?.map(String) : [])
  const leftOut = sequences.map((items) => asked.size > 0 && asked.has(String(items)))
  const isAnyLeftOut = 2 * leftOut.filter(Boolean).length <= sequences.length
  const users: Array<number> = []
  /** The positions of user `users[i]` have the numbers `starts[i] .. starts[i + 1] - 1`. */
  const starts = [0]
  for (const [user, { length }] of sequences.entries()) {
    if (countOf(length) === 0 || (isAnyLeftOut && leftOut[user])) continue
    users.push(user)
    starts.push(starts.at(-1)! + countOf(length))
  }
  const positions = starts.at(-1)!

  const prompt = (ordinal: number, user: number, at: number): RolloutPrompt => {
    const history = { user, items: sequences[user]!.subarray(0, at), times: times?.[user]?.subarray(0, at) }
    return {
      ordinal,
      history: History.latest(history, window),
      target: unlabelled ? noTarget : sequences[user]![at]!
    }
  }
  /** Finds the user of a position by bisection. */
  const numbered = (ordinal: number, position: number): RolloutPrompt => {
    let [low, high] = [0, users.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (starts[middle]! <= position) low = middle
      else high = middle - 1
    }
    const user = users[low]!
    return prompt(ordinal, user, firstOf(sequences[user]!.length) + position - starts[low]!)
  }

  const continuation = unlabelled && config.continuedShare > 0 ? Continuation.make(sequences, times) : undefined
  /** Continues the histories of the chosen share of a step's prompts. */
  const extend = (prompts: ReadonlyArray<RolloutPrompt>, step: number): ReadonlyArray<RolloutPrompt> => {
    if (continuation === undefined) return prompts
    const next = Random.uniform(seed, 0x6793, step)
    return prompts.map((one) =>
      next() < config.continuedShare
        ? { ...one, history: History.latest(continuation.continue(one.history, next), window) }
        : one
    )
  }

  /** Cuts the histories of the chosen share of a step's prompts. */
  const shorten = (prompts: ReadonlyArray<RolloutPrompt>, step: number): ReadonlyArray<RolloutPrompt> => {
    if (config.shortShare === 0) return prompts
    const next = Random.uniform(seed, 0x6792, step)
    return prompts.map((one) => {
      const [chosen, size] = [next() < config.shortShare, next()]
      return chosen
        ? { ...one, history: History.latest(one.history, 1 + Math.floor(size * one.history.items.length)) }
        : one
    })
  }

  let drawn: { readonly epoch: number; readonly order: Int32Array } | undefined
  const orderOf = (epoch: number): Int32Array => {
    if (drawn?.epoch !== epoch) drawn = { epoch, order: Random.permutation(positions, seed, 0x6791, epoch) }
    return drawn.order
  }
  const byEpochs = (step: number, count: number) =>
    Array.from({ length: count }, (_, ordinal) => {
      const at = (step - 1) * count + ordinal
      return numbered(ordinal, orderOf(Math.floor(at / positions))[at % positions]!)
    })
  const atRandom = (step: number, count: number) => {
    const next = Random.uniform(seed, 0x6790, step - 1)
    return Array.from({ length: count }, (_, ordinal) => {
      const user = users[Math.floor(next() * users.length)]!
      const { length } = sequences[user]!
      return prompt(ordinal, user, firstOf(length) + Math.floor(next() * countOf(length)))
    })
  }
  const take = config.order === "epochs" ? byEpochs : atRandom
  return {
    positions,
    draw: (step, count) => positions === 0 ? [] : shorten(extend(take(step, count), step), step)
  }
}

const anywhere = Schema.decodeSync(PromptsConfig)({ order: "random" })

/** Draws `count` random training positions of a step, counted from 0. */
export const draw = (
  sequences: ReadonlyArray<Int32Array>,
  count: number,
  [seed, step]: readonly [seed: number, step: number]
): ReadonlyArray<RolloutPrompt> => make({ sequences }, anywhere, seed).draw(step + 1, count)
