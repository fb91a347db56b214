/**
 * Builds a data set from a log of events: filters, order, k-core, numbering. Every dropped event is counted by step.
 *
 * Users' events are ordered by time; ties keep the order of the file. Users and items are numbered in the order of
 * their first kept event. Works on columns: ten million events take seconds and about 300 MB.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Random from "../statistics/Random.ts"
import { type Count, type Dataset, type Example, type GivenSplit, type Item, type Malformed } from "./Dataset.ts"
import { type EventLog } from "./EventLog.ts"

const Core = Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))

/** Filter of a log of events. */
export class FilterConfig extends Schema.Class<FilterConfig>("sidereal/catalog/FilterConfig")({
  /** k of the k-core: users and items with fewer events are dropped repeatedly. @default the format's own k */
  core: Core,
  /** k for users. @default core */
  userCore: Core,
  /** k for items. @default core */
  itemCore: Core,
  /**
   * `alternating` drops users and then recounts before it drops items; `simultaneous` drops both by the same counts, as
   * MiniOneRec does. @default alternating
   */
  judging: Schema.Literals(["alternating", "simultaneous"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("alternating" as const))
  ),
  /** Earliest time kept, in the data's unit. @default no bound */
  from: Schema.optionalKey(Schema.Finite),
  /** Latest time kept, in the data's unit. @default no bound */
  to: Schema.optionalKey(Schema.Finite),
  /** Lowest rating kept; events without a rating are kept. @default no bound */
  ratingFloor: Schema.optionalKey(Schema.Finite),
  /** Treatment of events with the user, item and time of another event. @default drop */
  duplicates: Schema.Literals(["drop", "keep"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("drop" as const))
  ),
  /** Treatment of later events of a user with the same item. @default the format's own choice */
  repeats: Schema.optionalKey(Schema.Literals(["keep", "first"])),
  /** `minionerec` drops items without a title or with markup, one character or over 20 words in it. @default keep */
  titles: Schema.Literals(["keep", "minionerec"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("keep" as const))
  ),
  /**
   * Order of a user's events with equal times: that of the file, which in published data may be sorted by item and then
   * leaks the target, or shuffled by the seed. @default as-is
   */
  ties: Schema.Literals(["as-is", "shuffled"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("as-is" as const))
  )
}) {}

/** Filter that keeps every event except duplicates. */
export const noFilter: FilterConfig = Schema.decodeSync(FilterConfig)({})

/** Returns a description of the first option of a filter that needs event times; undefined if none does. */
export const timesWanted = ({ from, ties, to }: FilterConfig): string | undefined =>
  from !== undefined || to !== undefined ? "a time range" : ties === "shuffled" ? "--ties shuffled" : undefined

/** Options of a format: its defaults for the filter, and its counts so far. */
export interface AssembleOptions {
  readonly filter: FilterConfig
  readonly seed: number
  readonly core: number
  readonly firstOnly: boolean
  readonly before: ReadonlyArray<Count>
  readonly malformed?: ReadonlyArray<Malformed> | undefined
  /** Whether events of items missing from the items table are dropped. @default false */
  readonly knownItemsOnly?: boolean | undefined
  /** Whether times of different users are comparable. @default true */
  readonly comparableTimes?: boolean | undefined
  /** Whether the data have an items table, even one without any item of the events. @default whether items are given */
  readonly itemTable?: boolean | undefined
  /** Part of the split of each event of the log: 0 training, 1 validation, 2 test. @default no split */
  readonly parts?: Uint8Array | undefined
  /**
   * Order of numbers: by time of the first event, or, as in MiniOneRec, users by their first event in the file and
   * items by the users' order. @default time
   */
  readonly numbering?: "time" | "minionerec" | undefined
  /** Function called with the number of users done, of twice all users: each is looked at twice. @default none */
  readonly progress?: ((done: number) => void) | undefined
}

/** Returns an item without texts, with its key as title. */
export const nameless = (key: string): Item => ({ key, title: key, description: "", brand: "", categories: [] })

/** Returns the title as MiniOneRec cleans it, or undefined where it drops the item. */
export const miniOneRecTitle = (title: string | undefined): string | undefined => {
  if (title === undefined || title.includes("<span id")) return undefined
  const cleaned = title.replaceAll("&quot;", "\"").replaceAll("&amp;", "&").replaceAll(/^ +| +$/g, "")
    .replaceAll(/^"+|"+$/g, "")
  return [...cleaned].length > 1 && cleaned.split(" ").length <= 20 ? cleaned : undefined
}

/** Groups events by user in order of time; those of user u stand at `starts[u] .. starts[u + 1] - 1`. */
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

/** Builds a data set from the events that pass the filter. */
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
      if (u % 1024 === 0) options.progress?.(u)
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

  // The first event of each user and of each item.
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
    if (number % 1024 === 0) options.progress?.(userKeys.length + number)
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

/** Returns the data set without times, for data whose times were only the order of the file. */
export const withoutTimes = (
  { comparableTimes: _comparable, tieShare: _share, times: _times, ...dataset }: Dataset
): Dataset => dataset

/**
 * Builds the split that came with the data as parts of the events. A target's history holds the user's events of
 * earlier parts and the events before it in its own part. Without a validation part, the last training event of each
 * user with at least three events is a validation target.
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

/** Shuffles, in place, the order of a user's events with equal times; a function of (seed, user). */
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
