import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { gzipSync } from "node:zlib"
import { type CatalogError } from "../../src/catalog/CatalogError.ts"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import * as Import from "../../src/catalog/Import.ts"
import { type Files, importing, services, writing } from "./Importing.ts"

const lines = (...rows: ReadonlyArray<string>) => `${rows.join("\n")}\n`
const json = (rows: ReadonlyArray<unknown>) => lines(...rows.map((row) => JSON.stringify(row)))
const latin = (text: string) => Buffer.from(text, "latin1")

/** Users with the keys of their items in order. */
const named = ({ items, sequences, userKeys }: Dataset) =>
  Object.fromEntries(
    userKeys.map((user, u) => [user, Array.from(sequences[u]!, (item) => items[item]!.key).join(" ")])
  )

const titled = ({ items }: Dataset) =>
  Object.fromEntries(items.filter(({ key, title }) => title !== key).map(({ key, title }) => [key, title]))

/** Six events, by time 11 12 13 for user 1 and 12 13 11 for user 2; in the file each user's are in another order. */
const events = [[1, 13, 3], [2, 11, 3], [1, 11, 1], [2, 12, 1], [2, 13, 2], [1, 12, 2]] as const
const order = { 1: "11 12 13", 2: "12 13 11" }
const titles = { 11: "Alpha", 12: "Beta, the", 13: "Gamma" }
const rows = (row: (user: number, item: number, time: number) => string) =>
  lines(...events.map(([user, item, time]) => row(user, item, time)))
/** The same events in order, for files without times. */
const inOrder = (row: (user: number, item: number) => string) =>
  lines(...events.toSorted((a, b) => a[0] - b[0] || a[2] - b[2]).map(([user, item]) => row(user, item)))
const day = (time: number) => `2020-03-0${time}`
const epoch = (time: number) => 1_600_000_000 + 100 * time
const movies = lines("movieId,title,genres", "11,Alpha,Drama|War", "12,\"Beta, the\",X", "13,Gamma,(none)")
const ratings = `userId,movieId,rating,timestamp\n${rows((u, i, t) => `${u},${i},4.0,${epoch(t)}`)}`

interface Case {
  readonly files: Files
  readonly order?: Readonly<Record<string, string>>
  readonly titles?: Readonly<Record<string, string>>
}

