/**
 * From a log of events to a data set: filters, order, k-core, numbering. Everything that is dropped is counted, step by
 * step.
 *
 * Users' events are ordered by time, equal times as the file has them. Users and items are numbered in the order of their
 * first kept event. Works on columns: ten million events take seconds and some 300 MB.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Random from "../statistics/Random.ts"
import { type Count, type Dataset, type Example, type GivenSplit, type Item, type Malformed } from "./Dataset.ts"
import { type EventLog } from "./EventLog.ts"

const Core = Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))

/** What is kept of a log. */
export class FilterConfig extends Schema.Class<FilterConfig>("sidereal/catalog/FilterConfig")({
  /** Users and items with fewer events are dropped until none is left; by default what the form's source suggests. */
  core: Core,
  /** The same for users alone. @default core */
  userCore: Core,
  /** The same for items alone. @default core */
  itemCore: Core,
  /** Users first and items by what is left, or both by the same counts as MiniOneRec does. @default alternating */
  judging: Schema.Literals(["alternating", "simultaneous"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("alternating" as const))
  ),
  /** First time that is kept, in the data's unit. */
  from: Schema.optionalKey(Schema.Finite),
  /** Last time that is kept. */
  to: Schema.optionalKey(Schema.Finite),
  /** Least rating that is kept; events without one stay. */
  ratingFloor: Schema.optionalKey(Schema.Finite),
  /** Events that repeat user, item and time of another. @default drop */
  duplicates: Schema.Literals(["drop", "keep"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("drop" as const))
  ),
  /** Later events of a user with the same item; by default what the form's source suggests. */
  repeats: Schema.optionalKey(Schema.Literals(["keep", "first"])),
  /** Items whose title MiniOneRec would refuse: none, markup, one character, or more than 20 words. @default keep */
  titles: Schema.Literals(["keep", "minionerec"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("keep" as const))
  ),
  /**
   * Order of a user's events of one time: as the file has them, which in published data may be by item and then gives
   * the answer away, or drawn from the seed. @default as-is
   */
  ties: Schema.Literals(["as-is", "shuffled"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("as-is" as const))
  )
}) {}

/** The filter that keeps everything but duplicates. */
export const noFilter: FilterConfig = Schema.decodeSync(FilterConfig)({})

/** The first wish of a filter that needs the times of events, in words. */
export const timesWanted = ({ from, ties, to }: FilterConfig): string | undefined =>
  from !== undefined || to !== undefined ? "a time range" : ties === "shuffled" ? "--ties shuffled" : undefined

/** What a source suggests where the filter says nothing, and what it has counted before. */
export interface AssembleOptions {
  readonly filter: FilterConfig
  readonly seed: number
  readonly core: number
  readonly firstOnly: boolean
  readonly before: ReadonlyArray<Count>
  readonly malformed?: ReadonlyArray<Malformed> | undefined
  /** Drops events of items that the items table lacks. @default false */
  readonly knownItemsOnly?: boolean | undefined
  /** Whether times of different users can be compared. @default true */
  readonly comparableTimes?: boolean | undefined
  /** Whether there was a table of items, even if no event is of one of them. @default whether items are given */
  readonly itemTable?: boolean | undefined
  /** The part of a split that each event of the log belongs to: 0 trains, 1 validates, 2 tests. */
  readonly parts?: Uint8Array | undefined
  /**
   * Users by their first event in the file and items by the users' order, as MiniOneRec numbers them. @default by time
   */
  readonly numbering?: "time" | "minionerec" | undefined
}

/** An item without a text of its own: its key stands as title. */
export const nameless = (key: string): Item => ({ key, title: key, description: "", brand: "", categories: [] })

/** The title as MiniOneRec keeps it, or undefined where it refuses the item. */
export const miniOneRecTitle = (title: string | undefined): string | undefined => {
  if (title === undefined || title.includes("<span id")) return undefined
  const cleaned = title.replaceAll("&quot;", "\"").replaceAll("&amp;", "&").replaceAll(/^ +| +$/g, "")
    .replaceAll(/^"+|"+$/g, "")
  return [...cleaned].length > 1 && cleaned.split(" ").length <= 20 ? cleaned : undefined
}

/** Events by user in order of time; `starts[u] .. starts[u + 1]` are those of user u. */
const byUser = (log: EventLog): { readonly order: Int32Array; readonly starts: Int32Array } => {
  const { times, users } = log
  const starts = new Int32Array(log.userKeys.length + 1)
  for (const user of users) starts[user + 1]!++
  for (let u = 1; u < starts.length; u++) starts[u]! += starts[u - 1]!
  const next = starts.slice()
  const order = new Int32Array(users.length)
  for (let e = 0; e < users.length; e++) order[next[users[e]!]!++] = e
  for (let u = 0; u + 1 < starts.length; u++) {
    order.subarray(starts[u], starts[u + 1]).sort((a, b) => times[a]! - times[b]! || a - b)
  }
  return { order, starts }
}

