/**
 * Reader of lines from text files in constant memory, for any compression, encoding and line ends.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { type CatalogError } from "../CatalogError.ts"
import * as FileBytes from "./FileBytes.ts"
import * as FileKind from "./FileKind.ts"

/** Receiver of lines; `number` counts from 1. Line ends and byte-order marks are not part of a line. */
export interface Consumer {
  line(text: string, number: number): void
  /** Receives a line with invalid bytes, which are U+FFFD in `text`. */
  undecodable(number: number, text: string): void
}

/** Options of reading. */
export interface Options {
  /** Name of the encoding. @default detected from the content */
  readonly encoding?: string | undefined
}

const newline = 10
const mark = "\ufeff"
const longest = 1 << 28
const replacement = "\ufffd"

const joined = (parts: ReadonlyArray<Uint8Array>, last: Uint8Array): Uint8Array =>
  parts.length === 0 ? last : Buffer.concat([...parts, last])

/** Decodes bytes leniently; "" where they exceed the maximum length of a string. */
const lenient = (bytes: Uint8Array): string => bytes.length > longest ? "" : decoderOf("utf-8").decode(bytes)

const decoderOf = (encoding: FileKind.Encoding) => new TextDecoder(encoding, { ignoreBOM: true })

/** Splitter of bytes into lines. */
class Splitter {
  readonly #consumer: Consumer
  #number = 0
  /** Parts of a line of UTF-8, which is split before it is decoded, so that invalid bytes affect only their line. */
  #parts: Array<Uint8Array> = []
  readonly #strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  /** Decoder of another encoding; undefined while the text is read as UTF-8. */
  #decoder: ReturnType<typeof decoderOf> | undefined
  #rest = ""
  #lineEnd: string
  #settled: boolean

