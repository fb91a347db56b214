/**
 * Prompts of a text policy as token ids: a history asks in the words of the task `history-to-sid`.
 */
import { type ItemTexts } from "../../task/ItemTexts.ts"
import { type TasksConfig } from "../../task/Tasks.ts"
import * as Template from "../../task/Template.ts"
import * as HistoryToSid from "../../task/template/HistoryToSid.ts"
import { type Prompt, type Segment } from "../Prompt.ts"

/** Words for a history without items. */
const nothing = "(none)"

const isHistory = (piece: Template.Piece) => typeof piece !== "string" && piece.slot === "history.sids"

/** Returns the template with words in the place of the history. */
const withoutHistory = (template: Template.Template): Template.Template => {
  const wording = ({ input, ...others }: Template.Wording): Template.Wording => ({
    ...others,
    input: input.map((piece) => isHistory(piece) ? nothing : piece)
  })
  return {
    ...template,
    aligned: wording(template.aligned),
    original: Object.fromEntries(Object.entries(template.original).map(([phase, own]) => [phase, wording(own)]))
  }
}

const empty = withoutHistory(HistoryToSid.template)

/** Wording of the prompts of a policy. */
export interface Wording {
  readonly tasks: TasksConfig
  readonly texts: ItemTexts
  /** Token before prompts. @default none */
  readonly beginning: string | undefined
}

/** Returns the options of a policy's templates. */
export const optionsOf = ({ beginning, tasks }: Omit<Wording, "texts">): Template.PromptOptions => ({
  prompts: tasks.prompts,
  ...(beginning === undefined ? {} : { beginning })
})

/** Returns prompt and answer for the latest items of a history, with `item` as the answer. */
export const ofHistory = (wording: Wording, items: Int32Array, item: number): Template.Filled => {
  const { tasks, texts } = wording
  const row = { history: items.subarray(-tasks.historyItems), item }
  // Neither slot of the template lacks a text, once the history has words.
  return Template.fill(items.length === 0 ? empty : HistoryToSid.template, row, texts, optionsOf(wording))!
}

/** Returns the segments of a prompt. */
export const segments = (wording: Wording, prompt: Prompt): ReadonlyArray<Segment> =>
  prompt._tag === "Text" ? prompt.segments : ofHistory(wording, prompt.history.items, 0).prompt
