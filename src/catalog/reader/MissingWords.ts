/**
 * Words for missing values: those of pandas, of databases and of NumPy.
 */

/**
 * Trimmed cells that mean a missing value.
 *
 * Case variants are listed one by one: `Na`, `Nat` and `nat` are left out, because they are names.
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

/** Returns whether a cell has no value; spaces around the word are ignored. */
export const isMissing = (text: string): boolean => known.has(text.trim())
