/**
 * Keys of users and items as texts.
 */

/**
 * Drops the fraction of keys that are all whole numbers with ".0", as a column of numbers with gaps is written: `10.0`
 * in one table is `10` in another. A single key of another kind leaves all as they are.
 */
export const whole = (keys: ReadonlyArray<string>): ReadonlyArray<string> =>
  keys.length > 0 && keys.every((key) => /^-?\d+\.0$/.test(key)) ? keys.map((key) => key.slice(0, -2)) : keys
