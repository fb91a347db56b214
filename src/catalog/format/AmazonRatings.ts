/**
 * Amazon's "ratings only" files without a header: lines of user, item, rating and time (2014), or item first (2018).
 */
import { type TableForm } from "../reader/TableReader.ts"

const isItem = (cell: string): boolean => /^(B0|\d)[\dA-Z]{8,9}$/.test(cell)
const isUser = (cell: string): boolean => /^A[\dA-Z]{8,}$/.test(cell)

/** Returns the layout of such a file from the cells of its first line; undefined for other files. */
export const formOf = ([first, second, rating, time, ...more]: ReadonlyArray<string>): TableForm | undefined => {
  if (first === undefined || second === undefined || rating === undefined || time === undefined) return undefined
  if (more.length > 0 || !/^[1-5](\.0)?$/.test(rating) || !/^\d{9,10}$/.test(time)) return undefined
  if (isUser(first) && isItem(second)) return { columns: ["user_id", "item_id", "rating", "timestamp"], separator: "," }
  if (isItem(first) && isUser(second)) return { columns: ["item_id", "user_id", "rating", "timestamp"], separator: "," }
  return undefined
}
