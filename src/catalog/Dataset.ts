/**
 * Data set in memory: items with their texts, and users with their events in order of time.
 */

/** An item with its texts; missing texts are "", missing categories []. */
export interface Item {
  /** Identifier in the source data. */
  readonly key: string
  readonly title: string
  readonly description: string
  readonly brand: string
  /** Categories; the last one counts as the finest. */
  readonly categories: ReadonlyArray<string>
}

/** One count of an importer, in the order of its steps. */
export interface Count {
  readonly step: string
  readonly count: number
}

/** A malformed row, with the value in the file. */
export interface Malformed {
  readonly file: string
  /** Line number from 1; 0 where it is not known. */
  readonly line: number
  readonly problem: string
  readonly value: string
}

/** An example for prediction: a history and its target, the item that followed. */
export interface Example {
  readonly user: number
  readonly history: Int32Array
  /** Milliseconds since 1970 of the history's events [H], where the data have them. */
  readonly times?: Float64Array | undefined
  readonly target: number
}

/** Split that came with the data. */
export interface GivenSplit {
  /** Training sequences, oldest item first. */
  readonly train: ReadonlyArray<Int32Array>
  readonly validation: ReadonlyArray<Example>
  readonly test: ReadonlyArray<Example>
}

/** Distribution from which a generator draws next items: the best possible model. */
export interface Oracle {
  /** Returns the scores [N] of all items as the next event of a user after `history`; higher is more probable. */
  readonly scores: (user: number, history: Int32Array) => Float64Array
}

/** A data set: items 0 .. N-1, users 0 .. U-1; `sequences[u]` holds the items of user u, oldest first. */
export interface Dataset {
  readonly name: string
  readonly items: ReadonlyArray<Item>
  readonly userKeys: ReadonlyArray<string>
  readonly sequences: ReadonlyArray<Int32Array>
  readonly counts: ReadonlyArray<Count>
  /**
   * Times of the events, as `sequences`: `times[u]` belongs to `sequences[u]`, ascending. Milliseconds since 1970 where
   * the data have dates, else the numbers of the file. Absent where times are not known.
   */
  readonly times?: ReadonlyArray<Float64Array> | undefined
  /** Whether times of different users are comparable. @default true where times are known */
  readonly comparableTimes?: boolean | undefined
  /** Share, 0 to 1, of consecutive events of a user with equal times; absent where times are not known. */
  readonly tieShare?: number | undefined
  /** First malformed rows of each file; `counts` has the number of each kind. */
  readonly malformed?: ReadonlyArray<Malformed> | undefined
  readonly split?: GivenSplit | undefined
  /** Remarks of the import: the format of each file read, and the files not recognised. */
  readonly notes?: ReadonlyArray<string> | undefined
  /** Paths of the files read, where the format records them. */
  readonly sources?: ReadonlyArray<string> | undefined
  readonly oracle?: Oracle | undefined
}

/** Returns the number of events. */
export const events = (dataset: Dataset): number => dataset.sequences.reduce((sum, items) => sum + items.length, 0)
