/**
 * Prompts of GRPO: the history up to a position of a user's sequence, and the item at that position.
 */
import { type History } from "../catalog/History.ts"
import * as Random from "../statistics/Random.ts"

/** A history and the item that followed it. */
export interface RolloutPrompt {
  /** Number of the prompt in its step, from 0; (step, ordinal) identifies the rollout in any process. */
  readonly ordinal: number
  readonly history: History
  readonly target: number
}

/**
 * Draws `count` prompts with replacement from users with at least two items, uniform over users and then over
 * positions; a function of (seed, step). Returns none where no user has two items.
 */
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
