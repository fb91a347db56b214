/**
 * Baselines against what plain counting finds.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { nameless } from "../../src/catalog/Assemble.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as ItemKnn from "../../src/evaluation/baseline/ItemKnn.ts"
import * as Popularity from "../../src/evaluation/baseline/Popularity.ts"
import { data, golden, json, list } from "../Golden.ts"

const folder = join(golden, "sid")
const kind = list(folder).find((name) => name.endsWith("-baselines"))
const cases = kind === undefined ? [] : list(folder, kind).filter((file) => file.endsWith(".json"))

/** Sequences in the order of the data set's own file. */
const sequencesOf = (name: string): ReadonlyArray<Int32Array> | undefined => {
  const place = join(data, name)
  if (!existsSync(place)) return undefined
  const inter = list(place).find((file) => file.endsWith(".inter.json"))
  if (inter !== undefined) {
    return Object.values<ReadonlyArray<number>>(json(place, inter)).map((items) => Int32Array.from(items))
  }
  const file = list(place, "s3rec").find((candidate) => candidate.endsWith(".txt"))
  return file === undefined
    ? undefined
    : readFileSync(join(place, "s3rec", file), "utf8").trim().split("\n").map((line) =>
      Int32Array.from(line.split(" ").slice(1), Number)
    )
}

/** Baselines on the data sets of some cases. */
export const counted = (isTried: (file: string) => boolean): void => {
  describe("baselines against plain counting", () => {
    const tried = cases.filter(isTried)
    if (tried.length === 0) it.skipIf(true)("no baseline case is here", () => {})
    for (const file of tried) {
      const expected = json(folder, kind!, file)
      const sequences = sequencesOf(expected.dataset)
      it.skipIf(sequences === undefined)(`hit the same users: ${file}`, async () => {
        const items = sequences!.reduce((most, list) => list.reduce((m, item) => Math.max(m, item + 1), most), 0)
        const { test, train } = Split.leaveOneOut({
          name: file,
          items: Array.from({ length: items }, (_, i) => nameless(String(i))),
          userKeys: sequences!.map((_, u) => String(u)),
          sequences: sequences!,
          counts: []
        })
        for (const fit of [Popularity.fit, ItemKnn.fit]) {
          const baseline = fit(train, items)
          const wanted = expected.results[baseline.name.replace("-", "_")]
          const modes = ["history_excluded", "history_kept"] as const
          const hits = modes.map((mode) => new Map(Object.keys(wanted[mode].hits).map((k) => [Number(k), 0])))
          for (const { history, target, user } of test) {
            const { data: scores } = await Effect.runPromise(baseline.scores([{ user, items: history }]))
            const own = scores[target]!
            if (baseline.name === "item-knn" && own === 0) continue
            let before = 0
            for (let item = 0; item < items; item++) {
              if (scores[item]! > own || (scores[item] === own && item < target)) before++
            }
            const seen = [...new Set(history)].filter((item) =>
              item !== target && (scores[item]! > own || (scores[item] === own && item < target))
            ).length
            for (const [m, place] of [before - seen, before].entries()) {
              for (const [k, count] of hits[m]!) {
                if (place < k) {
                  hits[m]!.set(k, count + 1)
                }
              }
            }
          }
          for (const [m, mode] of modes.entries()) {
            assert.deepStrictEqual(Object.fromEntries(hits[m]!), wanted[mode].hits, `${baseline.name} ${mode}`)
          }
        }
      }, 240_000)
    }
  })
}
