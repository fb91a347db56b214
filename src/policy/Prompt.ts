/**
 * What a policy is asked, and what it is taught to answer.
 */
import { type History } from "../catalog/History.ts"

/** A piece of text, or an item that the policy writes in its own way. */
export type Segment = string | { readonly item: number }

/** A history, or a task in words. */
export type Prompt =
  | { readonly _tag: "History"; readonly history: History }
  | { readonly _tag: "Text"; readonly task: string; readonly segments: ReadonlyArray<Segment> }

/** One example of supervised training. */
export interface TrainingExample {
  readonly prompt: Prompt
  /** What is learned: every item of the prompt from those before it, or what follows the prompt. */
  readonly answer: "every-position" | ReadonlyArray<Segment>
  /** Weight of its losses relative to other examples. */
  readonly weight: number
}

/** Makes a prompt of a history. */
export const ofHistory = (history: History): Prompt => ({ _tag: "History", history })

/** Makes a prompt of items alone. */
export const ofItems = (items: Int32Array, user = -1): Prompt => ofHistory({ user, items })

/** Makes an example that learns every item of a sequence. */
export const everyPosition = (history: History): TrainingExample => ({
  prompt: ofHistory(history),
  answer: "every-position",
  weight: 1
})
