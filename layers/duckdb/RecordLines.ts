/**
 * Line numbers of the records of a CSV file: a record may span lines, and DuckDB does not report them.
 */
import { createReadStream } from "node:fs"
import { createGunzip } from "node:zlib"

const newline = 10
const carriageReturn = 13

/**
 * Returns the line numbers, from 1, of the records of the given ascending numbers: the nth record after `skip` lines, blank lines
 * and those that begin at a rejected line left out. Reads no further than it must.
 */
export const of = async (
  { gzip, readable }: { readonly readable: string; readonly gzip: boolean },
  records: ReadonlyArray<number>,
  options: { readonly skip: number; readonly quote: string | undefined; readonly rejected: ReadonlySet<number> }
): Promise<ReadonlyArray<number>> => {
  const mark = options.quote?.charCodeAt(0)
  const found: Array<number> = []
  let line = 1
  let record = -1
  let began = false
  let inQuotes = false
  const raw = createReadStream(readable, { highWaterMark: 1 << 20 })
  const stream = gzip ? raw.pipe(createGunzip()) : raw
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (const byte of chunk) {
      if (byte === newline) {
        line++
        if (!inQuotes) began = false
        continue
      }
      if (!began && byte !== carriageReturn) {
        began = true
        if (line > options.skip && !options.rejected.has(line)) {
          record++
          if (record === records[found.length]) found.push(line)
          if (found.length === records.length) {
            raw.destroy()
            return found
          }
        }
      }
      if (byte === mark) inQuotes = !inQuotes
    }
  }
  return found
}
