/**
 * An importer of your own: a web server's log becomes a data set, which is filtered, split and inspected like any other.
 *
 * Run it: `node examples/OwnImporter.ts`
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Assemble from "sidereal/catalog/Assemble"
import { type Item } from "sidereal/catalog/Dataset"
import * as EventLog from "sidereal/catalog/EventLog"
import * as Inspection from "sidereal/catalog/Inspection"
import * as Split from "sidereal/catalog/Split"

/** 10.0.0.1 - ann [02/Jan/2026:10:00:00 +0000] "POST /buy/tea HTTP/1.1" 200 */
const line = /^\S+ - (\S+) \[(\d+)\/(\w+)\/(\d+):(\S+) \+0000\] "POST \/buy\/([\w-]+) \S+" 200$/

const load = (name: string, lines: ReadonlyArray<string>, titles: Readonly<Record<string, string>>) => {
  const log = EventLog.builder()
  let others = 0
  for (const text of lines) {
    const found = line.exec(text)
    if (found === null) {
      others++
      continue
    }
    const [, user, day, month, year, clock, item] = found
    log.add(user!, item!, Date.parse(`${day} ${month} ${year} ${clock} UTC`))
  }
  const items = new Map(
    Object.entries(titles).map(([key, title]): [string, Item] => [key, { ...Assemble.nameless(key), title }])
  )
  return Assemble.assemble(name, log.build(), items, {
    filter: new Assemble.FilterConfig({ ...Assemble.noFilter, core: 2 }),
    seed: 1,
    core: 0,
    firstOnly: false,
    before: [{ step: "lines that are no purchase", count: others }]
  })
}

const users = ["ann", "bob", "cyd", "dee"]
const goods = ["tea", "cup", "pot", "rug"]
const lines = users.flatMap((user, u) =>
  goods.slice(0, 3 + u % 2).map((item, i) =>
    `10.0.0.${u} - ${user} [0${1 + i}/Jan/2026:1${u}:00:00 +0000] "POST /buy/${item} HTTP/1.1" 200`
  )
)

const program = Effect.gen(function*() {
  const dataset = load("logs", [...lines, "10.0.0.9 - - \"GET / HTTP/1.1\" 200"], { tea: "Green tea", cup: "Cup" })
  const { test, train } = yield* Split.split(dataset, Schema.decodeSync(Split.SplitConfig)({}))
  yield* Effect.sync(() => {
    console.log(Inspection.describe(Inspection.inspect(dataset)))
    console.log(
      `${train.length} users train, ${test.length} test; ann's last item is ${dataset.items[test[0]!.target]!.title}`
    )
  })
})
await Effect.runPromise(program)
