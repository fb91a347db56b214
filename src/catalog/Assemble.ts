/**
 * From a list of events to a data set: order, duplicates, k-core, numbering.
 */
import { type Count, type Dataset, type Item } from "./Dataset.ts"

/** One event as a file has it; `time` is any number that orders events. */
export interface RawEvent {
  readonly user: string
  readonly item: string
  readonly time: number
}

/** What to do with the events. */
export interface AssembleOptions {
  /** Users and items with fewer events are dropped until none is left; 0 keeps all. */
  readonly core: number
  /** Keeps the first event of each user and item only. */
  readonly firstOnly: boolean
}

/** An item without a text of its own: its key stands as title. */
export const nameless = (key: string): Item => ({ key, title: key, description: "", brand: "", categories: [] })

/**
 * Builds a data set. Events of equal time keep their order; an event that repeats user, item and time of an earlier one
 * is dropped and counted; items that the items table lacks are kept under their key and counted.
 */
export const assemble = (
  name: string,
  events: ReadonlyArray<RawEvent>,
  items: ReadonlyMap<string, Item>,
  options: AssembleOptions,
  before: ReadonlyArray<Count>
): Dataset => {
  const counts: Array<Count> = [...before]
  const seen = new Set<string>()
  let kept = events.toSorted((a, b) => a.time - b.time).filter(({ item, time, user }) => {
    const key = options.firstOnly ? `${user}\u0000${item}` : `${user}\u0000${item}\u0000${time}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
  counts.push({
    step: options.firstOnly ? "repeats of an item by a user dropped" : "duplicate events dropped",
    count: events.length - kept.length
  })
  if (options.core > 1) {
    let size: number
    do {
      size = kept.length
      const tally = (of: (event: RawEvent) => string) => {
        const numbers = new Map<string, number>()
        for (const event of kept) numbers.set(of(event), (numbers.get(of(event)) ?? 0) + 1)
        return numbers
      }
      const users = tally((event) => event.user)
      kept = kept.filter((event) => users.get(event.user)! >= options.core)
      const goods = tally((event) => event.item)
      kept = kept.filter((event) => goods.get(event.item)! >= options.core)
    } while (kept.length < size)
    counts.push({ step: `events left by the ${options.core}-core`, count: kept.length })
  }
  const itemNumber = new Map<string, number>()
  const userNumber = new Map<string, number>()
  const sequences: Array<Array<number>> = []
  for (const { item, user } of kept) {
    if (!itemNumber.has(item)) itemNumber.set(item, itemNumber.size)
    let number = userNumber.get(user)
    if (number === undefined) {
      number = userNumber.size
      userNumber.set(user, number)
      sequences.push([])
    }
    sequences[number]!.push(itemNumber.get(item)!)
  }
  const unknown = [...itemNumber.keys()].filter((key) => !items.has(key))
  if (items.size > 0) counts.push({ step: "items without an entry in the items table", count: unknown.length })
  return {
    name,
    items: [...itemNumber.keys()].map((key) => items.get(key) ?? nameless(key)),
    userKeys: [...userNumber.keys()],
    sequences: sequences.map((list) => Int32Array.from(list)),
    counts
  }
}
