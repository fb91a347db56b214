/**
 * Templates of text tasks: what a prompt says, as data, and how it becomes a prompt and an answer.
 */
import type * as Prompt from "../policy/Prompt.ts"
import * as Random from "../statistics/Random.ts"
import { type ItemTexts, type Lists } from "./ItemTexts.ts"
import * as Skeleton from "./Skeleton.ts"

/** Part of a text that a row fills. */
export type Slot =
  /** SIDs of the history, separated by `, `. */
  | "history.sids"
  /** Titles of the history, each in double quotes, separated by `, `. */
  | "history.titles"
  /** The same, separated by a comma and a tab. */
  | "history.titles.tabs"
  | "item.sid"
  | "item.title"
  | "item.description"
  /** Text about the user's preferences, supplied with the row. */
  | "preference"
  | "category"

/** Text, or a slot. */
export type Piece = string | { readonly slot: Slot }

/** Text with slots. */
export type Pieces = ReadonlyArray<Piece>

/** One wording of a task. */
export interface Wording {
  /** Instructions before the input, of which one is drawn for each row; none leaves the preamble out. */
  readonly instructions: ReadonlyArray<Pieces>
  /** Text after the instruction. @default a blank line */
  readonly closing?: string
  readonly input: Pieces
  readonly answer: Pieces
  /** Rule for descriptions that are printed lists. @default joined */
  readonly lists?: Lists
}

/** Use of a prompt; the original words some tasks differently in each. */
export type Phase = "training" | "rl" | "evaluation"

/** Kind of the rows that a task reads. */
export type RowKind = "events" | "items" | "preferences"

/** Task. */
export interface Template {
  readonly name: string
  readonly rows: RowKind
  /** For tasks of items, the slot of which each value is asked once, of the last item that has it. */
  readonly distinct?: "item.sid" | "item.title" | "item.description"
  /** Wording of every phase. */
  readonly aligned: Wording
  /** Wordings of MiniOneRec at commit 81b4ba9, without the answer that it leaves in some prompts. */
  readonly original: Readonly<Partial<Record<Phase, Wording>>>
}

/** Row that fills a template. */
export interface Row {
  /** Items before the target, oldest first; empty for tasks of items. */
  readonly history: Int32Array
  /** Target, or the item asked about. */
  readonly item: number
  readonly preference?: string | undefined
}

/** Options of the prompts. */
export interface PromptOptions {
  /** Wordings: one for every phase, or those of MiniOneRec. @default aligned */
  readonly prompts?: "aligned" | "original" | undefined
  /** @default training */
  readonly phase?: Phase | undefined
  /**
   * Token before a prompt, such as `<|endoftext|>`; the original has it before instructions only. @default none
   */
  readonly beginning?: string | undefined
  /** Key of the draw of one of several instructions. @default [0] */
  readonly key?: ReadonlyArray<number> | undefined
}

/** Prompt in text with its answer. */
export interface Filled {
  readonly prompt: ReadonlyArray<Prompt.Segment>
  readonly answer: ReadonlyArray<Prompt.Segment>
}

/** Returns the wording of a phase; the original words a phase that it lacks as training, or as reinforcement learning. */
export const wordingOf = ({ aligned, original }: Template, { phase = "training", prompts }: PromptOptions): Wording =>
  prompts === "original" ? original[phase] ?? original.training ?? original.rl ?? aligned : aligned

const separated = (
  parts: ReadonlyArray<Prompt.Segment>,
  separator: string
): ReadonlyArray<Prompt.Segment> => parts.flatMap((part, i) => i === 0 ? [part] : [separator, part])

/** Treatment of descriptions: printed lists, and whether an empty one is shown, as in the original. */
interface Rule {
  readonly lists: Lists
  readonly showsEmpty: boolean
}

/** Fills one slot; undefined where the row has no such text. */
const fillSlot = (slot: Slot, row: Row, texts: ItemTexts, rule: Rule): ReadonlyArray<Prompt.Segment> | undefined => {
  const text = (value: string | undefined) => value === undefined || value.trim() === "" ? undefined : [value]
  const titles = (separator: string) => {
    const all = Array.from(row.history, texts.title)
    return all.length === 0 || all.some((title) => title.trim() === "")
      ? undefined
      : separated(all.map((title) => `"${title}"`), separator)
  }
  switch (slot) {
    case "history.sids":
      return row.history.length === 0
        ? undefined
        : separated(Array.from(row.history, (item): Prompt.Segment => ({ item })), ", ")
    case "history.titles":
      return titles(", ")
    case "history.titles.tabs":
      return titles(",\t")
    case "item.sid":
      return [{ item: row.item }]
    case "item.title":
      return text(texts.title(row.item))
    case "item.description":
      return rule.showsEmpty
        ? [texts.description(row.item, rule.lists)]
        : text(texts.description(row.item, rule.lists))
    case "preference":
      return text(row.preference)
    case "category":
      return [texts.category]
  }
}

/** Joins neighbouring strings, since each string is tokenised by itself. */
const joined = (segments: ReadonlyArray<Prompt.Segment>): ReadonlyArray<Prompt.Segment> => {
  const result: Array<Prompt.Segment> = []
  for (const segment of segments) {
    const last = result.at(-1)
    if (typeof segment === "string" && typeof last === "string") result[result.length - 1] = last + segment
    else if (segment !== "") result.push(segment)
  }
  return result
}

const fillPieces = (
  pieces: Pieces,
  row: Row,
  texts: ItemTexts,
  rule: Rule
): ReadonlyArray<Prompt.Segment> | undefined => {
  const segments: Array<Prompt.Segment> = []
  for (const piece of pieces) {
    const own = typeof piece === "string" ? [piece] : fillSlot(piece.slot, row, texts, rule)
    if (own === undefined) return undefined
    segments.push(...own)
  }
  return segments
}

/** Fills a template with a row; undefined where the row lacks a text that the wording shows. */
export const fill = (
  template: Template,
  row: Row,
  texts: ItemTexts,
  options: PromptOptions = {}
): Filled | undefined => {
  const { beginning, key = [0], prompts } = options
  const { answer, closing, input, instructions, lists = "joined" } = wordingOf(template, options)
  const chosen = instructions[instructions.length < 2 ? 0 : Math.floor(Random.uniform(...key)() * instructions.length)]
  const rule: Rule = { lists, showsEmpty: prompts === "original" }
  const head = chosen === undefined ? [] : fillPieces(chosen, row, texts, rule)
  const body = fillPieces(input, row, texts, rule)
  const after = fillPieces(answer, row, texts, rule)
  if (head === undefined || body === undefined || after === undefined) return undefined
  const begins = beginning !== undefined && (prompts !== "original" || chosen !== undefined)
  return {
    prompt: [
      ...(begins ? [beginning] : []),
      ...(chosen === undefined ? [] : joined(Skeleton.instruction(head, closing))),
      ...joined(Skeleton.input(body))
    ],
    answer: joined(after)
  }
}

/** Returns the training example of a row; undefined where the row lacks a text. */
export const example = (
  template: Template,
  row: Row,
  texts: ItemTexts,
  options: PromptOptions = {}
): Prompt.TrainingExample | undefined => {
  const filled = fill(template, row, texts, options)
  return filled === undefined
    ? undefined
    : { prompt: { _tag: "Text", task: template.name, segments: filled.prompt }, answer: filled.answer, weight: 1 }
}
