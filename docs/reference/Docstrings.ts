/**
 * Rules of docstrings that a machine can check.
 */
import { type PublicExport } from "./PublicExports.ts"

/** Nouns that end like verbs. */
const nouns = new Set(["Actors", "Checkpoints", "Codes", "Examples", "Labels", "Process", "Rows", "Values", "Weights"])

const isVerb = (word: string): boolean =>
  /^[A-Z][a-z]+(?:-[a-z]+)?s$/.test(word) && !word.endsWith("ss") && !nouns.has(word)

/** First words of sentences that are no nouns: verbs of functions, and questions. */
const notOfTypes =
  /^(?:Builds|Computes|Finds|Fits|Makes|Provides|Reads|Returns|Runs|Writes|How|That|What|When|Where|Which|Who)\b/

const questions = /^(?:How|What|When|Where|Which|Who)\b/

/** Returns what is wrong with the docstring of an export, undefined if nothing is. */
export const problemOf = ({ kind, text }: Pick<PublicExport, "kind" | "text">): string | undefined => {
  if (text === "") return "has no docstring"
  const [first] = text.replaceAll(/\s+/g, " ").split(/(?<=[.:]\)?) /) as [string]
  if (!/^["A-Z`\d]/.test(first)) return `begins in the middle of a sentence: ${first}`
  if (!/[.:]\)?$/.test(first)) return `has no sentence: ${first}`
  const [word] = first.split(/[\s,.:]/) as [string]
  if (kind === "function" && !isVerb(word)) return `is a function, but does not begin with a verb: ${first}`
  if (["class", "interface", "type"].includes(kind) && notOfTypes.test(first)) {
    return `is a type, but does not begin with a noun: ${first}`
  }
  if (kind === "constant" && questions.test(first)) return `is a value, but begins with a question: ${first}`
  return undefined
}
