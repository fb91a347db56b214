/**
 * Embeddings of items from what is bought together: positive pointwise mutual information of windowed co-occurrence,
 * factorised (Levy and Goldberg 2014).
 *
 * Items at positions i < j <= i + window of a training sequence count `decay^(j - i - 1)` for each other. With n(x, y)
 * these counts, `ppmi = max(0, ln(n(x, y) N_s / (n(x) n(y)^s)) - ln shift)` where the contexts' counts are raised to the
 * power s (0.75, Levy et al. 2015) and N_s is their sum; the embedding is `U sqrt(S)` of the leading singular triples.
 * An item without a neighbour gets a row of zeros. Only training sequences are looked at.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Matrix from "./Matrix.ts"
import * as TruncatedSvd from "./TruncatedSvd.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class CollaborativeConfig extends Schema.Class<CollaborativeConfig>("sidereal/embedding/CollaborativeConfig")({
  /** Components, fewer when the events have fewer. @default 96 */
  width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(96))),
  /** Positions between two items that count at most. @default 20 */
  window: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  /** Weight of a pair per position between them. @default 0.9 */
  decay: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.9))),
  /** Power of the contexts' counts. @default 0.75 */
  smoothing: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.75))),
  /** Pairs must be this many times as frequent as chance to count. @default 1 */
  shift: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1)))
}) {}

/** Embeddings [N, D] of items 0 .. N-1. */
export const embed = (
  train: ReadonlyArray<Int32Array>,
  items: number,
  config: CollaborativeConfig,
  seed: number
): Matrix.Matrix => {
  const pairs = Array.from({ length: items }, () => new Map<number, number>())
  const sums = new Float64Array(items)
  const add = (x: number, y: number, weight: number) => {
    pairs[x]!.set(y, (pairs[x]!.get(y) ?? 0) + weight)
    sums[x]! += weight
  }
  for (const sequence of train) {
    for (let i = 0; i < sequence.length; i++) {
      let weight = 1
      for (let j = i + 1; j <= Math.min(i + config.window, sequence.length - 1); j++) {
        if (sequence[i] !== sequence[j]) {
          add(sequence[i]!, sequence[j]!, weight)
          add(sequence[j]!, sequence[i]!, weight)
        }
        weight *= config.decay
      }
    }
  }
  const smoothed = sums.map((sum) => (sum === 0 ? 0 : sum ** config.smoothing))
  const total = smoothed.reduce((a, b) => a + b, 0)
  const shift = Math.log(config.shift)
  const rows = pairs.map((row, x) =>
    [...row].flatMap(([y, count]): ReadonlyArray<readonly [number, number]> => {
      const value = Math.log(count * total / (sums[x]! * smoothed[y]!)) - shift
      return value > 0 ? [[y, value]] : []
    }).toSorted((a, b) => a[0] - b[0])
  )
  const svd = TruncatedSvd.compute(TruncatedSvd.sparse(items, rows), config.width, seed)
  const out = Matrix.zeros(items, Math.max(1, svd.rank))
  for (let i = 0; i < items * svd.rank; i++) out.data[i] = svd.left[i]! * Math.sqrt(svd.values[i % svd.rank]!)
  return out
}