/** Folders as they are published, with what lies beside the tables. */
const folders: Readonly<Record<string, Case>> = {
  "MovieLens latest, in the folder that its archive makes": {
    files: {
      "ml-latest-small/ratings.csv": ratings,
      "ml-latest-small/movies.csv": movies,
      "ml-latest-small/tags.csv": lines("userId,movieId,tag,timestamp", "1,11,funny,1445714994"),
      "ml-latest-small/links.csv": lines("movieId,imdbId,tmdbId", "11,0114709,862"),
      "ml-latest-small/README.txt": "Summary\n=======\n",
      "__MACOSX/ml-latest-small/._ratings.csv": "\u0000\u0001"
    },
    titles
  },
  "MovieLens in capitals": {
    files: {
      "RATINGS.CSV": ratings,
      "MOVIES.CSV": movies,
      "TAGS.CSV": lines("userId,movieId,tag,timestamp", "1,11,funny,1445714994")
    },
    titles
  },
  "MovieLens with quotes and dates": {
    files: {
      "rating.csv": `"userId","movieId","rating","timestamp"\n${
        rows((u, i, t) => `${u},${i},3.5,"${day(t)} 23:53:47"`)
      }`,
      "movie.csv": movies,
      "tag.csv": lines(`"userId","movieId","tag","timestamp"`, `18,4141,"x","2009-04-24 18:19:40"`)
    },
    titles
  },
  "MovieLens 1M, in latin-1": {
    files: {
      "ml-1m/ratings.dat": rows((u, i, t) => `${u}::${i}::5::${epoch(t)}`),
      "ml-1m/movies.dat": latin("11::Alphä::Drama\n12::Bêta (1995)::A|B\n13::Gamma::X\n"),
      "ml-1m/users.dat": "1::F::1::10::48067\n",
      "ml-1m/README": "SUMMARY\n"
    },
    titles: { 11: "Alphä", 12: "Bêta (1995)", 13: "Gamma" }
  },
  "the Netflix Prize": {
    files: {
      "combined_data_1.txt": lines("11:", `1,5,${day(1)}`, `2,3,${day(3)}`, "12:", `1,5,${day(2)}`, `2,4,${day(1)}`),
      "combined_data_2.txt": lines("13:", `1,4,${day(3)}`, `2,3,${day(2)}`),
      "movie_titles.csv": latin("11,2003,Alpha\n12,NULL,Beta, the\n13,1997,Gamma\n"),
      "probe.txt": lines("11:", "1"),
      "qualifying.txt": lines("11:", "1,2005-12-19")
    },
    titles
  },
  "the Netflix Prize, a file for every movie": {
    files: {
      "training_set/mv_0000011.txt": lines("11:", `1,5,${day(1)}`, `2,3,${day(3)}`),
      "training_set/mv_0000012.txt": lines("12:", `1,5,${day(2)}`, `2,4,${day(1)}`),
      "training_set/mv_0000013.txt": lines("13:", `1,4,${day(3)}`, `2,3,${day(2)}`),
      "movie_titles.txt": latin("11,2003,Alphé\n")
    },
    titles: { 11: "Alphé" }
  },
  "Book-Crossing": {
    files: {
      "BX-Book-Ratings.csv": `"User-ID";"ISBN";"Book-Rating"\n${inOrder((u, i) => `"${u}";"${i}";"0"`)}`,
      "BX-Books.csv": latin(
        `"ISBN";"Book-Title";"Book-Author"\n"11";"Café \\"Noir\\"; a tale";"É"\n"12";"B";"È"\n"13";"C";""\n`
      ),
      "BX-Users.csv": `"User-ID";"Location";"Age"\n"1";"nyc, usa";NULL\n`
    },
    titles: { 11: "Café \"Noir\"; a tale", 12: "B", 13: "C" }
  },
  "Food.com beside its prepared split": {
    files: {
      "RAW_interactions.csv": `user_id,recipe_id,date,rating,review\n${
        rows((u, i, t) => `${u},${i},${day(t)},4,"Great ""with"" salad.\nThanks"`)
      }`,
      "RAW_recipes.csv": lines("name,id,tags", "Alpha,11,\"['x', 'y']\"", "\"Beta, the\",12,[]", "Gamma,13,[]"),
      "interactions_train.csv": lines("user_id,recipe_id,date,rating,u,i", "9,9,2000-02-25,5.0,1,1"),
      "interactions_test.csv": lines("user_id,recipe_id,date,rating,u,i", "9,9,2000-02-25,5.0,1,1"),
      "PP_users.csv": lines("u,items,n_items", "0,\"[1118, 27680]\",31")
    },
    titles
  },
  "MyAnimeList, whose key has another name": {
    files: {
      "animelist.csv": `user_id,anime_id,rating,watching_status\n${inOrder((u, i) => `${u},${i},9,1`)}`,
      "rating_complete.csv": lines("user_id,anime_id,rating", "1,11,9"),
      "anime.csv": lines("MAL_ID,Name,Score", "11,Alpha,8", "12,\"Beta, the\",8", "13,Gamma,8"),
      "watching_status.csv": lines("status, description", "1,Watching")
    },
    titles
  },
  "Goodreads, with days in words": {
    files: {
      "goodreads_interactions_poetry.json.gz": gzipSync(json(events.map(([u, i, t]) => ({
        user_id: String(u),
        book_id: String(i),
        date_added: "Sun Mar 01 10:00:00 -0800 2020",
        date_updated: `Mon Mar 0${t} 11:37:04 -0700 2017`
      })))),
      "goodreads_books_poetry.json.gz": gzipSync(json(
        Object.entries(titles).map(([book_id, title]) => ({
          book_id,
          title,
          authors: [{ author_id: "1", role: "" }]
        }))
      ))
    },
    titles
  },
  "Yelp as CSV": {
    files: {
      "yelp_review.csv": `review_id,user_id,business_id,stars,date,text\n${
        rows((u, i, t) => `r,${u},${i},4,${day(t)},"two\nlines"`)
      }`,
      "yelp_business.csv": lines("business_id,name,categories", "11,Alpha,x", "12,\"Beta, the\",x", "13,Gamma,x"),
      "yelp_tip.csv": lines("text,date,likes,business_id,user_id", "x,2013-01-01,0,11,1")
    },
    titles
  },
  "Foursquare's check-ins": {
    files: {
      "dataset_TSMC2014_NYC.txt": latin(
        rows((u, i, t) => `${u}\t${i}\t4bf\tCafé\t40.7\t-74.0\t-240\tTue Mar 0${t} 18:00:09 +0000 2020`)
      )
    }
  },
  "Brightkite": {
    files: {
      "loc-brightkite_totalCheckins.txt": rows((u, i, t) => `${u}\t${day(t)}T00:00:00Z\t30.2\t-97.7\t${i}`),
      "loc-brightkite_edges.txt": lines("0\t1")
    }
  },
  "Last.fm 1K": {
    files: {
      "lastfm-dataset-1K/userid-timestamp-artid-artname-traid-traname.tsv": rows((u, i, t) =>
        `${u}\t${day(t)}T00:00:00Z\ta\t"Artist\t${i}\t${titles[i as 11]}`
      ),
      "lastfm-dataset-1K/userid-profile.tsv": lines("#id\tgender\tage", "1\tm\t")
    },
    titles
  },
  "CiteULike, whose lines begin with counts": {
    files: {
      "users.dat": lines("3 11 12 13", "3 12 13 11"),
      "item-tag.dat": lines("2 1 2", "1 3"),
      "citations.dat": "0\n"
    }
  },
  "sequences of S3-Rec with attributes and samples": {
    files: {
      "Beauty.txt": lines("1 11 12 13", "2 12 13 11"),
      "Beauty_sample.txt": lines("1 4 5 6", "2 5 6 7"),
      "Beauty_item2attributes.json": JSON.stringify({ 1: [3, 4], 2: [5] })
    }
  },
  "RecBole with networks and knowledge beside it": {
    files: {
      "ml/ml.inter": `user_id:token\titem_id:token\ttimestamp:float\n${rows((u, i, t) => `${u}\t${i}\t${t}`)}`,
      "ml/ml.item": lines("item_id:token\tmovie_title:token_seq", "11\tAlpha", "12\tBeta, the", "13\tGamma"),
      "ml/ml.user": lines("user_id:token\tage:token", "1\t24"),
      "ml/ml.net": lines("source_id:token\ttarget_id:token", "1\t2"),
      "ml/ml.kg": lines("head_id:token\trelation_id:token\ttail_id:token", "m.1\tfilm\tm.2")
    },
    titles
  },
  "REES46, whose months are words": {
    files: {
      "2019-Oct.csv": `event_time,event_type,product_id,user_id\n${
        lines(...events.slice(0, 3).map(([u, i, t]) => `${day(t)} 00:00:00 UTC,view,${i},${u}`))
      }`,
      "2019-Nov.csv": `event_time,event_type,product_id,user_id\n${
        lines(...events.slice(3).map(([u, i, t]) => `${day(t)} 00:00:00 UTC,view,${i},${u}`))
      }`
    }
  },
  "OTTO, a session a line and one line a file": {
    files: {
      "otto-recsys-train.jsonl": json([{
        session: 1,
        events: [{ aid: 13, ts: 3 }, { aid: 11, ts: 1 }, { aid: 12, ts: 2 }]
      }]),
      "otto-recsys-test.jsonl": json([{
        session: 2,
        events: [{ aid: 12, ts: 1 }, { aid: 13, ts: 2 }, { aid: 11, ts: 3 }]
      }])
    }
  }
}

