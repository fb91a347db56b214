import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Settings from "../../programs/Settings.ts"
import { nameless } from "../../src/catalog/Assemble.ts"
import { type AmbiguousItem, CatalogError } from "../../src/catalog/CatalogError.ts"
import * as Shop from "../../src/catalog/shop/Shop.ts"
import * as TitleSearch from "../../src/catalog/TitleSearch.ts"

const titled = (titles: ReadonlyArray<string>) => titles.map((title, i) => ({ ...nameless(`k${i}`), title }))

const items = titled(["Gel pen, blue", "Gel pen, black", "Dotted notebook: A5", "Ink (black)"])

/** The titles of what is found, the keys where several match, or the tag of the error. */
const found = (catalogue: ReturnType<typeof titled>, text: string): unknown => {
  const at = TitleSearch.history(catalogue, text)
  if (!(at instanceof CatalogError)) return Array.from(at, (item) => catalogue[item]!.title)
  return at.reason._tag === "AmbiguousItem" ? at.reason.first.map(({ key }) => key) : at.reason._tag
}

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

  it("takes titles as they are before what they have in common", () => {
    const symbols = titled([
      "C++ primer",
      "C# primer",
      "C++",
      "C#",
      "C",
      "🍕",
      "🍔",
      "का",
      "कि",
      "Face Off",
      "Face",
      "300",
      "!!!"
    ])
    for (const { title } of symbols) assert.deepStrictEqual(found(symbols, title), [title])
    assert.deepStrictEqual(found(symbols, "c#"), ["C#"])
    assert.deepStrictEqual(found(symbols, "c# pri"), ["C# primer"])
    assert.deepStrictEqual(found(symbols, "FACE"), ["Face"])
    for (const unknown of ["🍟", "???", "कु"]) assert.strictEqual(found(symbols, unknown), "UnknownItem")
    // A key wins over a title that reads the same.
    assert.deepStrictEqual(found([...symbols, { ...nameless("300"), title: "Sparta" }], "300"), ["Sparta"])
  })

  it("lists several items that match equally instead of choosing one", () => {
    const doors = titled([
      "The Doors",
      "The Door",
      "Window",
      "Window",
      ...Array.from({ length: 9 }, (_, i) => `Lamp ${i}`)
    ])
    assert.deepStrictEqual(found(doors, "door"), ["k0", "k1"])
    assert.deepStrictEqual(found(doors, "the door"), ["The Door"])
    assert.deepStrictEqual(found(doors, "Window"), ["k2", "k3"])
    const error = TitleSearch.find(doors, "lamp") as CatalogError
    assert.strictEqual((error.reason as AmbiguousItem).matches, 9)
    assert.include(error.message, "\"lamp\" matches 9 items: \"Lamp 0\" (key k4)")
    assert.include(error.message, "\"Lamp 4\" (key k8) and 4 more; give a whole title or a key")
    assert.include((TitleSearch.find(doors, "window") as CatalogError).message, "; give a key")
  })

  it("sees through normal forms, entities, typography and accents", () => {
    const written = titled([
      "Résumé guide",
      "Salt &amp; Pepper mill",
      "Cook’s knife – 20 cm",
      "Ｗｉｄｅ lamp",
      "iPhone手机壳"
    ])
    assert.deepStrictEqual(found(written, "re\u0301sume\u0301"), ["Résumé guide"])
    assert.deepStrictEqual(found(written, "Re\u0301sume\u0301 guide"), ["Résumé guide"])
    assert.deepStrictEqual(found(written, "resume"), ["Résumé guide"])
    assert.deepStrictEqual(found(written, "Salt & Pepper mill"), ["Salt &amp; Pepper mill"])
    assert.deepStrictEqual(found(written, "Salt &amp; Pepper mill"), ["Salt &amp; Pepper mill"])
    assert.deepStrictEqual(found(written, "cook's knife - 20 cm"), ["Cook’s knife – 20 cm"])
    assert.deepStrictEqual(found(written, "wide lamp"), ["Ｗｉｄｅ lamp"])
    assert.deepStrictEqual(found(written, "手机"), ["iPhone手机壳"])
    assert.deepStrictEqual(found(written, "iphone手"), ["iPhone手机壳"])
  })

  it("parts a history at semicolons that belong to no title, key, quote or entity", () => {
    const catalogue = [
      ...titled(["Red, White & Blue; a history", "Blue", "a history of ink", "Mug", "Pen \\ ink; a; set"]),
      { ...nameless("a;b"), title: "Odd key" }
    ]
    const red = "Red, White & Blue; a history"
    assert.deepStrictEqual(found(catalogue, red), [red])
    assert.deepStrictEqual(found(catalogue, "red white & blue; A HISTORY"), [red])
    assert.deepStrictEqual(found(catalogue, `Mug; ${red};Blue`), ["Mug", red, "Blue"])
    assert.deepStrictEqual(found(catalogue, "Blue; a history of ink; mug"), ["Blue", "a history of ink", "Mug"])
    assert.deepStrictEqual(found(catalogue, `mug; "${red}"; blue`), ["Mug", red, "Blue"])
    assert.deepStrictEqual(found(catalogue, "mug; red, white & blue\\; a; blue"), ["Mug", red, "Blue"])
    assert.deepStrictEqual(found(catalogue, "Pen \\ ink; a; set; mug"), ["Pen \\ ink; a; set", "Mug"])
    for (const key of ["a;b", "\"a;b\"", "a\\;b"]) {
      assert.deepStrictEqual(found(catalogue, `mug;${key};blue`), ["Mug", "Odd key", "Blue"])
    }
    assert.deepStrictEqual(found(titled(["Salt &amp; Pepper", "Mug"]), "salt &amp; pepper; mug"), [
      "Salt &amp; Pepper",
      "Mug"
    ])
    assert.deepStrictEqual(found(titled(["R&D", "12\" pan", "Mug"]), "R&D; 12\" pan; mug"), ["R&D", "12\" pan", "Mug"])
    assert.deepStrictEqual(found(titled(["\"Big\" cup", "\"Small"]), "\"Big\" cup;\"Small"), ["\"Big\" cup", "\"Small"])
    assert.deepStrictEqual(found(catalogue, "mug; zzz"), "UnknownItem")
  })
})

it.effect("the README's history finds its items in the generated shop, the quick one too", () =>
  Effect.gen(function*() {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")
    const examples = Array.from(readme.matchAll(/--history "([^"]+)"/g), ([, text]) => text!)
    assert.isNotEmpty(examples)
    for (const partial of [{}, Settings.quick]) {
      const { seed, shop } = yield* Settings.decode(partial, "test")
      const { items } = Shop.generate(shop, seed)
      for (const text of examples) {
        const parts = text.split("; ")
        const at = TitleSearch.history(items, text)
        assert.instanceOf(at, Int32Array, String(at))
        for (const [i, part] of parts.entries()) {
          const { key, title } = items[(at as Int32Array)[i]!]!
          assert.isTrue(key === part || title.startsWith(part), `${part}: ${title}`)
        }
      }
    }
  }))
