/**
 * What a text policy says about items and histories; the tasks provide it.
 */
import { type Prompt, type Segment } from "../Prompt.ts"

/** Words of a text policy. */
export interface Words {
  /**
   * Returns the question for the next item after a history, oldest item first, with `item` as its answer; `beginning` is
   * the text before the question, where there is one.
   */
  readonly ofHistory: (
    items: Int32Array,
    item: number,
    beginning: string | undefined
  ) => { readonly prompt: ReadonlyArray<Segment>; readonly answer: ReadonlyArray<Segment> }
  /** Returns the text of an item, "" where it has none. */
  readonly ofItem: (item: number) => string
}

/** Returns the segments of a prompt. */
export const segments = (words: Words, beginning: string | undefined, prompt: Prompt): ReadonlyArray<Segment> =>
  prompt._tag === "Text" ? prompt.segments : words.ofHistory(prompt.history.items, 0, beginning).prompt
