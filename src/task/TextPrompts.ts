/**
 * Words of a text policy from the tasks: a history asks as the task `history-to-sid` does in training.
 */
import { type Words } from "../policy/text/Words.ts"
import { type ItemTexts } from "./ItemTexts.ts"
import { type TasksConfig } from "./Tasks.ts"
import * as Template from "./Template.ts"
import * as HistoryToSid from "./template/HistoryToSid.ts"

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

/** Returns the options of the templates of a policy; `beginning` is the text before prompts, where there is one. */
export const optionsOf = (tasks: TasksConfig, beginning: string | undefined): Template.PromptOptions => ({
  prompts: tasks.prompts,
  ...(beginning === undefined ? {} : { beginning })
})

/** Returns the words of a policy whose prompts show the latest items of a history. */
export const words = (tasks: TasksConfig, texts: ItemTexts): Words => ({
  ofHistory: (items, item, beginning) => {
    const row = { history: items.subarray(-tasks.historyItems), item }
    // Neither slot of the template lacks a text, once the history has words.
    return Template.fill(items.length === 0 ? empty : HistoryToSid.template, row, texts, optionsOf(tasks, beginning))!
  },
  ofItem: (item) => texts.title(item) || texts.description(item, "joined")
})