  constructor(consumer: Consumer, kind: FileKind.FileKind, settled: boolean) {
    this.#consumer = consumer
    this.#lineEnd = kind.lineEnd === "\r" ? "\r" : "\n"
    this.#settled = settled
    if (kind.encoding !== "utf-8" || this.#lineEnd === "\r") this.settle(kind.encoding)
  }

  /** Sets the encoding of the remaining bytes. */
  settle(encoding: FileKind.Encoding): void {
    this.#settled = true
    if (encoding === "utf-8" && this.#lineEnd === "\n") return
    const decoder = decoderOf(encoding)
    this.#decoder = decoder
    this.#rest = this.#parts.map((part) => decoder.decode(part, { stream: true })).join("")
    this.#parts = []
  }

  /** Splits the next bytes; returns false, without reading them, where the encoding has to be detected first. */
  push(chunk: Uint8Array): boolean {
    if (this.#decoder !== undefined) {
      this.#split(this.#decoder.decode(chunk, { stream: true }))
      return true
    }
    const last = chunk.lastIndexOf(newline)
    if (last < 0) {
      this.#parts.push(chunk)
      return true
    }
    const whole = joined(this.#parts, chunk.subarray(0, last))
    if (!this.#lines(whole)) return false
    this.#parts = last + 1 < chunk.length ? [chunk.slice(last + 1)] : []
    return true
  }

  /** Ends the last line; returns false in the same case as `push`. */
  end(): boolean {
    if (this.#decoder !== undefined) {
      this.#rest += this.#decoder.decode()
      if (this.#rest !== "") this.#text(this.#rest)
      this.#rest = ""
      return true
    }
    const whole = joined(this.#parts, new Uint8Array(0))
    if (whole.length > 0 && !this.#lines(whole)) return false
    this.#parts = []
    return true
  }

  #split(text: string): void {
    const last = text.lastIndexOf(this.#lineEnd)
    if (last < 0) {
      this.#rest += text
      return
    }
    const whole = this.#rest + text.slice(0, last)
    this.#rest = text.slice(last + 1)
    for (const line of whole.split(this.#lineEnd)) this.#text(line)
  }

  #text(line: string): void {
    if (line.includes(replacement)) this.#consumer.undecodable(++this.#number, line)
    else this.#emit(line)
  }

  #lines(whole: Uint8Array): boolean {
    const text = this.#decode(whole)
    if (text !== undefined) {
      for (const line of text.split("\n")) this.#emit(line)
      return true
    }
    if (!this.#settled) return false
    for (let from = 0; from <= whole.length;) {
      const at = whole.indexOf(newline, from)
      const to = at < 0 ? whole.length : at
      const bytes = whole.subarray(from, to)
      const line = this.#decode(bytes)
      if (line === undefined) this.#consumer.undecodable(++this.#number, lenient(bytes))
      else this.#emit(line)
      from = to + 1
    }
    return true
  }

  #decode(part: Uint8Array): string | undefined {
    try {
      return this.#strict.decode(part)
    } catch {
      return undefined
    }
  }

  #emit(line: string): void {
    // Concatenated files have byte-order marks in the middle.
    const from = line.startsWith(mark) ? 1 : 0
    this.#number++
    const to = line.endsWith("\r") ? -1 : undefined
    this.#consumer.line(from === 0 && to === undefined ? line : line.slice(from, to), this.#number)
  }
}

/** Returns the kind of a text file; fails for other files. */
const textKind = Effect.fnUntraced(function*(path: string, encoding: string | undefined) {
  const kind = yield* FileKind.peek(path, encoding)
  if (kind.content === "other" || kind.content === "parquet") return yield* FileKind.refuse(path, kind)
  // Only the whole file shows whether it has no LF.
  return kind.lineEnd === "\r" ? yield* FileKind.of(path, encoding) : kind
})

const run = Effect.fnUntraced(function*(
  path: string,
  consumer: Consumer,
  { encoding }: Options,
  limit: number | undefined,
  after: Effect.Effect<void, CatalogError> | undefined
) {
  const kind = yield* textKind(path, encoding)
  const splitter = new Splitter(consumer, kind, encoding !== undefined)
  const settle = Effect.map(FileKind.of(path, encoding), (found) => splitter.settle(found.encoding))
  const take = (step: () => boolean) =>
    Effect.suspend(() => step() ? Effect.void : Effect.andThen(settle, Effect.sync(step))).pipe(
      Effect.andThen(after ?? Effect.void)
    )
  const bytes = FileBytes.stream(path, kind.packed)
  yield* Stream.runForEach(
    limit === undefined ? bytes : Stream.take(bytes, limit),
    (chunk) => take(() => splitter.push(chunk))
  )
  yield* take(() => splitter.end())
})

/** Calls the consumer with every line of a file; fails for a gzip that is damaged or cut off, and for other content. */
export const forEach: (
  path: string,
  consumer: Consumer,
  options?: Options
) => Effect.Effect<void, CatalogError, FileSystem.FileSystem> = Effect.fn("TextLines.forEach")(
  (path, consumer, options = {}) => run(path, consumer, options, undefined, undefined)
)

/** Returns the lines that begin within the first 64 KiB of a file; the last one may be cut off. */
export const head: (
  path: string,
  options?: Options
) => Effect.Effect<ReadonlyArray<string>, CatalogError, FileSystem.FileSystem> = Effect.fn("TextLines.head")(
  function*(path, options = {}) {
    const lines: Array<string> = []
    yield* run(path, { line: (text) => lines.push(text), undecodable: () => {} }, options, 1, undefined)
    return lines
  }
)

/** Reads a whole file as text; fails for invalid bytes. */
export const whole: (
  path: string,
  options?: Options
) => Effect.Effect<string, CatalogError, FileSystem.FileSystem> = Effect.fn("TextLines.whole")(
  function*(path, options = {}) {
    const lines: Array<string> = []
    const bad: Array<number> = []
    yield* forEach(path, { line: (text) => lines.push(text), undecodable: (number) => bad.push(number) }, options)
    return bad.length === 0 ? lines.join("\n") : yield* FileBytes.unreadable(path, `line ${bad[0]} is not UTF-8`)
  }
)

const sequence = Buffer.from(replacement)

const count = (text: string | Buffer, part: string | Buffer): number => {
  let found = 0
  for (let at = text.indexOf(part as string); at >= 0; at = text.indexOf(part as string, at + 1)) found++
  return found
}

/**
 * Calls `take` with the text of a file piece by piece, with LF as line end, until it returns false. Invalid bytes
 * become U+FFFD; `isSound` says that a piece has none.
 */
export const pieces: (
  path: string,
  take: (text: string, isSound: boolean) => boolean,
  options?: Options
) => Effect.Effect<void, CatalogError, FileSystem.FileSystem> = Effect.fn("TextLines.pieces")(
  function*(path, take, { encoding } = {}) {
    const { content, packed, ...kind } = yield* textKind(path, encoding)
    if (content === "empty") return
    const settled = kind.encoding !== "utf-8" || encoding !== undefined ? kind : yield* FileKind.of(path, encoding)
    const decoder = new TextDecoder(settled.encoding)
    let goesOn = true
    const give = (text: string, bytes: Uint8Array) => {
      const odd = count(text, replacement)
      const isSound = odd === 0 || (settled.encoding === "utf-8" && odd === count(Buffer.from(bytes), sequence))
      goesOn = take(
        settled.lineEnd === "\r"
          ? text.replaceAll("\r", "\n")
          : text.includes("\r")
          ? text.replaceAll("\r\n", "\n")
          : text,
        isSound
      )
      return goesOn
    }
    yield* Stream.runForEachWhile(
      FileBytes.stream(path, packed),
      (chunk) => Effect.sync(() => give(decoder.decode(chunk, { stream: true }), chunk))
    )
    const rest = decoder.decode()
    if (goesOn && rest !== "") give(rest, new Uint8Array(0))
  }
)

/** A byte that is invalid in UTF-8, so that a reader of the transcoded file rejects the row too. */
const odd = Buffer.from([0xff])

/**
 * Writes a text as UTF-8 with LF as line end into `target`. Line n becomes line n, rewritten by `each`; rows with
 * invalid bytes stay invalid.
 */
export const transcode: (
  path: string,
  target: string,
  options?: Options & { readonly each?: ((line: string) => string) | undefined }
) => Effect.Effect<void, CatalogError, FileSystem.FileSystem> = Effect.fn("TextLines.transcode")(
  function*(path, target, { each = (line: string) => line, ...options } = {}) {
    const fs = yield* FileSystem.FileSystem
    const failed = Effect.mapError(FileBytes.refused(target))
    const file = yield* fs.open(target, { flag: "w" }).pipe(failed)
    let lines: Array<string | Uint8Array> = []
    const flush = Effect.suspend(() => {
      const text = lines
      lines = []
      return text.length === 0 ? Effect.void : failed(file.writeAll(bytesOf(text)))
    })
    yield* run(
      path,
      {
        line: (text) => lines.push(each(text)),
        undecodable: (_, text) =>
          lines.push(
            Buffer.concat(
              text.split(replacement).flatMap((part, at) => (at === 0 ? [] : [odd]).concat(Buffer.from(part)))
            )
          )
      },
      options,
      undefined,
      flush
    )
  },
  Effect.scoped
)

/** Encodes lines, with a line end after each. */
const bytesOf = (lines: ReadonlyArray<string | Uint8Array>): Uint8Array =>
  lines.every((line) => typeof line === "string")
    ? Buffer.from(`${lines.join("\n")}\n`)
    : Buffer.concat(lines.flatMap((line) => [typeof line === "string" ? Buffer.from(line) : line, Buffer.from("\n")]))
