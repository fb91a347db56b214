/**
 * The task of recommendation for a user whose preferences are known in words.
 */
import { type Template } from "../Template.ts"

const input = [
  "The user has interacted with items ",
  { slot: "history.sids" },
  " in chronological order. Can you analyze the user's preferences?\n### Reasoning:\n",
  { slot: "preference" },
  "\nCan you predict the next possible item that the user may expect?"
] as const

/** Task `preference-to-sid`, from supplied texts; in the original UserPreference2sidSFTDataset. */
export const template: Template = {
  name: "preference-to-sid",
  rows: "preferences",
  aligned: { instructions: [], input, answer: [{ slot: "item.sid" }] },
  original: {
    training: {
      instructions: [[
        "Based on the user interaction history and preference analysis, predict the next item's semantic ID."
      ]],
      input,
      answer: [{ slot: "item.sid" }, "\n"]
    }
  }
}
