/**
 * Random numbers as a function of integer keys, independent of the order of calls at different sites.
 */

/** Hashes integers such as (seed, step, site) to a 32-bit key with the MurmurHash3 finaliser. */
export const key = (...parts: ReadonlyArray<number>): number => {
  let hash = 0x2545_f491
  for (const part of parts) {
    hash = Math.imul(hash ^ Math.imul(part | 0, 0x9e37_79b1), 0x85eb_ca6b)
    hash ^= hash >>> 15
    hash = Math.imul(hash, 0xc2b2_ae35)
    hash ^= hash >>> 13
  }
  return hash >>> 0
}

/**
 * Returns a generator of uniform numbers in [0, 1) for a key: a counter hashed by the MurmurHash3 finaliser.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Random from "sidereal/statistics/Random"
 *
 * const [seed, step] = [1, 7]
 * const next = Random.uniform(seed, step)
 * const again = Random.uniform(seed, step)
 * assert.deepEqual([next(), next()], [again(), again()])
 * ```
 */
export const uniform = (...keys: ReadonlyArray<number>): () => number => {
  const seed = key(...keys)
  let counter = 0
  return () => {
    let x = (seed ^ Math.imul(++counter, 0x9e37_79b1)) >>> 0
    x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35)
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32
  }
}

/** Returns a generator of standard normal numbers for a key, by the Box-Muller transform. */
export const normal = (...keys: ReadonlyArray<number>): () => number => {
  const next = uniform(...keys)
  let spare: number | undefined
  return () => {
    if (spare !== undefined) {
      const value = spare
      spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - next()))
    const angle = 2 * Math.PI * next()
    spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
}

/** Returns the numbers 0 .. count-1 in an order drawn from the key. */
export const permutation = (count: number, ...keys: ReadonlyArray<number>): Int32Array => {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  const next = uniform(...keys)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const held = order[i]!
    order[i] = order[j]!
    order[j] = held
  }
  return order
}
