import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import type { FilterConfig } from "../../src/catalog/Assemble.ts"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import * as DatasetFile from "../../src/catalog/DatasetFile.ts"
import * as Import from "../../src/catalog/Import.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as Random from "../../src/statistics/Random.ts"
import { data, list } from "../Golden.ts"
import { type Files, filter, importing, services } from "./Importing.ts"

/** Users with the keys of their items in order. */
const named = (dataset: Dataset) =>
  Object.fromEntries(dataset.userKeys.map((user, u) => [
    user,
    [...dataset.sequences[u]!].map((item) => dataset.items[item]!.key)
  ]))
const itemOf = (dataset: Dataset, key: string) => dataset.items.find((item) => item.key === key)!
const counted = (dataset: Dataset, step: string) => dataset.counts.find((count) => count.step.includes(step))?.count

const lines = (rows: ReadonlyArray<unknown>) => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`

const expected = { u1: ["B", "C", "A"], u2: ["B", "A", "C"] }
const events = [["u1", "B", 10], ["u1", "C", 20], ["u1", "A", 30], ["u2", "B", 5], ["u2", "C", 40], [
  "u2",
  "A",
  6
]] as const

const forms: Readonly<Record<string, Files>> = {
  "Amazon 2014": {
    "reviews.json": lines(
      events.map(([user, item, time]) => ({
        reviewerID: user,
        asin: item,
        overall: 5,
        unixReviewTime: time,
        helpful: [0, 1]
      }))
    ),
    "meta.json": events.slice(0, 3).map(([, item]) =>
      `{'asin': '${item}', 'title': "The ${item}'s title", 'price': 1.5, 'related': {'also_bought': ['x']}, 'categories': [['Tools', 'Saws'], ['Tools', 'Hand']]}\n`
    ).join("")
  },
  "Amazon 2018": {
    "reviews.json": lines(
      events.map(([user, item, time], i) => ({
        overall: 5,
        reviewerID: user,
        asin: item,
        unixReviewTime: time,
        ...(i % 2 === 0 ? { style: { "Size:": " L" }, image: ["x"] } : { vote: "3" })
      }))
    ),
    "meta.json": lines(
      events.slice(0, 3).map(([, item]) => ({
        category: ["Tools", "Saws", "Hand"],
        description: ["One.", "Two."],
        title: `The ${item}'s title`,
        brand: "Acme",
        asin: item
      }))
    )
  },
  "Amazon 2023": {
    "reviews.jsonl": lines(
      events.map(([user, item, time]) => ({
        rating: 4,
        title: "Good",
        text: "Yes",
        asin: "variant",
        parent_asin: item,
        user_id: user,
        timestamp: time * 1000
      }))
    ),
    "meta.jsonl": lines(
      events.slice(0, 3).map(([, item]) => ({
        main_category: "Tools",
        title: `The ${item}'s title`,
        features: [],
        description: ["One.", "Two."],
        store: "Acme",
        categories: ["Tools", "Saws", "Hand"],
        parent_asin: item
      }))
    )
  },
  "RecBole": {
    "shop.inter": `user_id:token\titem_id:token\trating:float\ttimestamp:float\n${
      events.map(([user, item, time]) => `${user}\t${item}\t4.0\t${time}.0\n`).join("")
    }`,
    "shop.item": `item_id:token\ttitle:token_seq\tcategories:token_seq\n${
      events.slice(0, 3).map(([, item]) => `${item}\tThe ${item}'s title\tTools, Saws, Hand\n`).join("")
    }`
  }
}

describe("Import.load of published forms", () => {
  for (const [name, files] of Object.entries(forms)) {
    for (const packed of [false, true]) {
      it.effect(`${name}${packed ? ", gzipped" : ""}`, () =>
        Effect.gen(function*() {
          const dataset = yield* importing(
            packed
              ? Object.fromEntries(Object.entries(files).map(([file, content]) => [`${file}.gz`, gzipSync(content)]))
              : files
          )
          assert.deepStrictEqual(named(dataset), expected)
          const item = itemOf(dataset, "B")
          assert.strictEqual(item.title, "The B's title")
          assert.includeMembers([...item.categories], ["Tools", "Saws", "Hand"])
          if (name.endsWith("2018") || name.endsWith("2023")) {
            assert.strictEqual(item.description, "One. Two.")
            assert.strictEqual(item.brand, "Acme")
          }
          assert.deepStrictEqual(dataset.malformed, [])
          const bytes = DatasetFile.encode(dataset)
          assert.deepStrictEqual(DatasetFile.decode(bytes), dataset)
          const title = Buffer.from(bytes).indexOf("\"title\"")
          assert.throws(() => DatasetFile.decode(Uint8Array.from(bytes).fill(0x78, title + 1, title + 2)), /title/)
          assert.throws(() => DatasetFile.decode(bytes.subarray(0, -4)), /safetensors/)
        }).pipe(Effect.provide(services)))
    }
  }

  it.effect("tables without a header line: Amazon's ratings of 2014 and 2018, and what sidereal.json names", () =>
    Effect.gen(function*() {
      const long = events.map(([user, item, time]) => [`A0000000${user.toUpperCase()}`, `B00000000${item}`, time + 1e9])
      const wanted = Object.fromEntries(
        Object.entries(expected).map(([user, items]) => [
          `A0000000${user.toUpperCase()}`,
          items.map((item) => `B00000000${item}`)
        ])
      )
      const cases: ReadonlyArray<readonly [Files, Readonly<Record<string, ReadonlyArray<string>>>]> = [
        [{ "ratings_Tools.csv": long.map(([user, item, time]) => `${user},${item},5.0,${time}\n`).join("") }, wanted],
        [{ "Tools.csv": long.map(([user, item, time]) => `${item},${user},5.0,${time}\n`).join("") }, wanted],
        [
          {
            "log.tsv": events.map(([user, item, time]) => `${time}\t${item}\tx\t${user}\n`).join(""),
            "sidereal.json": JSON.stringify({ header: ["time", "item", "what", "user"], separator: "\t" })
          },
          expected
        ]
      ]
      for (const [files, of] of cases) {
        const dataset = yield* importing(files)
        assert.deepStrictEqual(named(dataset), of)
        assert.deepStrictEqual(dataset.malformed, [])
        assert.strictEqual(counted(dataset, "events read"), events.length)
      }
      const error = yield* Effect.flip(importing({ "log.csv": "1,2,3\n4,5,6\n" }))
      assert.include(error.message, "a file without a header line needs {\"header\": [names in order]}")
    }).pipe(Effect.provide(services)))

  it.effect("MovieLens in its three forms", () =>
    Effect.gen(function*() {
      const table = (separator: string) =>
        events.map(([user, item, time]) => [user, item, 5, time].join(separator)).join("\n") + "\n"
      const csv = yield* importing({
        "ratings.csv": `userId,movieId,rating,timestamp\n${table(",")}`,
        "movies.csv": "movieId,title,genres\nB,\"Movie, The (1990)\",Drama|Comedy\n",
        "links.csv": "movieId,imdbId\nB,1\n",
        "tags.csv": "userId,movieId,tag,timestamp\nu1,B,fun,1\n"
      })
      const small = yield* importing({
        "u.data": table("\t"),
        "u.item": Buffer.from(`B|Caf\u00e9, The (1990)|01-Jan-1990||http://x|0|1${"|0".repeat(17)}\n`, "latin1")
      })
      const large = yield* importing({
        "ratings.dat": table("::"),
        "movies.dat": Buffer.from("B::Caf\u00e9, The (1990)::Drama|Comedy\n", "latin1")
      })
      for (const dataset of [csv, small, large]) assert.deepStrictEqual(named(dataset), expected)
      assert.strictEqual(itemOf(csv, "B").title, "Movie, The (1990)")
      assert.deepStrictEqual(itemOf(csv, "B").categories, ["Drama", "Comedy"])
      assert.strictEqual(itemOf(small, "B").title, "Caf\u00e9, The (1990)")
      assert.deepStrictEqual(itemOf(small, "B").categories, ["Action"])
      assert.strictEqual(itemOf(large, "B").title, "Caf\u00e9, The (1990)")
    }).pipe(Effect.provide(services)))

  it.effect("sequences, with titles beside them or without", () =>
    Effect.gen(function*() {
      const text = "u1 2 3 1\nu2 2 1 3\n"
      const wanted = { u1: ["2", "3", "1"], u2: ["2", "1", "3"] }
      assert.deepStrictEqual(named(yield* importing({ "Shop.txt": text }, "Shop.txt")), wanted)
      const both = yield* importing({ "Shop.txt": text, "items.csv": "item_id,title\n1,One\n2,Two\n" })
      assert.deepStrictEqual(named(both), wanted)
      assert.strictEqual(itemOf(both, "2").title, "Two")
      assert.strictEqual(itemOf(both, "3").title, "3")
    }).pipe(Effect.provide(services)))

  it.effect("MovieLens, sequences and LETTER folders are read gzipped as they are plain", () =>
    Effect.gen(function*() {
      const packed = (files: Files): Files =>
        Object.fromEntries(Object.entries(files).map(([file, content]) => [`${file}.gz`, gzipSync(content)]))
      const table = (separator: string) =>
        events.map(([user, item, time]) => [user, item, 5, time].join(separator)).join("\n") + "\n"
      const item = (title: string) => ({ title, description: "d", brand: "b", categories: "x,y" })
      const folders: ReadonlyArray<Files> = [
        {
          "ratings.csv": `userId,movieId,rating,timestamp\n${table(",")}`,
          "movies.csv": "movieId,title,genres\nB,Bee,Drama|Comedy\n"
        },
        {
          "u.data": table("\t"),
          "u.item": Buffer.from(`B|Caf\u00e9|01-Jan-1990||http://x|0${"|1".repeat(18)}\n`, "latin1")
        },
        { "ratings.dat": table("::"), "movies.dat": Buffer.from("B::Caf\u00e9::Drama\n", "latin1") },
        { "ratings.dat": table("::"), "movies.dat": "B::Caf\u00e9::Drama\n" },
        { "Shop.txt": "u1 2 3 1\nu2 2 1 3\n", "items.csv": "item_id,title\n1,One\n2,Two\n" },
        {
          "S.inter.json": JSON.stringify({ 5: [1, 0, 2], 9: [2, 1, 0] }),
          "S.item.json": JSON.stringify({ 0: item("zero"), 1: item("one"), 2: item("two") })
        }
      ]
      for (const files of folders) {
        const plain = yield* importing(files)
        assert.deepStrictEqual(
          { ...(yield* importing(packed(files))), name: "", sources: [], notes: [] },
          { ...plain, name: "", sources: [], notes: [] },
          Object.keys(files).join()
        )
        assert.isTrue(plain.items.some(({ key, title }) => key !== title), Object.keys(files).join())
        assert.deepStrictEqual(plain.malformed, [])
      }
    }).pipe(Effect.provide(services)))

  it.effect("RecBole's cells are never quoted, and its lists may have spaces between their words", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "toys.inter": `user_id:token\titem_id:token\ttimestamp:float\n${
          events.map((row) => row.join("\t")).join("\n")
        }`,
        "toys.item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\nB\t\"Say hi\tToys Cars\n",
        "toys.user": "user_id:token\tage:token\nu1\t1\n"
      })
      assert.deepStrictEqual(named(dataset), expected)
      assert.strictEqual(itemOf(dataset, "B").title, "\"Say hi")
      assert.deepStrictEqual(itemOf(dataset, "B").categories, ["Toys", "Cars"])
    }).pipe(Effect.provide(services)))

  it.effect("metadata of 2023 without a description have their features; keys that come late are found", () =>
    Effect.gen(function*() {
      const reviews = events.map(([user_id, parent_asin, timestamp]) => ({ user_id, parent_asin, timestamp }))
      const meta = [
        ...Array.from({ length: 300 }, (_, i) => ({ parent_asin: `Z${i}`, related: "x".repeat(1000) })),
        {
          parent_asin: "B",
          title: "Bee",
          features: ["Light.", "Small."],
          description: [],
          categories: [],
          main_category: "Toys"
        }
      ]
      const dataset = yield* importing({ "reviews.jsonl": lines(reviews), "meta.jsonl": lines(meta) })
      const item = itemOf(dataset, "B")
      assert.deepStrictEqual([item.title, item.description, item.categories], ["Bee", "Light. Small.", ["Toys"]])
    }).pipe(Effect.provide(services)))

  it.effect("MiniOneRec's folders keep their split, and tell where their SIDs are", () =>
    Effect.gen(function*() {
      const item = (title: string) => ({ title, description: "", brand: "", categories: "" })
      const header = "user_id,history_item_title,item_title,history_item_id,item_id,history_item_sid,item_sid\n"
      const row = (user: string, history: ReadonlyArray<number>, target: number) =>
        `${user},"['t', ""it's""]",t,"[${history.join(", ")}]",${target},"['<a_1>']",<a_1>\n`
      const dataset = yield* importing({
        "Toy.item.json": JSON.stringify({ 0: item("zero"), 1: item("one"), 2: item("two"), 3: item("three") }),
        "Toy.index.json": JSON.stringify({ 0: ["<a_1>"], 1: ["<a_2>"], 2: ["<a_3>"], 3: ["<a_4>"] }),
        "train/Toy.csv": header + row("A1", [0], 1) + row("A2", [3], 2) + row("A1", [0, 1], 2),
        "valid/Toy.csv": header + row("A1", [0, 1, 2], 3),
        "test/Toy.csv": header + row("A2", [3, 2], 0) + row("A1", [0, 1, 2, 3], 0)
      })
      const split = yield* Split.split(dataset, Schema.decodeSync(Split.SplitConfig)({}))
      assert.strictEqual(split.name, "given")
      assert.deepStrictEqual(split.train.map((items) => [...items]), [[0, 1, 2], [3, 2]])
      assert.deepStrictEqual(split.validation.map(({ history, target }) => [[...history], target]), [[[0, 1, 2], 3]])
      assert.deepStrictEqual(split.test.map(({ history, target }) => [[...history], target]), [[[3, 2], 0], [[
        0,
        1,
        2,
        3
      ], 0]])
      assert.deepStrictEqual(named(dataset), { A1: ["0", "1", "2", "3", "0"], A2: ["3", "2", "0"] })
      assert.strictEqual(counted(dataset, "repeat an item"), 1)
      assert.deepStrictEqual(DatasetFile.decode(DatasetFile.encode(dataset)), dataset)

      const spoilt = {
        "Toy.item.json": JSON.stringify({ 0: item("zero"), 1: item("one"), 2: item("two"), 3: item("three") }),
        "train/Toy.csv": `${header}${row("A1", [0], 1)}A1,x,t,__import__('os'),1,x,x\n${row("A1", [0, 1], 2)}`,
        "valid/Toy.csv": header + row("A1", [0, 1, 2], 3) + row("A1", [0, 9], 3) + row("A2", [3, 2, 1], 0),
        "test/Toy.csv": `${header}A2,only,four,cells\n${row("A2", [3, 2], 0)}${row("A1", [3], 0)}`
      }
      const kept = yield* importing(spoilt)
      assert.strictEqual(counted(kept, "train rows left out: history_item_id is not a Python list"), 1)
      assert.strictEqual(counted(kept, "valid rows left out: an item that the item table lacks"), 1)
      assert.strictEqual(counted(kept, "too few columns"), 1)
      assert.deepStrictEqual(kept.malformed!.map(({ line }) => line), [3, 3, 2])
      assert.deepStrictEqual([kept.split!.train.length, kept.split!.validation.length, kept.split!.test.length], [
        1,
        2,
        2
      ])
      const error = yield* Effect.flip(importing(spoilt, undefined, { strict: true }))
      assert.include(error.message, "history_item_id is not a Python list")
      const filtered = yield* importing(spoilt, undefined, { filter: filter({ userCore: 4 }) })
      assert.deepStrictEqual(filtered.userKeys, ["A1", "A2"])
      assert.isUndefined(filtered.split)
    }).pipe(Effect.provide(services)))

  for (const folder of list(data).filter((name) => name.startsWith("minionerec"))) {
    it.effect(`finds the counts of its README: ${folder}`, () =>
      Effect.gen(function*() {
        const dataset = yield* Import.load(join(data, folder))
        const industrial = folder.endsWith("industrial")
        assert.strictEqual(dataset.items.length, industrial ? 3686 : 3459)
        assert.strictEqual(counted(dataset, "validation rows"), industrial ? 4532 : 4866)
        assert.strictEqual(counted(dataset, "test rows"), industrial ? 4533 : 4866)
        if (industrial) assert.strictEqual(counted(dataset, "repeat an item"), 364)
        assert.isDefined(yield* Import.ownIndex(join(data, folder)))
      }).pipe(Effect.provide(services)))
  }
})

