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

/** A row that could not be used, as the file has it. */
export interface Malformed {
  readonly file: string
  /** From 1; 0 where the line is not known. */
  readonly line: number
  readonly problem: string
  readonly value: string
}

/** A prediction to be made: what came after a history. */
export interface Example {
  readonly user: number
  readonly history: Int32Array
  /** Milliseconds since 1970 of the history's events [H], where the data have them. */
  readonly times?: Float64Array | undefined
  readonly target: number
}

/** A split that came with the data. */
export interface GivenSplit {
  /** Training sequences, oldest item first. */
  readonly train: ReadonlyArray<Int32Array>
  readonly validation: ReadonlyArray<Example>
  readonly test: ReadonlyArray<Example>
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
  /** Times of the events, where they are known. */
  readonly times?: ReadonlyArray<Float64Array> | undefined
  /** Whether times of different users can be compared. */
  readonly comparableTimes?: boolean | undefined
  /** Share of neighbouring events of a user that have the same time, where times are known. */
  readonly tieShare?: number | undefined
  /** The first rows that could not be used; how many there were of a kind is counted. */
  readonly malformed?: ReadonlyArray<Malformed> | undefined
  readonly split?: GivenSplit | undefined
  /** Remarks of the import for people: which files were read as what, and what was not recognised. */
  readonly notes?: ReadonlyArray<string> | undefined
  /** Paths of the files that were read, where the format tells them. */
  readonly sources?: ReadonlyArray<string> | undefined
  readonly oracle?: Oracle | undefined
}

/** Number of events. */
export const events = (dataset: Dataset): number => dataset.sequences.reduce((sum, items) => sum + items.length, 0)
