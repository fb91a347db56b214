import { assert, describe, it } from "@effect/vitest"
import * as MissingWords from "../../src/catalog/reader/MissingWords.ts"

describe("MissingWords", () => {
  it("are the words of pandas, databases and numpy, with or without spaces around them", () => {
    const pandas = " #N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null"
    for (const word of [...pandas.split("|"), "", "   ", "\t", "\\N", "NaT", "none", "NONE", "NAN", " NULL "]) {
      assert.isTrue(MissingWords.isMissing(word), word)
    }
  })

  it("leave names, numbers and signs alone", () => {
    for (const word of ["Na", "Nat", "nat", "0", "-", "?", "N", "\\n", "nil", "Nana", "NULLs", "no", "unknown"]) {
      assert.isFalse(MissingWords.isMissing(word), word)
    }
    assert.strictEqual(new Set(MissingWords.words).size, MissingWords.words.length)
  })
})
