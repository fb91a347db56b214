import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { nameless } from "../../src/catalog/Assemble.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as ItemKnn from "../../src/evaluation/ItemKnn.ts"
import * as Popularity from "../../src/evaluation/Popularity.ts"
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

describe("baselines against plain counting", () => {
  if (cases.length === 0) it.skipIf(true)("no baseline case is here", () => {})
  for (const file of cases) {
    const expected = json(folder, kind!, file)
    const sequences = sequencesOf(expected.dataset)
    it.skipIf(sequences === undefined)(`hit the same users: ${file}`, () => {
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
        for (const [mode, excluded] of [["history_excluded", true], ["history_kept", false]] as const) {
          const hits = new Map<number, number>(Object.keys(wanted[mode].hits).map((k) => [Number(k), 0]))
          for (const { history, target, user } of test) {
            const scores = baseline.scores(history, user)
            if (baseline.name === "item-knn" && scores[target] === 0) continue
            const seen = excluded ? new Set(history) : undefined
            let before = 0
            for (let item = 0; item < items; item++) {
              if (item === target || seen?.has(item) === true) continue
              if (scores[item]! > scores[target]! || (scores[item] === scores[target] && item < target)) before++
            }
            for (const [k, count] of hits) if (before < k) hits.set(k, count + 1)
          }
          assert.deepStrictEqual(Object.fromEntries(hits), wanted[mode].hits, `${baseline.name} ${mode}`)
          const { ranks } = Evaluator.byScores(test, baseline.scores, excluded)
          const row = Evaluator.row(baseline.name, { ranks, top: [] }, items, 0, 1)
          assert.closeTo(row.metrics["HR@10"]!, wanted[mode]["recall@10"], 2e-3)
        }
      }
    })
  }
})
