/**
 * Normalisation of user and item keys.
 */

/**
 * Removes ".0" from keys if all of them are whole numbers with ".0", as pandas writes a column with missing numbers, so
 * that `10.0` in one table matches `10` in another. If any key differs, all are returned unchanged.
 */
export const whole = (keys: ReadonlyArray<string>): ReadonlyArray<string> =>
  keys.length > 0 && keys.every((key) => /^-?\d+\.0$/.test(key)) ? keys.map((key) => key.slice(0, -2)) : keys
