/**
 * The task of writing the title of the next item after the SIDs of the history.
 */
import { type Template } from "../Template.ts"

const input = [
  "The user has sequentially interacted with items ",
  { slot: "history.sids" },
  ". Can you recommend the next item for him? Tell me the title of the item"
] as const

/** Task `history-to-title`; in the original FusionSeqRecDataset and RLSidhis2TitleDataset. */
export const template: Template = {
  name: "history-to-title",
  rows: "events",
  aligned: {
    instructions: [],
    input: [
      "The user has interacted with items ",
      { slot: "history.sids" },
      " in chronological order. Can you predict the title of the next item that the user may expect?"
    ],
    answer: [{ slot: "item.title" }]
  },
  original: {
    training: {
      instructions: [["Can you recommend the next item for the user based on their interaction history?"]],
      input,
      answer: [{ slot: "item.title" }, "\n"]
    },
    rl: {
      instructions: [],
      input: [
        "The user has interacted with items ",
        { slot: "history.sids" },
        " in chronological order. Can you predict the title of the next item that the user may expect? " +
        "Analyze user preferences and then predict the title of the next item."
      ],
      answer: [{ slot: "item.title" }, "\n"]
    }
  }
}
