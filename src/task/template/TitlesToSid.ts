/**
 * The task of writing the SID of the next item after the titles of the history.
 */
import { type Template } from "../Template.ts"

/** Task `titles-to-sid`; in the original TitleHistory2SidSFTDataset and RLSeqTitle2SidDataset. */
export const template: Template = {
  name: "titles-to-sid",
  rows: "events",
  aligned: {
    instructions: [],
    input: [
      "The user has interacted with the following items in chronological order: ",
      { slot: "history.titles" },
      ". Can you predict the next item the user may expect?"
    ],
    answer: [{ slot: "item.sid" }]
  },
  original: {
    training: {
      instructions: [[
        "Based on the user's historical interaction with item titles, predict the semantic ID of the next item they may expect."
      ]],
      input: [
        "The user has interacted with the following ",
        { slot: "category" },
        " items in chronological order: ",
        { slot: "history.titles" },
        ". Can you predict the next item the user may expect?"
      ],
      answer: [{ slot: "item.sid" }, "\n"]
    },
    rl: {
      instructions: [],
      input: [
        "Given the title sequence of user historical interactive items: ",
        { slot: "history.titles" },
        ", can you recommend a suitable next item for the user?"
      ],
      answer: [{ slot: "item.sid" }, "\n"]
    }
  }
}
