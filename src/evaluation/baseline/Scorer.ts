/**
 * A model that scores every item of the catalogue for a history.
 */

/** Higher is better. Items with a score of 0 have no evidence for them and are ranked last, together. */
export interface Scorer {
  readonly name: string
  /** N scores; the caller does not change the array. */
  readonly scores: (history: Int32Array, user: number) => Float64Array
}