/** What a proposed `sidereal.json` makes of a folder. */
const proposed = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const { file, text } = yield* Import.propose(folder)
  yield* fs.writeFileString(file, text)
  return { text, dataset: yield* Import.load(folder) }
})

describe("published folders", () => {
  for (const [what, { files, order: expected = order, titles: wanted = {} }] of Object.entries(folders)) {
    it.effect(`${what}: read, and read alike with the sidereal.json that is proposed`, () =>
      Effect.gen(function*() {
        const folder = yield* writing(files)
        const dataset = yield* Import.load(folder)
        assert.deepStrictEqual(named(dataset), expected)
        assert.deepStrictEqual(titled(dataset), wanted)
        const again = yield* proposed(folder)
        assert.deepStrictEqual(named(again.dataset), expected, again.text)
        assert.deepStrictEqual(titled(again.dataset), wanted, again.text)
        assert.strictEqual(again.dataset.split === undefined, dataset.split === undefined, again.text)
      }).pipe(Effect.scoped, Effect.provide(services)))
  }

  it.effect("RecBole's rows of histories are sequences, and their files the split", () =>
    Effect.gen(function*() {
      const header = "user_id:token\titem_id_list:token_seq\titem_id:token"
      const dataset = yield* importing({
        "x.train.inter": lines(header, "1\t11\t12", "1\t11 12\t13", "2\t12\t13", "3\t11 12\t13", "3\t11\t12"),
        "x.valid.inter": lines(header, "1\t11 12 13\t14", "2\t12 13\t11"),
        "x.test.inter": lines(header, "1\t11 12 13 14\t11", "2\t13 11\t12", "9\t11 13\t12")
      })
      assert.deepStrictEqual(named(dataset), {
        1: "11 12 13 14 11",
        2: "12 13 11 12",
        3: "11 12 13",
        9: "11 13 12"
      })
      const keys = (items: Int32Array) => Array.from(items, (item) => dataset.items[item]!.key).join(" ")
      const { test, train, validation } = dataset.split!
      assert.deepStrictEqual(train.map(keys), ["11 12 13", "12 13", "11 12 13", ""])
      assert.deepStrictEqual(validation.map(({ history }) => keys(history)), ["11 12 13", "12 13"])
      assert.deepStrictEqual(test.map(({ history, target }) => `${keys(history)} > ${dataset.items[target]!.key}`), [
        "11 12 13 14 > 11",
        "13 11 > 12",
        "11 13 > 12"
      ])
    }).pipe(Effect.provide(services)))
})

