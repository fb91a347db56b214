/**
 * The task of writing the SID of an item with a given title.
 */
import { type Template } from "../Template.ts"

const input = ["Which item has the title: ", { slot: "item.title" }, "?"] as const

/** Task `title-to-sid`; in the original SidItemFeatDataset and RLTitle2SidDataset. */
export const template: Template = {
  name: "title-to-sid",
  rows: "items",
  distinct: "item.title",
  aligned: { instructions: [], input, answer: [{ slot: "item.sid" }] },
  original: {
    training: {
      instructions: [["Answer the question about item identification."]],
      input,
      answer: [{ slot: "item.sid" }, "\n"]
    },
    rl: { instructions: [], input, answer: [{ slot: "item.sid" }, "\n"] }
  }
}
