/**
 * What GRPO asks: a place in a user's sequence, and what the user did there.
 *
 * The prompts of a step are a function of the data, the settings, the seed and the number of the step: training that was
 * stopped goes on with the next ones, and no cursor is kept.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type History } from "../catalog/History.ts"
import * as Random from "../statistics/Random.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Which prompts are asked. */
export class PromptsConfig extends Schema.Class<PromptsConfig>("sidereal/grpo/PromptsConfig")({
  /**
   * `epochs` asks every position once in an order drawn anew for every epoch; `random` draws a user and one of the user's
   * positions, each with even chances. @default epochs
   */
  order: Schema.Literals(["epochs", "random"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("epochs" as const))),
  /**
   * `training` asks for every event but a user's first; `held-out` for each user's last one only, which SFT must then not
   * have seen; `unlabelled` shows whole sequences, after which no answer is known. @default training
   */
  positions: Schema.Literals(["training", "held-out", "unlabelled"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("training" as const))
  ),
  /** Training positions of each user that are asked, the last ones. @default all */
  recent: Schema.optionalKey(Count),
  /** Items of a history, the newest. @default all */
  window: Schema.optionalKey(Count)
}) {}

/** Target of a prompt after which no answer is known: no candidate is a hit. */
export const noTarget = -1

/** A history and what came next. */
export interface RolloutPrompt {
  /** Number of the prompt in its step, from 0; (step, ordinal) identifies the rollout in any process. */
  readonly ordinal: number
  readonly history: History
  /** Item number, or `noTarget`. */
  readonly target: number
}

/** Sequences that prompts are cut from. */
export interface PromptData {
  /** Items of each user, oldest first. */
  readonly sequences: ReadonlyArray<Int32Array>
  /** Times of the same events in milliseconds since 1970, where the data have them; more of a user's are ignored. */
  readonly times?: ReadonlyArray<Float64Array> | undefined
}

/** Prompts by step. */
export interface Prompts {
  /** Positions of an epoch. */
  readonly positions: number
  /** Returns the prompts of a step, from 1; every step must ask for as many. */
  draw(step: number, count: number): ReadonlyArray<RolloutPrompt>
}

/** Finds the positions that settings allow. */
export const make = ({ sequences, times }: PromptData, config: PromptsConfig, seed: number): Prompts => {
  const unlabelled = config.positions === "unlabelled"
  const recent = config.positions === "training" ? config.recent ?? Infinity : 1
  /** The first position of a user; a position is the number of events before it. */
  const firstOf = (length: number) => unlabelled ? length : Math.max(1, length - recent)
  const countOf = (length: number) => unlabelled ? Math.min(1, length) : Math.max(0, length - firstOf(length))
  const users: Array<number> = []
  /** The positions of user `users[i]` have the numbers `starts[i] .. starts[i + 1] - 1`. */
  const starts = [0]
  for (const [user, { length }] of sequences.entries()) {
    if (countOf(length) === 0) continue
    users.push(user)
    starts.push(starts.at(-1)! + countOf(length))
  }
  const positions = starts.at(-1)!

  const prompt = (ordinal: number, user: number, at: number): RolloutPrompt => {
    const items = sequences[user]!
    const from = Math.max(0, at - (config.window ?? at))
    const own = times?.[user]?.subarray(from, at)
    return {
      ordinal,
      history: { user, items: items.subarray(from, at), ...(own === undefined ? {} : { times: own }) },
      target: unlabelled ? noTarget : items[at]!
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

  let drawn: { readonly epoch: number; readonly order: Int32Array } | undefined
  const orderOf = (epoch: number): Int32Array => {
    if (drawn?.epoch !== epoch) drawn = { epoch, order: Random.permutation(positions, seed, 0x6791, epoch) }
    return drawn.order
  }
  return {
    positions,
    draw: (step, count) => {
      if (positions === 0) return []
      if (config.order === "epochs") {
        return Array.from({ length: count }, (_, ordinal) => {
          const at = (step - 1) * count + ordinal
          return numbered(ordinal, orderOf(Math.floor(at / positions))[at % positions]!)
        })
      }
      const next = Random.uniform(seed, 0x6790, step - 1)
      return Array.from({ length: count }, (_, ordinal) => {
        const user = users[Math.floor(next() * users.length)]!
        const { length } = sequences[user]!
        return prompt(ordinal, user, firstOf(length) + Math.floor(next() * countOf(length)))
      })
    }
  }
}

const anywhere = Schema.decodeSync(PromptsConfig)({ order: "random" })

/** Draws random training positions for the step after `step` others. */
export const draw = (
  sequences: ReadonlyArray<Int32Array>,
  count: number,
  [seed, step]: readonly [seed: number, step: number]
): ReadonlyArray<RolloutPrompt> => make({ sequences }, anywhere, seed).draw(step + 1, count)
