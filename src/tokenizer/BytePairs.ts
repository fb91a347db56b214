/**
 * Byte pair encoding of one piece: of all neighbouring pairs with a merge, the one of the lowest rank is merged first,
 * the leftmost of equal ones, until none is left (Sennrich et al. 2016).
 */

/** Merges of a tokenizer. */
export interface Merges {
  /** Rank of each pair of token ids, by `pair`. */
  readonly ranks: ReadonlyMap<number, number>
  /** Token id that the merge of each rank makes. */
  readonly results: Int32Array
}

/** Least number above every token id. */
export const mostTokens = 2 ** 26

/** Returns the key of a pair of token ids. */
export const pair = (left: number, right: number): number => left * mostTokens + right

/** Ranks and positions in one number: entries of the queue compare by rank, then by position. */
const positions = 2 ** 28

const push = (heap: Array<number>, value: number): void => {
  let at = heap.length
  heap.push(value)
  while (at > 0) {
    const up = (at - 1) >> 1
    if (heap[up]! <= value) break
    heap[at] = heap[up]!
    at = up
  }
  heap[at] = value
}

const pop = (heap: Array<number>): number => {
  const top = heap[0]!
  const last = heap.pop()!
  const size = heap.length
  if (size === 0) return top
  let at = 0
  for (;;) {
    let down = 2 * at + 1
    if (down >= size) break
    if (down + 1 < size && heap[down + 1]! < heap[down]!) down++
    if (heap[down]! >= last) break
    heap[at] = heap[down]!
    at = down
  }
  heap[at] = last
  return top
}

/** Merges the token ids of a piece's bytes; returns the ids of the piece. */
export const merge = ({ ranks, results }: Merges, symbols: ReadonlyArray<number>): ReadonlyArray<number> => {
  const size = symbols.length
  if (size < 2) return symbols
  const ids = Int32Array.from(symbols)
  const next = Int32Array.from({ length: size }, (_, i) => i + 1)
  const previous = Int32Array.from({ length: size }, (_, i) => i - 1)
  const queue: Array<number> = []
  const offer = (at: number) => {
    if (at < 0 || next[at]! >= size) return
    const rank = ranks.get(pair(ids[at]!, ids[next[at]!]!))
    if (rank !== undefined) push(queue, rank * positions + at)
  }
  for (let i = 0; i + 1 < size; i++) offer(i)
  while (queue.length > 0) {
    const entry = pop(queue)
    const at = entry % positions
    const rank = (entry - at) / positions
    // An entry is stale when one of its two symbols has been merged meanwhile.
    const right = next[at]!
    if (ids[at]! < 0 || right >= size || ranks.get(pair(ids[at]!, ids[right]!)) !== rank) continue
    ids[at] = results[rank]!
    ids[right] = -1
    next[at] = next[right]!
    if (next[at]! < size) previous[next[at]!] = at
    offer(previous[at]!)
    offer(at)
  }
  const merged: Array<number> = []
  for (let at = 0; at < size; at = next[at]!) merged.push(ids[at]!)
  return merged
}
