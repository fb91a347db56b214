/**
 * Item embeddings from co-occurrence in training sequences: positive pointwise mutual information within a window,
 * factorised (Levy and Goldberg 2014).
 *
 * Items at positions i < j <= i + window of a training sequence count `decay^(j - i - 1)` for each other. With n(x, y)
 * these counts, `ppmi = max(0, ln(n(x, y) N_s / (n(x) n(y)^s)) - ln shift)` where the contexts' counts are raised to the
 * power s (0.75, Levy et al. 2015) and N_s is their sum; the embedding is `U sqrt(S)` of the leading singular triples.
 * An item without a neighbour gets a row of zeros. Only training sequences are read.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Matrix from "../matrix/Matrix.ts"
import * as TruncatedSvd from "../matrix/TruncatedSvd.ts"
import { Progress } from "../run/Progress.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class CollaborativeConfig extends Schema.Class<CollaborativeConfig>("sidereal/embedding/CollaborativeConfig")({
  /** Most components; fewer where the events have lower rank. @default 96 */
  width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(96))),
  /** Largest distance of two items that co-occur, in positions. @default 20 */
  window: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  /** Weight of a pair per position between them. @default 0.9 */
  decay: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.9))
  ),
  /** Exponent s of the contexts' counts. @default 0.75 */
  smoothing: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.75))),
  /** Factor over chance that a pair must exceed to count. @default 1 */
  shift: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Most pairs kept, which bounds memory: an equal share for every item, its most frequent first. @default 2^26 */
  pairs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2 ** 26)))
}) {}

/** Positions of items in all sequences. */
interface Positions {
  /** Items of all sequences, concatenated. */
  readonly items: Int32Array
  /** Sequence of each position. */
  readonly sequence: Int32Array
  /** First position of each sequence, and the number of positions. */
  readonly begin: Int32Array
  /** Returns the positions of an item. */
  readonly of: (item: number) => Int32Array
}

const positionsOf = (train: ReadonlyArray<Int32Array>, items: number): Positions => {
  const begin = new Int32Array(train.length + 1)
  for (const [s, sequence] of train.entries()) begin[s + 1] = begin[s]! + sequence.length
  const all = new Int32Array(begin[train.length]!)
  const sequence = new Int32Array(all.length)
  const first = new Int32Array(items + 1)
  for (const [s, list] of train.entries()) {
    all.set(list, begin[s]!)
    sequence.fill(s, begin[s]!, begin[s + 1]!)
    for (const item of list) first[item + 1]!++
  }
  for (let item = 0; item < items; item++) first[item + 1]! += first[item]!
  const next = first.slice()
  const positions = new Int32Array(all.length)
  for (let at = 0; at < all.length; at++) positions[next[all[at]!]!++] = at
  return { items: all, sequence, begin, of: (item) => positions.subarray(first[item]!, first[item + 1]!) }
}

/** Sorts the first `length` of `met`; where these are many, a pass over all counts is faster than sorting. */
const ascending = (met: Int32Array, length: number, counts: Float64Array): Int32Array => {
  if (16 * length < counts.length) return met.subarray(0, length).toSorted()
  let at = 0
  for (let item = 0; item < counts.length; item++) if (counts[item] !== 0) met[at++] = item
  return met.subarray(0, at)
}

/** Returns the `most` items of greatest count, ascending; ties go to the lower item. */
const mostFrequent = (items: Int32Array, counts: Float64Array, most: number): Int32Array => {
  if (items.length <= most) return items
  const own = new Float64Array(items.length)
  for (let i = 0; i < own.length; i++) own[i] = counts[items[i]!]!
  const sorted = own.toSorted()
  const least = sorted[sorted.length - most]!
  let equal = most
  for (let i = sorted.length - 1; sorted[i]! > least; i--) equal--
  const kept = new Int32Array(most)
  let at = 0
  for (let i = 0; i < own.length; i++) if (own[i]! > least || (own[i] === least && equal-- > 0)) kept[at++] = items[i]!
  return kept
}

/** Computes embeddings [N, D] of items 0 .. N-1. */
export const embed = Effect.fn("Collaborative.embed")(function*(
  train: ReadonlyArray<Int32Array>,
  items: number,
  config: CollaborativeConfig,
  seed: number
): Effect.fn.Return<Matrix.Matrix, never, Progress> {
  const { window } = config
  const weights = new Float64Array(window + 1)
  for (let distance = 1, weight = 1; distance <= window; distance++, weight *= config.decay) weights[distance] = weight
  const sums = new Float64Array(items)
  for (const sequence of train) {
    for (let i = 0; i < sequence.length; i++) {
      for (let j = i + 1; j <= Math.min(i + window, sequence.length - 1); j++) {
        if (sequence[i] === sequence[j]) continue
        sums[sequence[i]!]! += weights[j - i]!
        sums[sequence[j]!]! += weights[j - i]!
      }
    }
  }
  const smoothed = sums.map((sum) => (sum === 0 ? 0 : sum ** config.smoothing))
  const total = smoothed.reduce((a, b) => a + b, 0)
  const shift = Math.log(config.shift)
  const most = Math.max(1, Math.floor(config.pairs / items))
  // One row of counts at a time: all pairs in a table would outgrow memory long before the events do.
  const positions = positionsOf(train, items)
  const counts = new Float64Array(items)
  const met = new Int32Array(items)
  const entries = TruncatedSvd.builder()
  const tracker = (yield* Progress).start("bought together", items, "items")
  for (let x = 0; x < items; x++) {
    if (x % 256 === 255) {
      tracker.update(x)
      yield* Effect.yieldNow
    }
    let length = 0
    for (const p of positions.of(x)) {
      const s = positions.sequence[p]!
      const last = Math.min(positions.begin[s + 1]! - 1, p + window)
      for (let j = Math.max(positions.begin[s]!, p - window); j <= last; j++) {
        const y = positions.items[j]!
        const weight = weights[Math.abs(j - p)]!
        if (y === x || weight === 0) continue
        if (counts[y] === 0) met[length++] = y
        counts[y]! += weight
      }
    }
    for (const y of mostFrequent(ascending(met, length, counts), counts, most)) {
      const value = Math.log(counts[y]! * total / (sums[x]! * smoothed[y]!)) - shift
      if (value > 0) entries.add(y, value)
    }
    for (let i = 0; i < length; i++) counts[met[i]!] = 0
    entries.endRow()
  }
  tracker.finish()
  const svd = yield* TruncatedSvd.compute("factors of pairs", entries.finish(items), config.width, seed)
  const out = Matrix.zeros(items, Math.max(1, svd.rank))
  for (let i = 0; i < items * svd.rank; i++) out.data[i] = svd.left[i]! * Math.sqrt(svd.values[i % svd.rank]!)
  return out
})
