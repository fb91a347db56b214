/**
 * The words that programs write where there is no value: those of pandas, and what databases and numpy write besides.
 */

/**
 * Cells that hold no value, compared after spaces around them are removed.
 *
 * Case variants are listed one by one: `Na`, `Nat` and `nat` are left out, because people and things are called so.
 */
export const words: ReadonlyArray<string> = [
  "",
  "#N/A",
  "#N/A N/A",
  "#NA",
  "-1.#IND",
  "-1.#QNAN",
  "-NaN",
  "-nan",
  "1.#IND",
  "1.#QNAN",
  "<NA>",
  "N/A",
  "n/a",
  "NA",
  "na",
  "NULL",
  "Null",
  "null",
  "NONE",
  "None",
  "none",
  "NAN",
  "NaN",
  "Nan",
  "nan",
  "NaT",
  "\\N"
]

const known: ReadonlySet<string> = new Set(words)

/** Whether a cell holds no value; spaces around the word do not count. */
export const isMissing = (text: string): boolean => known.has(text.trim())
