import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Lsa from "../../src/embedding/Lsa.ts"
import { data, golden, json } from "../Golden.ts"
import { config, svdOf, tfIdf } from "./Lsa.ts"

describe("Lsa", () => {
  const golds = join(golden, "sid", "scientific-lsa128.json")
  const items = join(data, "amazon18-scientific", "Scientific.item.json")
  it.skipIf(!existsSync(golds) || !existsSync(items))(
    "agrees with scikit-learn and ARPACK on a real catalogue",
    async () => {
      const expected = json(golds)
      const texts = Object.values<Record<string, string>>(json(items)).map((item) =>
        [item["title"], item["description"], item["brand"], item["categories"]].join(" ")
      )
      const terms = await tfIdf(texts, config({ bigrams: false }))
      const vocabulary = expected.vocabulary_size ?? expected.vocabularySize ?? expected.terms
      if (vocabulary !== undefined) assert.strictEqual(terms.columns, vocabulary)
      const svd = await svdOf(terms, 128, 1, 12)
      const values = (expected.singular_values ?? expected.singularValues) as ReadonlyArray<number>
      for (const [i, value] of values.slice(0, 100).entries()) assert.closeTo(svd.values[i]!, value, 2e-3 * value)
      const matrix = Lsa.fromSvd(svd, terms.rows, false)
      const bytes = readFileSync(join(golden, "sid", "scientific-lsa128.npy"))
      const start = bytes.length - terms.rows * 128 * 4
      const want = new Float32Array(new Uint8Array(bytes.subarray(start)).buffer)
      // Close singular values may mix their vectors: inner products of rows do not care.
      for (let n = 0; n < 200; n++) {
        const [a, b] = [(n * 37) % terms.rows, (n * 101 + 5) % terms.rows]
        let [own, theirs] = [0, 0]
        for (let d = 0; d < 128; d++) {
          own += matrix.data[a * 128 + d]! * matrix.data[b * 128 + d]!
          theirs += want[a * 128 + d]! * want[b * 128 + d]!
        }
        assert.closeTo(own, theirs, 0.01)
      }
    }
  )
})
