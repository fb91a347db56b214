/**
 * Percentile bootstrap intervals of means over users; users are drawn with replacement.
 */
import * as Random from "./Random.ts"

/** Lower and upper bound of an interval. */
export type Interval = readonly [number, number]

/** Resamples per interval. */
export const defaultResamples = 2000

/**
 * Computes 95 % intervals of the means of several metrics over the same users, all from the same resamples.
 *
 * Users are grouped by their values first, and only the number of draws per group is sampled.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Bootstrap from "sidereal/statistics/Bootstrap"
 *
 * const hits = Float64Array.from({ length: 400 }, (_, user) => user % 4 === 0 ? 1 : 0)
 * const [interval] = Bootstrap.intervals([hits], 1)
 * const [low, high] = interval!
 * assert.ok(low > 0.2 && low < 0.25 && high > 0.25 && high < 0.3)
 * ```
 */
export const intervals = (
  metrics: ReadonlyArray<Float64Array>,
  seed: number,
  resamples = defaultResamples
): ReadonlyArray<Interval> => {
  const users = metrics[0]?.length ?? 0
  if (users === 0) return metrics.map(() => [0, 0])
  const next = Random.uniform(seed, 0xb007)
  const informative = Int32Array.from({ length: users }, (_, u) => u).filter((u) =>
    metrics.some((values) => values[u] !== 0)
  )
  const means = metrics.map(() => new Float64Array(resamples))
  const share = informative.length / users
  // The values of a user are neighbours, since a resample reads users in random order.
  const width = metrics.length
  const values = new Float64Array(informative.length * width)
  for (const [i, u] of informative.entries()) for (let m = 0; m < width; m++) values[i * width + m] = metrics[m]![u]!
  const sums = new Float64Array(width)
  for (let r = 0; r < resamples; r++) {
    const drawn = binomial(users, share, next)
    sums.fill(0)
    for (let i = 0; i < drawn; i++) {
      const at = Math.floor(next() * informative.length) * width
      for (let m = 0; m < width; m++) sums[m] = sums[m]! + values[at + m]!
    }
    for (let m = 0; m < width; m++) means[m]![r] = sums[m]! / users
  }
  return means.map((values) => {
    const sorted = values.toSorted()
    const at = (q: number) => sorted[Math.min(resamples - 1, Math.max(0, Math.round(q * (resamples - 1))))]!
    return [at(0.025), at(0.975)]
  })
}

/** Draws from a binomial distribution; by a normal approximation where its variance is above 100. */
const binomial = (count: number, share: number, next: () => number): number => {
  if (share <= 0) return 0
  if (share >= 1) return count
  const variance = count * share * (1 - share)
  if (variance > 100) {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
    return Math.min(count, Math.max(0, Math.round(count * share + normal * Math.sqrt(variance))))
  }
  let successes = 0
  for (let i = 0; i < count; i++) if (next() < share) successes++
  return successes
}

/** Computes the 95 % interval of the mean difference `a - b` of paired values. */
export const pairedInterval = (a: Float64Array, b: Float64Array, seed: number): Interval =>
  intervals([a.map((value, user) => value - b[user]!)], seed)[0]!
