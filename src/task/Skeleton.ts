/**
 * The frame of every prompt: MiniOneRec's preamble with the instruction, then the input and the header of the response.
 */
import { type Segment } from "../policy/Prompt.ts"

/** Returns the preamble with an instruction; `closing` follows the instruction. @default a blank line */
export const instruction = (segments: ReadonlyArray<Segment>, closing = "\n\n"): ReadonlyArray<Segment> => [
  "Below is an instruction that describes a task, paired with an input that provides further context. Write a response " +
  "that appropriately completes the request. \n\n### Instruction:\n",
  ...segments,
  closing
]

/** Returns the input with the header of the response, after which the answer begins. */
export const input = (segments: ReadonlyArray<Segment>): ReadonlyArray<Segment> => [
  "### User Input: \n",
  ...segments,
  "\n\n### Response:\n"
]
