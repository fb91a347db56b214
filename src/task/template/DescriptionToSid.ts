/**
 * The task of writing the SID of an item with a given description.
 */
import { type Template } from "../Template.ts"

const input = [
  "An item can be described as follows: \"",
  { slot: "item.description" },
  "\". Which item is it describing?"
] as const

/** Task `description-to-sid`; in the original RLTitle2SidDataset. */
export const template: Template = {
  name: "description-to-sid",
  rows: "items",
  distinct: "item.description",
  aligned: { instructions: [], input, answer: [{ slot: "item.sid" }] },
  original: { rl: { instructions: [], input, answer: [{ slot: "item.sid" }, "\n"], lists: "first" } }
}
