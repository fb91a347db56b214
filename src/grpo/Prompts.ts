/**
 * What GRPO asks: a place in a user's sequence, and what the user did there.
 */
import { type History } from "../catalog/History.ts"
import * as Random from "../statistics/Random.ts"

/** A history and what came next. */
export interface RolloutPrompt {
  /** Number of the prompt in its step: with the step it names the rollout, wherever it is drawn. */
  readonly ordinal: number
  readonly history: History
  readonly target: number
}

/** Draws prompts: users and positions are a function of (seed, step). */
export const draw = (
  sequences: ReadonlyArray<Int32Array>,
  count: number,
  [seed, step]: readonly [seed: number, step: number]
): ReadonlyArray<RolloutPrompt> => {
  const users = sequences.flatMap((items, user) => items.length >= 2 ? [user] : [])
  const next = Random.uniform(seed, 0x6790, step)
  if (users.length === 0) return []
  return Array.from({ length: count }, (_, ordinal) => {
    const user = users[Math.floor(next() * users.length)]!
    const items = sequences[user]!
    const at = 1 + Math.floor(next() * (items.length - 1))
    return { ordinal, history: { user, items: items.subarray(0, at) }, target: items[at]! }
  })
}
