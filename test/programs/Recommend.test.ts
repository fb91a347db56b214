import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Random from "../../src/statistics/Random.ts"
import { good, sidereal } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-recommend-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const items = 90
const words = ["red", "blue", "green", "wool", "cotton", "linen", "shirt", "cap", "scarf"]
/** What the glutton has not had. */
const left = [4, 17, 33, 50, 71, 88]

const events = () => {
  const next = Random.uniform(3)
  const users: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
    ["glutton", Array.from({ length: items }, (_, item) => item).filter((item) => !left.includes(item))],
    ["everything", Array.from({ length: items }, (_, item) => item)],
    ...Array.from(
      { length: 40 },
      (_, u) => [`u${u}`, Array.from({ length: 6 }, () => Math.floor(next() * items))] as const
    )
  ]
  return users.flatMap(([user, list]) => list.map((item, t) => `${user},i${item},${t}\n`)).join("")
}

const tiny = {
  lsa: { width: 16 },
  tokenizer: { shape: { codes: 8 } },
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 256 },
  sft: { epochs: 2, validationUsers: 20 },
  evaluation: { beams: 20 }
}

describe("sidereal recommend", () => {
  const run = join(folder, "run")
  const recommend = (...args: ReadonlyArray<string>) => good("recommend", "--run", run, ...args)

  beforeAll(async () => {
    const data = join(folder, "shop")
    mkdirSync(data)
    writeFileSync(join(data, "events.csv"), `user_id,item_id,timestamp\n${events()}`)
    const titles = Array.from(
      { length: items },
      (_, i) => `i${i},${words[i % 3]} ${words[3 + Math.floor(i / 3) % 3]} ${words[6 + Math.floor(i / 9) % 3]} ${i}\n`
    )
    writeFileSync(join(data, "items.csv"), `item_id,title\n${titles.join("")}`)
    writeFileSync(join(folder, "settings.json"), JSON.stringify(tiny))
    await good("sft", "--run", run, "--data", data, "--config", join(folder, "settings.json"))
  })

  it("finds all that is left, and the list for a count begins that for a greater one", async () => {
    const lists: Array<ReadonlyArray<{ item: string; probability: number }>> = []
    for (const count of [1, 6, 21, 5000]) {
      const { out } = await recommend("--user", "glutton", "--json", "--count", String(count))
      lists.push(JSON.parse(out).recommendations)
    }
    const all = lists.at(-1)!
    assert.deepStrictEqual(all.map(({ item }) => item).toSorted(), left.map((item) => `i${item}`).toSorted())
    for (const [i, { probability }] of all.entries()) {
      assert.isAtMost(probability, all[Math.max(0, i - 1)]!.probability)
    }
    for (const list of lists) assert.deepStrictEqual(list, all.slice(0, list.length))
    assert.deepStrictEqual(lists.map((list) => list.length), [1, 6, 6, 6])
  })

  it("says so when nothing is left", async () => {
    assert.include((await recommend("--user", "everything")).out, "nothing is left to recommend")
    assert.deepStrictEqual(JSON.parse((await recommend("--user", "everything", "--json")).out).recommendations, [])
  })

  it("refuses a count below 1 and two histories before it begins", async () => {
    for (
      const [args, words] of [
        [["--user", "u1", "--count", "-1"], ["count", "at least 1", "-1"]],
        [["--user", "u1", "--count", "0"], ["count", "at least 1", "0"]],
        [["--user", "u1", "--history", "red"], ["--user", "--history"]]
      ] as const
    ) {
      const { failure, notes, out, tag } = await sidereal("recommend", "--run", run, ...args)
      assert.notStrictEqual(tag, "")
      assert.strictEqual(out, "")
      for (const word of words) assert.include(`${failure}${notes}`, word)
    }
  })
}, 240_000)
