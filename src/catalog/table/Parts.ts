/**
 * Joining of many small parts of a table into few files, because every file has a fixed cost: 1,500 parts take seconds
 * when joined, and most of a minute one by one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import { isUtf8 } from "node:buffer"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type Malformed } from "../Dataset.ts"

/** Largest number of parts that are read without joining. */
const few = 16
/** Largest part that is joined with others, and size of a joined file, in bytes. */
const [small, much] = [2 ** 20, 2 ** 26]

/** Joined files of the parts. */
export interface Joined {
  readonly files: ReadonlyArray<string>
  /** Part of the split of each file. */
  readonly parts: ReadonlyArray<number> | undefined
  /** Returns a row of a joined file with its original file and line. */
  origin(row: Malformed): Malformed
}

/** First line of a part in a joined file; `line` counts from 1. */
interface Piece {
  readonly file: string
  readonly line: number
}

const newline = 10

/** Returns the bytes of a part that can be joined: UTF-8 text, with a line end at its end; undefined for others. */
const plain = (bytes: Uint8Array): Buffer | undefined => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const body = text.subarray(text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf ? 3 : 0)
  const isPlain = isUtf8(body) && !body.includes(0) && body[0] !== 0x1f &&
    (body.includes(newline) || !body.includes(13))
  if (!isPlain || body.length === 0) return undefined
  return body.at(-1) === newline ? body : Buffer.concat([body, Buffer.of(newline)])
}

const lineCount = (text: Uint8Array): number => {
  let count = 0
  for (let at = text.indexOf(newline); at >= 0; at = text.indexOf(newline, at + 1)) count++
  return count
}

/**
 * Joins parts of delimited text with equal header lines, in a folder that is removed with the Scope; undefined where
 * joining saves nothing. A part that is large, compressed or has another header stays a separate file.
 */
export const join: (
  files: ReadonlyArray<string>,
  parts: ReadonlyArray<number> | undefined
) => Effect.Effect<Joined | undefined, CatalogError, FileSystem.FileSystem | Path.Path | Scope.Scope> = Effect.fn(
  "Parts.join"
)(function*(files, parts) {
  if (files.length < few) return undefined
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const failed = (file: string) =>
    Effect.mapError((error: { readonly message: string }) =>
      new CatalogError({ reason: new Unreadable({ path: file, detail: error.message }) })
    )
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "sidereal-parts-" }).pipe(failed("a temporary folder"))
  const joined: Array<string> = []
  const joinedParts: Array<number> = []
  const pieces = new Map<string, ReadonlyArray<Piece>>()
  let header: Buffer | undefined
  let pending: Array<Buffer> = []
  let waiting: Array<Piece> = []
  let [size, line, part] = [0, 2, 0]
  const flush = Effect.fnUntraced(function*() {
    if (header === undefined || waiting.length === 0) return
    const file = path.join(folder, `${joined.length}.csv`)
    yield* fs.writeFile(file, Buffer.concat([header, ...pending])).pipe(failed(file))
    joined.push(file)
    joinedParts.push(part)
    pieces.set(file, waiting)
    pending = []
    waiting = []
    size = 0
    line = 2
  })
  for (const [at, file] of files.entries()) {
    const own = parts?.[at] ?? 0
    if (own !== part) yield* flush()
    part = own
    const info = yield* fs.stat(file).pipe(failed(file))
    const text = info.size > small ? undefined : plain(yield* fs.readFile(file).pipe(failed(file)))
    const first = text?.subarray(0, text.indexOf(newline) + 1)
    if (header === undefined && first !== undefined) header = Buffer.from(first)
    if (text === undefined || first === undefined || !first.equals(header!)) {
      if (info.size === 0n) continue
      yield* flush()
      joined.push(file)
      joinedParts.push(own)
      continue
    }
    const rows = text.subarray(first.length)
    pending.push(rows)
    waiting.push({ file, line })
    line += lineCount(rows)
    size += rows.length
    if (size >= much) yield* flush()
  }
  yield* flush()
  if (2 * joined.length > files.length) return undefined
  return {
    files: joined,
    parts: parts === undefined ? undefined : joinedParts,
    origin: (row) => {
      const piece = pieces.get(row.file)?.findLast(({ line }) => line <= row.line)
      return piece === undefined ? row : { ...row, file: piece.file, line: row.line - piece.line + 2 }
    }
  } satisfies Joined as Joined
})