/** Builds a data set. */
export const assemble = (
  name: string,
  log: EventLog,
  items: ReadonlyMap<string, Item>,
  options: AssembleOptions
): Dataset => {
  const { filter, seed } = options
  const { itemKeys, ratings, times, userKeys } = log
  const total = log.users.length
  const counts: Array<Count> = [...options.before]
  const alive = new Uint8Array(total).fill(1)
  let left = total
  const sweep = (bad: (event: number) => boolean): number => {
    let dropped = 0
    for (let e = 0; e < total; e++) {
      if (alive[e] === 1 && bad(e)) {
        alive[e] = 0
        dropped++
      }
    }
    left -= dropped
    return dropped
  }
  const drop = (step: string, bad: (event: number) => boolean) => counts.push({ step, count: sweep(bad) })

  let texts = items
  if (filter.titles === "minionerec") {
    const kept = new Map<string, Item>()
    for (const [key, item] of items) {
      const title = miniOneRecTitle(item.title)
      if (title !== undefined) kept.set(key, { ...item, title })
    }
    counts.push({ step: "items refused by their title", count: items.size - kept.size })
    texts = kept
  }
  if (filter.titles === "minionerec" || options.knownItemsOnly === true) {
    const has = Uint8Array.from(itemKeys, (key) => (texts.has(key) ? 1 : 0))
    drop("events of items without a title dropped", (e) => has[log.items[e]!] === 0)
  }
  if (filter.from !== undefined || filter.to !== undefined) {
    const [from, to] = [filter.from ?? -Infinity, filter.to ?? Infinity]
    drop("events outside the time range dropped", (e) => times[e]! < from || times[e]! > to)
  }
  const { ratingFloor } = filter
  if (ratingFloor !== undefined && ratings !== undefined) {
    drop("events below the rating floor dropped", (e) => ratings[e]! < ratingFloor)
  }

  const { order, starts } = byUser(log)
  const firstOnly = filter.repeats === undefined ? options.firstOnly : filter.repeats === "first"
  if (firstOnly || filter.duplicates === "drop") {
    const repeated = new Uint8Array(total)
    const last = new Map<number, number>()
    for (let u = 0; u + 1 < starts.length; u++) {
      last.clear()
      for (let at = starts[u]!; at < starts[u + 1]!; at++) {
        const e = order[at]!
        if (alive[e] === 0) continue
        const item = log.items[e]!
        const before = last.get(item)
        if (before !== undefined && (firstOnly || before === times[e])) repeated[e] = 1
        else last.set(item, times[e]!)
      }
    }
    drop(
      firstOnly ? "repeats of an item by a user dropped" : "duplicate events dropped",
      (e) => repeated[e] === 1
    )
  }

  const core = filter.core ?? options.core
  const [userCore, itemCore] = [filter.userCore ?? core, filter.itemCore ?? core]
  if (userCore > 1 || itemCore > 1) {
    const perUser = new Int32Array(userKeys.length)
    const perItem = new Int32Array(itemKeys.length)
    const tally = () => {
      perUser.fill(0)
      perItem.fill(0)
      for (let e = 0; e < total; e++) {
        if (alive[e] === 0) continue
        perUser[log.users[e]!]!++
        perItem[log.items[e]!]!++
      }
    }
    let dropped: number
    do {
      tally()
      if (filter.judging === "simultaneous") {
        dropped = sweep((e) => perUser[log.users[e]!]! < userCore || perItem[log.items[e]!]! < itemCore)
      } else {
        dropped = sweep((e) => perUser[log.users[e]!]! < userCore)
        tally()
        dropped += sweep((e) => perItem[log.items[e]!]! < itemCore)
      }
    } while (dropped > 0)
    const what = userCore === itemCore ? `${userCore}-core` : `core of ${userCore} per user, ${itemCore} per item`
    counts.push({ step: `events left by the ${what}`, count: left })
  }

  // The event by which each user and each item is known first.
  const firstOfUser = new Int32Array(userKeys.length).fill(-1)
  const firstOfItem = new Int32Array(itemKeys.length).fill(-1)
  const earlier = (a: number, b: number) => times[a]! < times[b]! || (times[a] === times[b] && a < b)
  for (let e = 0; e < total; e++) {
    if (alive[e] === 0) continue
    const [user, item] = [log.users[e]!, log.items[e]!]
    if (firstOfItem[item]! < 0 || earlier(e, firstOfItem[item]!)) firstOfItem[item] = e
    if (options.numbering === "minionerec") {
      if (firstOfUser[user]! < 0) firstOfUser[user] = e
    } else if (firstOfUser[user]! < 0 || earlier(e, firstOfUser[user]!)) firstOfUser[user] = e
  }
  const known = (firsts: Int32Array) => Array.from(firsts.keys()).filter((key) => firsts[key]! >= 0)
  const users = known(firstOfUser).toSorted(
    options.numbering === "minionerec"
      ? (a, b) => firstOfUser[a]! - firstOfUser[b]!
      : (a, b) => (earlier(firstOfUser[a]!, firstOfUser[b]!) ? -1 : 1)
  )
  const itemNumber = new Int32Array(itemKeys.length).fill(-1)
  const itemOrder: Array<number> = []
  const take = (item: number) => {
    if (itemNumber[item]! >= 0) return
    itemNumber[item] = itemOrder.length
    itemOrder.push(item)
  }
  if (options.numbering !== "minionerec") {
    for (const item of known(firstOfItem).toSorted((a, b) => (earlier(firstOfItem[a]!, firstOfItem[b]!) ? -1 : 1))) {
      take(item)
    }
  }
  const sequences: Array<Int32Array> = []
  const sequenceTimes: Array<Float64Array> = []
  const sequenceParts: Array<Uint8Array> = []
  let [pairs, tied] = [0, 0]
  for (const [number, user] of users.entries()) {
    const events = order.subarray(starts[user], starts[user + 1]).filter((e) => alive[e] === 1)
    for (let at = 1; at < events.length; at++) {
      pairs++
      if (times[events[at]!] === times[events[at - 1]!]) tied++
    }
    if (filter.ties === "shuffled") shuffleTies(events, times, seed, number)
    for (const e of events) take(log.items[e]!)
    sequences.push(Int32Array.from(events, (e) => itemNumber[log.items[e]!]!))
    sequenceTimes.push(Float64Array.from(events, (e) => times[e]!))
    if (options.parts !== undefined) sequenceParts.push(Uint8Array.from(events, (e) => options.parts![e]!))
  }
  const keys = itemOrder.map((item) => itemKeys[item]!)
  if (options.itemTable ?? items.size > 0) {
    counts.push({
      step: "items without an entry in the items table",
      count: keys.filter((key) => !texts.has(key)).length
    })
  }
  return {
    name,
    items: keys.map((key) => texts.get(key) ?? nameless(key)),
    userKeys: users.map((user) => userKeys[user]!),
    sequences,
    times: sequenceTimes,
    comparableTimes: options.comparableTimes ?? true,
    tieShare: pairs === 0 ? 0 : tied / pairs,
    ...(options.parts === undefined ? {} : { split: splitByParts(sequences, sequenceParts) }),
    counts,
    malformed: options.malformed ?? []
  }
}