describe("rows that cannot be used", () => {
  const good = "u1,B,10\nu1,C,20\nu1,A,30\nu2,B,5\nu2,C,40\nu2,A,6\n"
  const cases: ReadonlyArray<readonly [string, string | Uint8Array, string, number]> = [
    ["too many cells", `${good}u1,D,1,2,3\n`, "too many columns", 8],
    ["too few cells", `${good}u1\n`, "too few columns", 8],
    ["no user", `${good},D,1\n`, "no user_id", 8],
    ["no item", `${good}u1,,1\n`, "no item_id", 8],
    ["a time that is none", `${good}u1,D,soon\n`, "timestamp is neither a number nor a date", 8],
    ["an infinite time", `${good}u1,D,1e999\n`, "timestamp is neither a number nor a date", 8],
    ["a time that is NaN", `${good}u1,D,NaN\n`, "timestamp is neither a number nor a date", 8],
    [
      "bytes that are not UTF-8",
      Buffer.concat([Buffer.from(good), Buffer.from([0x75, 0xff, 0xfe]), Buffer.from(",D,1\n")]),
      "not UTF-8",
      8
    ]
  ]
  for (const [what, content, problem, line] of cases) {
    it.effect(`${what}: counted, shown, and the others kept`, () =>
      Effect.gen(function*() {
        const file = Buffer.concat([Buffer.from("user_id,item_id,timestamp\n"), Buffer.from(content)])
        const dataset = yield* importing({ "e.csv": file }, "e.csv")
        assert.deepStrictEqual(named(dataset), expected)
        assert.strictEqual(counted(dataset, problem), 1, JSON.stringify(dataset.counts))
        assert.strictEqual(dataset.malformed![0]!.line, line)
        const error = yield* Effect.flip(importing({ "e.csv": file }, "e.csv", { strict: true }))
        assert.strictEqual(error._tag, "CatalogError")
        assert.include(error.message, `line ${line}`)
      }).pipe(Effect.provide(services)))
  }

  it.effect("a rating that is none, a JSON line that breaks off, a line of something else", () =>
    Effect.gen(function*() {
      const rated = yield* importing(
        {
          "e.csv": `user_id,item_id,timestamp,rating\n${good.replaceAll("\n", ",4\n")}u1,D,1,great\n`
        },
        undefined,
        { filter: filter({ ratingFloor: 1 }) }
      )
      assert.strictEqual(counted(rated, "rating is not a number"), 1)
      const broken = yield* importing({
        "e.jsonl": `${
          lines(events.map(([user_id, item_id, timestamp]) => ({ user_id, item_id, timestamp })))
        }[1, 2]\n{"user_id": "u", "it`
      })
      assert.deepStrictEqual(named(broken), expected)
      assert.strictEqual(counted(broken, "not a JSON object"), 2)
      assert.deepStrictEqual(broken.malformed!.map(({ line }) => line), [7, 8])
    }).pipe(Effect.provide(services)))

  it.effect("a byte order mark, line ends of Windows, quotes over lines and doubled columns are no problems", () =>
    Effect.gen(function*() {
      const file = `\ufeffuser_id,item_id,timestamp,note,note\r\n${
        good.replaceAll("\n", ",\"a\r\nb, \"\"c\"\"\",x\r\n")
      }`
      const dataset = yield* importing({ "e.csv": file }, "e.csv")
      assert.deepStrictEqual(named(dataset), expected)
      assert.deepStrictEqual(dataset.malformed, [])
    }).pipe(Effect.provide(services)))
})