/** Folders that are refused, what the error says, and the order that the proposal would read, where it can. */
const refused: Readonly<Record<string, Files>> = {
  "triples of Epinions": {
    "ratings_data.txt": inOrder((u, i) => `${u} ${i} 5`),
    "trust_data.txt": " 1 2 1\n 2 1 1\n"
  },
  "tabs without a header": { "implicit_lf_dataset.csv": inOrder((u, i) => `${u}\t${i}\t1`) },
  "a rating and a time without a header": { "ml.txt": rows((u, i, t) => `${u}\t${i}\t5\t${epoch(t)}`) },
  "rows of cells as JSON": { "e.jsonl": rows((u, i, t) => JSON.stringify([u, i, epoch(t)])) },
  "runs of spaces without a header": { "log.txt": rows((u, i, t) => `  ${u}   ${i}    ${epoch(t)}`) },
  "items with bars between them": { "s.csv": lines("session_id,item_ids", "1,11|12|13", "2,12|13|11") },
  "items with spaces between them": { "s.tsv": lines("session_id\titem_seq", "1\t11 12 13", "2\t12 13 11") }
}

describe("what is not safe to recognise", () => {
  for (const [what, files] of Object.entries(refused)) {
    it.effect(`${what}: refused, and read with the sidereal.json that is proposed`, () =>
      Effect.gen(function*() {
        const folder = yield* writing(files)
        const error = (yield* Effect.flip(Import.load(folder))) as CatalogError
        const { dataset, text } = yield* proposed(folder)
        assert.include(error.message, Object.keys(files)[0]!)
        assert.deepStrictEqual(named(dataset), order, text)
      }).pipe(Effect.scoped, Effect.provide(services)))
  }

  it.effect("matrices are named as such, and nothing is proposed for them", () =>
    Effect.gen(function*() {
      const matrix = lines(...[60, 61, 62].map((n) => [n, ...Array.from({ length: 100 }, (_, k) => k % 7)].join(",")))
      const folder = yield* writing({ "jester.csv": matrix, "notes.csv": lines("a,b", "1,2") })
      const load = (yield* Effect.flip(Import.load(folder))) as CatalogError
      assert.include(load.message, "a matrix with a column for every item")
      const alone = yield* writing({ "jester.csv": matrix })
      assert.strictEqual(((yield* Effect.flip(Import.propose(alone))) as CatalogError).reason._tag, "UnknownForm")
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("several folders with data, and several files of sequences, are named", () =>
    Effect.gen(function*() {
      const behaviours = lines("1\tU1\t11/12/2019 10:01:58 AM\tN1 N2\tN3-1")
      const mind = yield* Effect.flip(
        importing({ "MIND_train/behaviors.tsv": behaviours, "MIND_dev/behaviors.tsv": behaviours })
      )
      assert.include(mind.message, "MIND_train: a folder with tables")
      assert.include(mind.message, "MIND_dev: a folder with tables")
      const lists = lines("1 4 5 6", "2 5 6 7 8")
      const two = yield* Effect.flip(importing({ "Beauty.txt": lists, "Toys.txt": lists }))
      assert.include(two.message, "Beauty.txt, Toys.txt")
    }).pipe(Effect.provide(services)))
})
