/**
 * Log of events as columns of numbers, the output of every importer; ten million events take about 200 MB.
 */

/**
 * A log of E events in the order of the file. `users` and `items`, [E], are indices into the keys; `times`, [E], are
 * numbers that order the events.
 */
export interface EventLog {
  readonly userKeys: ReadonlyArray<string>
  readonly itemKeys: ReadonlyArray<string>
  readonly users: Int32Array
  readonly items: Int32Array
  readonly times: Float64Array
  /** Ratings [E], NaN for an event without one; absent where the source has none. */
  readonly ratings?: Float64Array | undefined
}

/** Builder of a log, event by event. */
export interface EventLogBuilder {
  add(user: string, item: string, time: number, rating?: number): void
  readonly size: number
  build(): EventLog
}

/**
 * Makes an empty builder; keys are numbered in the order of their first event.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Assemble from "sidereal/catalog/Assemble"
 * import * as EventLog from "sidereal/catalog/EventLog"
 *
 * const log = EventLog.builder()
 * log.add("ann", "tea", Date.UTC(2026, 0, 2))
 * log.add("ann", "cup", Date.UTC(2026, 0, 1))
 * log.add("bob", "tea", Date.UTC(2026, 0, 3))
 * const dataset = Assemble.assemble("shop", log.build(), new Map(), {
 *   filter: Assemble.noFilter,
 *   seed: 1,
 *   core: 0,
 *   firstOnly: false,
 *   before: []
 * })
 * assert.deepEqual(dataset.items.map(({ key }) => key), ["cup", "tea"])
 * assert.deepEqual(dataset.sequences.map((items) => Array.from(items)), [[0, 1], [1]])
 * ```
 */
export const builder = (): EventLogBuilder => {
  const userNumber = new Map<string, number>()
  const itemNumber = new Map<string, number>()
  let capacity = 1024
  let size = 0
  let users = new Int32Array(capacity)
  let items = new Int32Array(capacity)
  let times = new Float64Array(capacity)
  let ratings: Float64Array | undefined
  const grow = <A extends Int32Array | Float64Array>(array: A, larger: A): A => {
    larger.set(array)
    return larger
  }
  const numberOf = (map: Map<string, number>, key: string): number => {
    const known = map.get(key)
    if (known !== undefined) return known
    map.set(key, map.size)
    return map.size - 1
  }
  return {
    add: (user, item, time, rating) => {
      if (size === capacity) {
        capacity *= 2
        users = grow(users, new Int32Array(capacity))
        items = grow(items, new Int32Array(capacity))
        times = grow(times, new Float64Array(capacity))
        if (ratings !== undefined) ratings = grow(ratings, new Float64Array(capacity))
      }
      users[size] = numberOf(userNumber, user)
      items[size] = numberOf(itemNumber, item)
      times[size] = time
      if (rating !== undefined) {
        ratings ??= new Float64Array(capacity).fill(Number.NaN)
        ratings[size] = rating
      }
      size++
    },
    get size() {
      return size
    },
    build: () => ({
      userKeys: [...userNumber.keys()],
      itemKeys: [...itemNumber.keys()],
      users: users.subarray(0, size),
      items: items.subarray(0, size),
      times: times.subarray(0, size),
      ratings: ratings?.subarray(0, size)
    })
  }
}

/** Concatenates logs; `starts` holds the index of the first event of each log, then the number of all events. */
export const concatenate = (
  logs: ReadonlyArray<EventLog>
): { readonly log: EventLog; readonly starts: ReadonlyArray<number> } => {
  const starts = [0]
  for (const log of logs) starts.push(starts.at(-1)! + log.users.length)
  if (logs.length === 1) return { log: logs[0]!, starts }
  const total = starts.at(-1)!
  const [users, items, times] = [new Int32Array(total), new Int32Array(total), new Float64Array(total)]
  const rated = logs.some(({ ratings }) => ratings !== undefined)
  const ratings = rated ? new Float64Array(total).fill(Number.NaN) : undefined
  const [userNumber, itemNumber] = [new Map<string, number>(), new Map<string, number>()]
  const renumbered = (keys: ReadonlyArray<string>, numbers: Map<string, number>): Int32Array =>
    Int32Array.from(keys, (key) => {
      const known = numbers.get(key)
      if (known !== undefined) return known
      numbers.set(key, numbers.size)
      return numbers.size - 1
    })
  for (const [l, log] of logs.entries()) {
    const [ofUser, ofItem] = [renumbered(log.userKeys, userNumber), renumbered(log.itemKeys, itemNumber)]
    const start = starts[l]!
    for (let e = 0; e < log.users.length; e++) {
      users[start + e] = ofUser[log.users[e]!]!
      items[start + e] = ofItem[log.items[e]!]!
    }
    times.set(log.times, start)
    if (log.ratings !== undefined) ratings!.set(log.ratings, start)
  }
  return {
    log: { userKeys: [...userNumber.keys()], itemKeys: [...itemNumber.keys()], users, items, times, ratings },
    starts
  }
}

/** Sets the times of a log's events; events with time NaN are dropped. */
export const timed = (log: EventLog, times: Float64Array): EventLog => {
  const kept = Int32Array.from(times.keys()).filter((e) => !Number.isNaN(times[e]!))
  if (kept.length === times.length) return { ...log, times }
  const { ratings } = log
  return {
    ...log,
    users: kept.map((e) => log.users[e]!),
    items: kept.map((e) => log.items[e]!),
    times: Float64Array.from(kept, (e) => times[e]!),
    ratings: ratings === undefined ? undefined : Float64Array.from(kept, (e) => ratings[e]!)
  }
}
