/**
 * The task of recommendation: SIDs of the history to the SID of the next item.
 */
import { type Template } from "../Template.ts"

const question = "Can you predict the next possible item that the user may expect?"
const input = [
  "The user has interacted with items ",
  { slot: "history.sids" },
  ` in chronological order. ${question}`
] as const

/** Task `history-to-sid`; in the original SidSFTDataset, SidDataset and EvalSidDataset. */
export const template: Template = {
  name: "history-to-sid",
  rows: "events",
  aligned: { instructions: [], input, answer: [{ slot: "item.sid" }] },
  original: {
    training: { instructions: [[question]], input, answer: [{ slot: "item.sid" }, "\n"] },
    rl: { instructions: [], input, answer: [{ slot: "item.sid" }, "\n"] },
    evaluation: {
      instructions: [[question]],
      input: [
        "Can you predict the next possible item the user may expect, given the following chronological interaction history: ",
        { slot: "history.sids" }
      ],
      answer: [{ slot: "item.sid" }, "\n"]
    }
  }
}
