/**
 * Events as columns of numbers: what every importer makes, ten million of them in some 200 MB.
 */

/** `users[e]`, `items[e]` index the keys; `times[e]` is any number that orders events; rows stand in the file's order. */
export interface EventLog {
  readonly userKeys: ReadonlyArray<string>
  readonly itemKeys: ReadonlyArray<string>
  readonly users: Int32Array
  readonly items: Int32Array
  readonly times: Float64Array
  /** Absent where the source has none; NaN for an event without one. */
  readonly ratings?: Float32Array | undefined
}
