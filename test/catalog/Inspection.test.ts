import { assert, describe, it } from "@effect/vitest"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import * as Inspection from "../../src/catalog/Inspection.ts"

const item = (key: string, title: string, brand: string) => ({ key, title, brand, description: "", categories: [] })

const dataset: Dataset = {
  name: "small",
  items: [item("a", "A pen", "X"), item("b", "b", ""), item("c", "A pen", "Y"), item("d", "Ink", "")],
  userKeys: ["u", "v", "w"],
  sequences: [Int32Array.of(0, 1, 0, 2), Int32Array.of(0, 1, 3), Int32Array.of(2)],
  times: [Float64Array.of(1, 1, 2, 2), Float64Array.of(5, 5, 5), Float64Array.of(9)],
  tieShare: 4 / 5,
  counts: [{ step: "events read", count: 8 }],
  malformed: [{ file: "e.csv", line: 7, problem: "no user", value: "empty" }]
}

describe("Inspection", () => {
  it("counts what is there", () => {
    const found = Inspection.inspect(dataset)
    assert.strictEqual(found.events, 8)
    assert.closeTo(found.sparsity, 1 - 8 / 12, 1e-12)
    assert.deepStrictEqual([found.lengths.least, found.lengths.median, found.lengths.most], [1, 3, 4])
    assert.deepStrictEqual(found.lengths.histogram, [{ from: 1, count: 1 }, { from: 2, count: 1 }, {
      from: 4,
      count: 1
    }])
    assert.deepStrictEqual(found.coverage, { title: 0.75, description: 0, brand: 0.5, categories: 0 })
    assert.strictEqual(found.distinctTitles, 3)
    assert.strictEqual(found.repeats, 1)
    // a-b, a-c, a-b and b-d stand at one time, all ascending.
    assert.strictEqual(found.tiesAscending, 1)
    assert.deepStrictEqual(found.cores.slice(0, 2), [
      { k: 2, users: 2, items: 2, events: 5 },
      { k: 3, users: 0, items: 0, events: 0 }
    ])
    const text = Inspection.describe(found)
    for (
      const part of ["e.csv, line 7: no user", "80.0 %", "leaks the targets", "--core 2: 2 users, 2 items, 5 events"]
    ) {
      assert.include(text, part)
    }
  })
})
