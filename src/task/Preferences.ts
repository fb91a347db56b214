/**
 * Files of user preferences in words: a JSON array or JSON lines of `{ user, split, user_preference, context:
 * { history_items, target_item } }`, as MiniOneRec reads them. Entries of another split than `train` are left out, and
 * those with fewer than two items.
 */
import * as Effect from "effect/Effect"
import { BadPreference, TaskError } from "./TaskError.ts"
import { type Row } from "./Template.ts"

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "missing"
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

const bad = (file: string, entry: number, field: string, found: unknown) =>
  new TaskError({ reason: new BadPreference({ file, entry, field, found: shown(found) }) })

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const entriesOf = Effect.fnUntraced(function*(text: string, file: string) {
  const whole = parsed(text)
  if (Array.isArray(whole)) return whole as ReadonlyArray<unknown>
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "")
  return yield* Effect.forEach(lines, (line, i) => {
    const entry = parsed(line)
    return entry === undefined ? Effect.fail(bad(file, i + 1, "the line", line)) : Effect.succeed(entry)
  })
})

const objectOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Readonly<Record<string, unknown>>
    : undefined

/** Reads the rows of a file's text; `numberOf` finds an item by its key. */
export const parse = Effect.fn("Preferences.parse")(function*(
  text: string,
  file: string,
  numberOf: (key: string) => number | undefined
) {
  const rows: Array<Row> = []
  for (const [i, value] of (yield* entriesOf(text, file)).entries()) {
    const entry = objectOf(value)
    if (entry === undefined) return yield* bad(file, i + 1, "the entry", value)
    if (entry["split"] !== "train") continue
    const preference = entry["user_preference"] ?? ""
    if (typeof preference !== "string") return yield* bad(file, i + 1, "user_preference", preference)
    const context = objectOf(entry["context"])
    if (context === undefined) return yield* bad(file, i + 1, "context", entry["context"])
    const { history_items: history = [], target_item: target } = context
    if (!Array.isArray(history)) return yield* bad(file, i + 1, "context.history_items", history)
    const keys = [...history as ReadonlyArray<unknown>, ...(target === undefined || target === null ? [] : [target])]
    if (keys.length < 2) continue
    const items: Array<number> = []
    for (const key of keys) {
      const item = typeof key === "string" || typeof key === "number" ? numberOf(String(key)) : undefined
      if (item === undefined) return yield* bad(file, i + 1, "an item of context", key)
      items.push(item)
    }
    rows.push({ history: Int32Array.from(items.slice(0, -1)), item: items.at(-1)!, preference })
  }
  return rows
})
