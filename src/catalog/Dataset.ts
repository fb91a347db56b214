/**
 * One data set in memory: items with their texts, users with their events in order of time.
 */

/** What is known of an item; absent fields are empty. */
export interface Item {
  readonly key: string
  readonly title: string
  readonly description: string
  readonly brand: string
  readonly categories: ReadonlyArray<string>
}

/** One thing an importer counted, in the order in which it happened. */
export interface Count {
  readonly step: string
  readonly count: number
}

/** The law by which a generator draws next items: what the best possible model would know. */
export interface Oracle {
  /** Scores of all N items for the next event of a user; higher is more probable. `history` is what came before. */
  readonly scores: (user: number, history: Int32Array) => Float64Array
}

/** Items are numbered 0 .. N-1, users 0 .. U-1; `sequences[u]` holds the items of user u, oldest first. */
export interface Dataset {
  readonly name: string
  readonly items: ReadonlyArray<Item>
  readonly userKeys: ReadonlyArray<string>
  readonly sequences: ReadonlyArray<Int32Array>
  readonly counts: ReadonlyArray<Count>
  readonly oracle?: Oracle | undefined
}

/** Number of events. */
export const events = (dataset: Dataset): number => dataset.sequences.reduce((sum, items) => sum + items.length, 0)
