/**
 * The task of describing the next item after the SIDs of the history.
 */
import { type Template } from "../Template.ts"

const input = [
  "Please review the user's historical interactions: ",
  { slot: "history.sids" },
  ", and describe what kind of item he still needs."
] as const

/** Task `history-to-description`; in the original a variant of FusionSeqRecDataset that is switched off. */
export const template: Template = {
  name: "history-to-description",
  rows: "events",
  aligned: {
    instructions: [],
    input: [
      "The user has interacted with items ",
      { slot: "history.sids" },
      " in chronological order. Can you describe the next item that the user may expect?"
    ],
    answer: [{ slot: "item.description" }]
  },
  original: {
    training: {
      instructions: [["Can you recommend the next item for the user based on their interaction history?"]],
      input,
      answer: [{ slot: "item.description" }, "\n"],
      lists: "longest"
    }
  }
}