/** The data set without times, where the order of the file stood in for them. */
export const withoutTimes = (
  { comparableTimes: _comparable, tieShare: _share, times: _times, ...dataset }: Dataset
): Dataset => dataset

/**
 * The split that came with the data as parts of the events: a target's history holds the user's events of the earlier
 * parts and the ones before it in its own. Without a part that validates, the last training event of each user with three
 * events or more does.
 */
export const splitByParts = (
  sequences: ReadonlyArray<Int32Array>,
  parts: ReadonlyArray<Uint8Array>
): GivenSplit => {
  const train: Array<Int32Array> = []
  const [validation, test]: [Array<Example>, Array<Example>] = [[], []]
  const isValidated = parts.some((own) => own.includes(1))
  for (const [user, items] of sequences.entries()) {
    const own = parts[user]!
    const of = (part: number) => items.filter((_, at) => own[at] === part)
    let [training, validating]: [Int32Array, Int32Array] = [of(0), of(1)]
    if (!isValidated && training.length >= 3) {
      validating = training.subarray(training.length - 1)
      training = training.subarray(0, training.length - 1)
    }
    train.push(training)
    const examples = (before: ReadonlyArray<Int32Array>, targets: Int32Array, into: Array<Example>) => {
      const earlier = before.flatMap((list) => [...list])
      for (const [at, target] of targets.entries()) {
        into.push({ user, history: Int32Array.from([...earlier, ...targets.subarray(0, at)]), target })
      }
    }
    examples([training], validating, validation)
    examples([training, validating], of(2), test)
  }
  return { train, validation, test }
}

/** Draws the order of events of equal times. */
export const shuffleTies = (events: Int32Array, times: ArrayLike<number>, seed: number, user: number): void => {
  for (let from = 0; from < events.length;) {
    let to = from + 1
    while (to < events.length && times[events[to]!] === times[events[from]!]) to++
    if (to - from > 1) {
      const run = events.slice(from, to)
      for (const [at, place] of Random.permutation(to - from, seed, 0x71e5, user, from).entries()) {
        events[from + at] = run[place]!
      }
    }
    from = to
  }
}
