/**
 * Rows of item positions: a beginning, then one position per item, several sequences packed into each row.
 */
import { hostInt32, type HostTensor } from "../../tensor/TensorProgram.ts"

/** Packed sequences: B `rows` of T `length` positions, row-major. */
export interface ItemRows {
  readonly rows: number
  readonly length: number
  /** Item at each position, [B, T]; the number of items N at the beginning of a sequence and at padding. */
  readonly items: Int32Array
  /** Position within its sequence, [B, T]. */
  readonly positions: Int32Array
  /** Number of the sequence within its row, [B, T]; -1 at padding. */
  readonly segments: Int32Array
  /** Flat index of the first position of each sequence, in the order given. */
  readonly starts: Int32Array
}

/** Length of rows into which shorter sequences are packed. */
export const rowLength = 64

/**
 * Assigns sequences of `lengths` positions to rows of `capacity` positions by first fit in the order given; returns the
 * row and offset of each, and the number of rows.
 */
export const assign = (lengths: ReadonlyArray<number>, capacity: number) => {
  const filled: Array<number> = []
  let open: Array<number> = []
  const places = lengths.map((length) => {
    let row = open.find((candidate) => filled[candidate]! + length <= capacity)
    if (row === undefined) {
      row = filled.length
      filled.push(0)
      open.push(row)
      if (open.length > 48) open = open.slice(1)
    }
    const offset = filled[row]!
    filled[row] = offset + length
    if (filled[row] === capacity) open = open.filter((candidate) => candidate !== row)
    return { row, offset }
  })
  return { places, rows: filled.length }
}

/**
 * Lays out sequences, each as a beginning and its items, at the given places in `rows` rows of `length` positions.
 * `begin` is the number that stands for the beginning.
 */
export const fill = (
  sequences: ReadonlyArray<Int32Array>,
  places: ReadonlyArray<{ readonly row: number; readonly offset: number }>,
  rows: number,
  length: number,
  begin: number
): ItemRows => {
  const items = new Int32Array(rows * length).fill(begin)
  const positions = new Int32Array(rows * length)
  const segments = new Int32Array(rows * length).fill(-1)
  const starts = new Int32Array(sequences.length)
  for (const [s, sequence] of sequences.entries()) {
    const { offset, row } = places[s]!
    const start = row * length + offset
    starts[s] = start
    items.set(sequence, start + 1)
    segments.fill(s, start, start + 1 + sequence.length)
    for (let t = 0; t <= sequence.length; t++) positions[start + t] = t
  }
  return { rows, length, items, positions, segments, starts }
}

/** Packs histories into rows as long as the longest, or of `rowLength` positions if that is longer. */
export const pack = (histories: ReadonlyArray<Int32Array>, begin: number): ItemRows => {
  const lengths = histories.map((history) => 1 + history.length)
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const length = Math.max(Math.min(rowLength, total), ...lengths)
  const { places, rows } = assign(lengths, length)
  return fill(histories, places, rows, length, begin)
}

/** Returns the feeds of the positions of rows. */
export const feeds = ({ items, length, positions, rows, segments }: ItemRows): Record<string, HostTensor> => ({
  items: hostInt32(items, rows, length),
  positions: hostInt32(positions, rows, length),
  segments: hostInt32(segments, rows, length)
})
