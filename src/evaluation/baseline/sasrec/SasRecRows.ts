/**
 * Histories packed into rows, so that few positions are padding.
 */
import * as Random from "../../../statistics/Random.ts"
import { hostInt32, type HostTensor } from "../../../tensor/TensorProgram.ts"

/** Histories packed into rows. */
export interface Rows {
  /** Number of rows, B. */
  readonly rows: number
  /** Positions of a row, T. */
  readonly length: number
  /** Inputs of a network, each [B, T]. */
  readonly inputs: Readonly<Record<"tokens" | "positions" | "segments", HostTensor>>
  /** Flat index into [B, T] of the first position of every history, in the order of the histories. */
  readonly starts: Int32Array
}

/** Packs histories into rows of `length` by first fit, longest first; no history may be longer than a row. */
export const lay = (histories: ReadonlyArray<Int32Array>, length: number, padding: number): Rows => {
  const order = histories.map((_, i) => i).toSorted((a, b) => histories[b]!.length - histories[a]!.length)
  const used: Array<number> = []
  const starts = new Int32Array(histories.length)
  for (const i of order) {
    const need = histories[i]!.length
    const found = used.findIndex((taken) => taken + need <= length)
    const row = found < 0 ? used.push(0) - 1 : found
    starts[i] = row * length + used[row]!
    used[row]! += need
  }
  const size = used.length * length
  const tokens = new Int32Array(size).fill(padding)
  const positions = new Int32Array(size)
  const segments = new Int32Array(size).fill(histories.length)
  for (const [i, items] of histories.entries()) {
    const start = starts[i]!
    tokens.set(items, start)
    segments.fill(i, start, start + items.length)
    for (let at = 0; at < items.length; at++) positions[start + at] = at
  }
  const tensor = (data: Int32Array) => hostInt32(data, used.length, length)
  return {
    rows: used.length,
    length,
    inputs: { tokens: tensor(tokens), positions: tensor(positions), segments: tensor(segments) },
    starts
  }
}

/** Training batch with M targets. */
export interface Batch extends Rows {
  /** Flat indices into [B, T] of the positions with a target, [M]. */
  readonly places: HostTensor
  /** Item that follows each of them, [M]. */
  readonly targets: HostTensor
}

/** Settings of an epoch's batches. */
export interface PlanOptions {
  /** Number of the most recent items of a history that are read. */
  readonly window: number
  /** Approximate number of positions of a batch. */
  readonly positions: number
  readonly padding: number
}

/** Positions of a row; histories are usually much shorter than the window. */
const rowLength = (window: number) => Math.max(64, window)

/**
 * Returns the batches of an epoch: sequences in an order drawn from the key, cut where a batch reaches its positions.
 */
export const plan = (
  sequences: ReadonlyArray<Int32Array>,
  { padding, positions, window }: PlanOptions,
  ...key: ReadonlyArray<number>
): ReadonlyArray<Batch> => {
  const batches: Array<Batch> = []
  let chosen: Array<Int32Array> = []
  let count = 0
  const close = () => {
    if (count === 0) return
    const rows = lay(chosen.map((items) => items.subarray(0, -1)), rowLength(window), padding)
    const places = new Int32Array(count)
    const targets = new Int32Array(count)
    let done = 0
    for (const [i, items] of chosen.entries()) {
      const start = rows.starts[i]!
      for (let at = 1; at < items.length; at++) {
        places[done] = start + at - 1
        targets[done++] = items[at]!
      }
    }
    batches.push({ ...rows, places: hostInt32(places, count), targets: hostInt32(targets, count) })
    chosen = []
    count = 0
  }
  for (const i of Random.permutation(sequences.length, ...key)) {
    const items = sequences[i]!.subarray(-(window + 1))
    if (items.length < 2) continue
    chosen.push(items)
    count += items.length - 1
    if (count >= positions) close()
  }
  close()
  return batches
}
