import { assert, describe, it } from "@effect/vitest"
import { nameless } from "../../src/catalog/Assemble.ts"
import { CatalogError } from "../../src/catalog/CatalogError.ts"
import * as TitleSearch from "../../src/catalog/TitleSearch.ts"

const items = ["Gel pen, blue", "Gel pen, black", "Dotted notebook: A5", "Ink (black)"].map((title, i) => ({
  ...nameless(`k${i}`),
  title
}))

describe("TitleSearch", () => {
  it("finds items by key, whole title, beginning and part", () => {
    assert.strictEqual(TitleSearch.find(items, "k2"), 2)
    assert.strictEqual(TitleSearch.find(items, "gel pen BLACK"), 1)
    assert.strictEqual(TitleSearch.find(items, "dotted"), 2)
    assert.strictEqual(TitleSearch.find(items, "notebook a5"), 2)
    assert.deepStrictEqual(TitleSearch.history(items, " gel pen, blue ; ink "), Int32Array.of(0, 3))
  })

  it("refuses an unknown item with the nearest titles, and an empty history", () => {
    const unknown = TitleSearch.find(items, "black hole") as CatalogError
    assert.strictEqual(unknown.reason._tag, "UnknownItem")
    assert.include(unknown.message, "\"Gel pen, black\"")
    for (const empty of ["", " ; "]) {
      const error = TitleSearch.history(items, empty) as CatalogError
      assert.instanceOf(error, CatalogError)
      assert.strictEqual(error.reason._tag, "EmptyHistory")
    }
  })
})
