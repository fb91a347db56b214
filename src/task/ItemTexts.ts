/**
 * Texts of items as prompts show them.
 */
import { type Item } from "../catalog/Dataset.ts"
import * as PythonLiteral from "../catalog/reader/PythonLiteral.ts"
import * as Words from "../text/Words.ts"

/** Rule for descriptions that are lists printed by Python, as MiniOneRec's data have them. */
export type Lists = "joined" | "first" | "longest"

/** Texts of the items 0 .. N-1; a missing text is "". */
export interface ItemTexts {
  readonly title: (item: number) => string
  /** Returns the description; `lists` says what becomes of one that is a printed list. */
  readonly description: (item: number, lists: Lists) => string
  /** Phrase for the items of the shop, such as `office products`. */
  readonly category: string
}

/** Returns a description; of a printed list all parts, its first one, or the longest. */
export const describe = (description: string, lists: Lists): string => {
  if (!description.startsWith("[") || !description.endsWith("]")) return description
  // MiniOneRec looks at the quote too where it takes the first part.
  if (lists === "first" && !(description.startsWith("['") && description.endsWith("']"))) return description
  const parts = PythonLiteral.tryParseList(description)?.filter((part) => typeof part === "string")
  if (parts === undefined || parts.length === 0) return description
  switch (lists) {
    case "first":
      return parts[0]!
    case "longest":
      return parts.reduce((longest, part) => part.trim() !== "" && part.length > longest.length ? part : longest, "")
    default:
      return parts.map((part) => part.trim()).filter((part) => part !== "").join(" ")
  }
}

/**
 * Returns the texts of items; a title that is only the item's key is none.
 * @default category "items"
 */
export const ofItems = (
  items: ReadonlyArray<Item>,
  category = "items"
): ItemTexts => {
  const title = (item: number) => {
    const { key, title } = items[item]!
    return title === key && !Words.isProse(title) ? "" : title
  }
  return {
    title,
    description: (item, lists) => {
      const text = describe(items[item]!.description, lists)
      // The longest part takes the place of a title in the original, and gives way to it where it is empty.
      return lists === "longest" && text.trim() === "" ? title(item) : text
    },
    category
  }
}
