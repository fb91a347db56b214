/**
 * Prompts of a policy, and the examples that it is trained on.
 */
import { type History } from "../catalog/History.ts"

/** Piece of text, or an item, which each family represents by its own tokens. */
export type Segment = string | { readonly item: number }

/** Prompt: a history, or a task described in text. */
export type Prompt =
  | { readonly _tag: "History"; readonly history: History }
  | { readonly _tag: "Text"; readonly task: string; readonly segments: ReadonlyArray<Segment> }

/** Example of supervised training. */
export interface TrainingExample {
  readonly prompt: Prompt
  /** Target: every item of the prompt given the items before it, or the segments that follow the prompt. */
  readonly answer: "every-position" | ReadonlyArray<Segment>
  /** Weight of the example's losses relative to other examples. */
  readonly weight: number
}

/** Returns the prompt of a history. */
export const ofHistory = (history: History): Prompt => ({ _tag: "History", history })

/** Returns the prompt of a sequence of items; `user` is by default -1, an unknown user. */
export const ofItems = (items: Int32Array, user = -1): Prompt => ofHistory({ user, items })

/** Returns an example, of weight 1, whose targets are all items of a sequence. */
export const everyPosition = (history: History): TrainingExample => ({
  prompt: ofHistory(history),
  answer: "every-position",
  weight: 1
})
