/**
 * The task of writing the title of the next item after the titles of the history.
 */
import { type Pieces, type Template, type Wording } from "../Template.ts"

/** Returns a text with its `{}` as slots of the category. */
const phrased = (text: string): Pieces =>
  text.split("{}").flatMap((part, i) => i === 0 ? [part] : [{ slot: "category" }, part])

/** Paraphrases of the original, one of which it draws for each example. */
const paraphrases = [
  "Given a list of {} the user recetenly enjoy, please write a new {} that the user may bought",
  "Considering the {} that has recently captured the user's interest, kindly create a compilation of other {} that the user might have played prior to this.",
  "Based on the user's current gaming preference, please draft a list of potential {} they may have experienced beforehand.",
  "Reflecting on the {} the user has taken pleasure in recently, we request that you formulate a list of {} that may have preceded the user's current enjoyment.",
  "In light of the recent gaming enjoyment expressed by the user, please assemble a list of {} that could potentially include past titles the user has engaged with.",
  "Taking into account the {} that has lately provided enjoyment to the user, please put together an inventory of {} the user might have explored previously.",
  "Given the user's newfound enjoyment of a particular {}, would you kindly generate a roster of other {} that might resonate with their past gaming experiences?",
  "In response to the user's recent fondness for a specific {}, we seek your assistance in listing possible {} the user may have delighted in earlier.",
  "With respect to the {} currently enjoyed by the user, please compile a suggestive list of {} they may have played in the past.",
  "Bearing in mind the {} that the user has recently been enthralled by, please construct a catalog of other {} that the user potentially partook in beforehand.",
  "In relation to the user's recent entertainment with a given {}, it would be appreciated if you could curate a list of {} that might form part of the user's previous gaming history."
].map(phrased)

const original: Wording = {
  instructions: paraphrases,
  closing: "\n \n",
  input: [
    "The user has palyed the following ",
    { slot: "category" },
    "s before: ",
    { slot: "history.titles.tabs" }
  ],
  answer: ["\"", { slot: "item.title" }, "\"\n"]
}

/** Task `titles-to-title`; in the original SFTData, D3Dataset and EvalD3Dataset, whose spelling is kept. */
export const template: Template = {
  name: "titles-to-title",
  rows: "events",
  aligned: {
    instructions: [],
    input: [
      "The user has interacted with the following items in chronological order: ",
      { slot: "history.titles" },
      ". Can you predict the title of the next item the user may expect?"
    ],
    answer: [{ slot: "item.title" }]
  },
  original: { training: original, rl: original, evaluation: { ...original, closing: "\n\n" } }
}
