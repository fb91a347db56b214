/**
 * The task of writing the title of an item with a given SID.
 */
import { type Template } from "../Template.ts"

const input = ["What is the title of item \"", { slot: "item.sid" }, "\"?"] as const

/** Task `sid-to-title`; in the original SidItemFeatDataset and RLSid2TitleDataset. */
export const template: Template = {
  name: "sid-to-title",
  rows: "items",
  distinct: "item.sid",
  aligned: { instructions: [], input, answer: [{ slot: "item.title" }] },
  original: {
    training: {
      instructions: [["Answer the question about item identification."]],
      input,
      answer: [{ slot: "item.title" }, "\n"]
    },
    rl: { instructions: [], input, answer: [{ slot: "item.title" }, "\n"] }
  }
}