describe("filters against a naive reading", () => {
  interface Event {
    readonly user: string
    readonly item: string
    readonly time: number
    readonly rating: number
  }

  const naive = (
    events: ReadonlyArray<Event>,
    config: FilterConfig
  ): Readonly<Record<string, ReadonlyArray<string>>> => {
    let kept = events.filter(({ rating, time }) =>
      time >= (config.from ?? -Infinity) && time <= (config.to ?? Infinity) &&
      rating >= (config.ratingFloor ?? -Infinity)
    ).toSorted((a, b) => a.time - b.time)
    const seen = new Set<string>()
    kept = kept.filter(({ item, time, user }) => {
      const key = config.repeats === "first" ? `${user} ${item}` : `${user} ${item} ${time}`
      if (seen.has(key)) return config.repeats !== "first" && config.duplicates === "keep"
      seen.add(key)
      return true
    })
    const of = (events: ReadonlyArray<Event>, pick: (event: Event) => string) => {
      const counts: Record<string, number> = {}
      for (const event of events) counts[pick(event)] = (counts[pick(event)] ?? 0) + 1
      return counts
    }
    for (let before = -1; before !== kept.length;) {
      before = kept.length
      const [userCore, itemCore] = [config.userCore ?? config.core ?? 0, config.itemCore ?? config.core ?? 0]
      const users = of(kept, ({ user }) => user)
      if (config.judging === "simultaneous") {
        const items = of(kept, ({ item }) => item)
        kept = kept.filter(({ item, user }) => users[user]! >= userCore && items[item]! >= itemCore)
      } else {
        kept = kept.filter(({ user }) => users[user]! >= userCore)
        const items = of(kept, ({ item }) => item)
        kept = kept.filter(({ item }) => items[item]! >= itemCore)
      }
    }
    const out: Record<string, Array<string>> = {}
    for (const { item, user } of kept) (out[user] ??= []).push(item)
    return out
  }

  const configs: ReadonlyArray<typeof FilterConfig.Encoded> = [
    {},
    { core: 3 },
    { userCore: 4, itemCore: 2 },
    { core: 3, judging: "simultaneous" },
    { from: 20, to: 70 },
    { ratingFloor: 3 },
    { repeats: "first", core: 2 },
    { duplicates: "keep" },
    { from: 10, ratingFloor: 2, core: 3, repeats: "first" }
  ]
  for (const config of configs) {
    it.effect(JSON.stringify(config), () =>
      Effect.gen(function*() {
        for (let seed = 0; seed < 6; seed++) {
          const next = Random.uniform(seed, 77)
          const events = Array.from({ length: 160 }, (): Event => ({
            user: `u${Math.floor(next() * 14)}`,
            item: `i${Math.floor(next() ** 2 * 18)}`,
            time: Math.floor(next() * 90),
            rating: 1 + Math.floor(next() * 5)
          }))
          const wanted = naive(events, filter(config))
          const table = [
            "user_id,item_id,timestamp,rating",
            ...events.map((event) => [event.user, event.item, event.time, event.rating].join(","))
          ].join("\n")
          const run = importing({ "e.csv": `${table}\n` }, "e.csv", { filter: filter(config) })
          if (Object.values(wanted).every((items) => items.length < 3)) yield* Effect.flip(run)
          else assert.deepStrictEqual(named(yield* run), wanted)
        }
      }).pipe(Effect.provide(services)))
  }

  it.effect("shuffled ties keep the order of times and every event, and are a function of the seed", () =>
    Effect.gen(function*() {
      const next = Random.uniform(3, 78)
      const table = [
        "user_id,item_id,timestamp",
        ...Array.from({ length: 200 }, (_, i) => `u${i % 5},i${i},${Math.floor(next() * 4)}`)
      ].join("\n")
      const load = (ties: "as-is" | "shuffled", seed: number) =>
        importing({ "e.csv": `${table}\n` }, "e.csv", { filter: filter({ ties }), seed }).pipe(
          Effect.map((dataset) => ({ ...dataset, sources: [] }))
        )
      const plain = yield* load("as-is", 1)
      const [one, again, other] = [yield* load("shuffled", 1), yield* load("shuffled", 1), yield* load("shuffled", 2)]
      assert.deepStrictEqual(one, again)
      assert.notDeepEqual(named(one), named(other))
      assert.notDeepEqual(named(one), named(plain))
      assert.deepStrictEqual(one.times, plain.times)
      for (const [user, items] of Object.entries(named(one))) {
        assert.deepStrictEqual([...items].toSorted(), [...named(plain)[user]!].toSorted())
      }
      assert.isAbove(plain.tieShare!, 0.8)
    }).pipe(Effect.provide(services)))
})

