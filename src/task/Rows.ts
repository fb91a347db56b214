/**
 * Rows of tasks: the training events, the items, and supplied preferences.
 */
import { type ItemTexts } from "./ItemTexts.ts"
import * as Template from "./Template.ts"

/** Rows 0 .. count-1 of a task, made when they are asked for. */
export interface Rows {
  readonly count: number
  readonly at: (index: number) => Template.Row
}

/** Returns the rows of a list. */
export const ofList = (rows: ReadonlyArray<Template.Row>): Rows => ({ count: rows.length, at: (index) => rows[index]! })

/**
 * Returns one row for every event of the sequences but the first of each: the event is the target, its history the
 * latest `historyItems` before it.
 */
export const ofSequences = (sequences: ReadonlyArray<Int32Array>, historyItems: number): Rows => {
  const starts = new Int32Array(sequences.length + 1)
  for (const [user, { length }] of sequences.entries()) starts[user + 1] = starts[user]! + Math.max(0, length - 1)
  const userOf = (index: number): number => {
    let [low, high] = [0, sequences.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (starts[middle]! <= index) low = middle
      else high = middle - 1
    }
    return low
  }
  return {
    count: starts.at(-1)!,
    at: (index) => {
      const user = userOf(index)
      const items = sequences[user]!
      const at = index - starts[user]! + 1
      return { history: items.subarray(Math.max(0, at - historyItems), at), item: items[at]! }
    }
  }
}

/** Returns rows of prediction examples, with the latest `historyItems` of each history. */
export const ofExamples = (
  examples: ReadonlyArray<{ readonly history: Int32Array; readonly target: number }>,
  historyItems: number
): Rows => ({
  count: examples.length,
  at: (index) => {
    const { history, target } = examples[index]!
    return { history: history.subarray(Math.max(0, history.length - historyItems)), item: target }
  }
})

const none = new Int32Array()

/**
 * Returns the rows of a task about items: one for each value of the template's `distinct` slot, the last item that has
 * it, in the order of the values' first items; items without the text are left out. (The original asks once about the
 * empty description.)
 */
export const ofItems = (
  template: Template.Template,
  sids: ReadonlyArray<ArrayLike<number>>,
  texts: ItemTexts,
  options: Template.PromptOptions = {}
): Rows => {
  const { distinct = "item.sid" } = template
  const { lists = "joined" } = Template.wordingOf(template, options)
  const last = new Map<string, number>()
  for (const [item, codes] of sids.entries()) {
    const value = distinct === "item.sid"
      ? Array.from(codes).join(" ")
      : distinct === "item.title"
      ? texts.title(item)
      : texts.description(item, lists)
    const asksEmpty = distinct === "item.description" && options.prompts === "original"
    if (value.trim() !== "" || asksEmpty) last.set(value, item)
  }
  const items = [...last.values()]
  return { count: items.length, at: (index) => ({ history: none, item: items[index]! }) }
}
