/**
 * The task of reasoning about the user's preferences before the SID of the next item is written.
 */
import { type Template } from "../Template.ts"

const input = [
  "The user has interacted with items ",
  { slot: "history.sids" },
  " in chronological order. Can you analyze the user's preferences and predict the next item?"
] as const
const answer = ["### Reasoning:\n", { slot: "preference" }, "\n### Response:\n", { slot: "item.sid" }] as const

/** Task `history-to-preference`, from supplied texts; in the original PreferenceSFTDataset. */
export const template: Template = {
  name: "history-to-preference",
  rows: "preferences",
  aligned: { instructions: [], input, answer },
  original: {
    training: {
      instructions: [[
        "Analyze the user's interaction history, provide insights about their preferences, and predict the next item's semantic ID."
      ]],
      input,
      answer
    }
  }
}