describe("Split.chronological", () => {
  it("never trains on an event that is not before the validation targets (all samples counted)", () => {
    const next = Random.uniform(5, 79)
    const sequences = Array.from(
      { length: 20 },
      () => Int32Array.from({ length: 1 + Math.floor(next() * 14) }, () => Math.floor(next() * 30))
    )
    const times = sequences.map((items) => Float64Array.from(items, () => Math.floor(next() * 50)).toSorted())
    const dataset: Dataset = { name: "x", items: [], userKeys: [], sequences, times, comparableTimes: true, counts: [] }
    const { test, train, validation } = Split.chronological(dataset, 10)
    const samples = sequences.reduce((sum, items) => sum + Math.max(0, items.length - 1), 0)
    assert.strictEqual(validation.length, Math.floor(samples * 0.9) - Math.floor(samples * 0.8))
    assert.strictEqual(test.length, samples - Math.floor(samples * 0.9))
    const targets = train.reduce((sum, items) => sum + Math.max(0, items.length - 1), 0)
    assert.strictEqual(targets, Math.floor(samples * 0.8))
    const latest = Math.max(
      ...train.flatMap((items, user) => items.length === 0 ? [] : [times[user]![items.length - 1]!])
    )
    for (const { history, target, user } of [...validation, ...test]) {
      const at = train[user]!.length === 0 ? 1 : train[user]!.length
      assert.isTrue([...sequences[user]!.subarray(at)].includes(target))
      assert.isAtMost(history.length, 10)
    }
    const earliest = Math.min(
      ...[...validation, ...test].map(({ user }) => times[user]![Math.max(1, train[user]!.length)]!)
    )
    assert.isAtMost(latest, earliest)
  })
})
