/**
 * Lines of text files, plain or gzipped, in constant memory.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { Duplex } from "node:stream"
import { createGunzip } from "node:zlib"
import { CatalogError, Unreadable } from "../CatalogError.ts"

/** Who takes the lines; `number` counts from 1. Line ends (LF or CRLF) and a byte-order mark are not part of a line. */
export interface Consumer {
  line(text: string, number: number): void
  /** A line that is not UTF-8. */
  undecodable(number: number): void
}

const newline = 10

const unreadable = (path: string) => (cause: unknown) => {
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new CatalogError({
    reason: new Unreadable({
      path,
      detail: path.endsWith(".gz") ? `${detail}; the gzip is damaged or cut off, fetch it anew` : detail
    })
  })
}

const bytes = (path: string): Stream.Stream<Uint8Array, CatalogError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const raw = fs.stream(path, { chunkSize: 1 << 20 }).pipe(Stream.mapError(unreadable(path)))
    if (!path.endsWith(".gz")) return raw
    return Stream.fromReadableStream({
      evaluate: () =>
        Stream.toReadableStream(raw).pipeThrough(
          // Not the web's DecompressionStream, which refuses a gzip of several parts.
          Duplex.toWeb(createGunzip({ chunkSize: 1 << 20 })) as ReadableWritablePair<Uint8Array, Uint8Array>
        ),
      onError: unreadable(path)
    })
  }))

/** Splits bytes into lines; `push` takes them as they come, `end` the rest. */
class Splitter {
  #rest: Uint8Array = new Uint8Array(0)
  #number = 0
  readonly #strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  readonly #consumer: Consumer

  constructor(consumer: Consumer) {
    this.#consumer = consumer
  }

  push(chunk: Uint8Array): void {
    const last = chunk.lastIndexOf(newline)
    if (last < 0) {
      this.#rest = joined(this.#rest, chunk)
      return
    }
    const whole = joined(this.#rest, chunk.subarray(0, last))
    this.#rest = chunk.slice(last + 1)
    this.#lines(whole)
  }

  end(): void {
    if (this.#rest.length > 0) this.#lines(this.#rest)
  }

  #lines(whole: Uint8Array): void {
    const text = this.#decode(whole)
    if (text !== undefined) {
      for (const line of text.split("\n")) this.#emit(line)
      return
    }
    for (let from = 0; from <= whole.length;) {
      const at = whole.indexOf(newline, from)
      const to = at < 0 ? whole.length : at
      const line = this.#decode(whole.subarray(from, to))
      if (line === undefined) this.#consumer.undecodable(++this.#number)
      else this.#emit(line)
      from = to + 1
    }
  }

  #decode(part: Uint8Array): string | undefined {
    try {
      return this.#strict.decode(part)
    } catch {
      return undefined
    }
  }

  #emit(line: string): void {
    const from = this.#number++ === 0 && line.startsWith("\ufeff") ? 1 : 0
    this.#consumer.line(line.slice(from, line.endsWith("\r") ? -1 : undefined), this.#number)
  }
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  if (a.length === 0) return b
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

/** Reads a whole file. A gzip that is damaged or cut off fails. */
export const forEach = Effect.fn("TextLines.forEach")(function*(path: string, consumer: Consumer) {
  const splitter = new Splitter(consumer)
  yield* Stream.runForEach(bytes(path), (chunk) => Effect.sync(() => splitter.push(chunk)))
  splitter.end()
})

/** The lines that begin within the first bytes of a file, the last of them perhaps cut off. */
export const head = Effect.fn("TextLines.head")(function*(path: string) {
  const lines: Array<string> = []
  const splitter = new Splitter({ line: (text) => lines.push(text), undecodable: () => {} })
  yield* bytes(path).pipe(Stream.take(1), Stream.runForEach((chunk) => Effect.sync(() => splitter.push(chunk))))
  splitter.end()
  return lines as ReadonlyArray<string>
})

/** A whole file of text. */
export const whole = Effect.fn("TextLines.whole")(function*(path: string) {
  const lines: Array<string> = []
  const bad: Array<number> = []
  yield* forEach(path, { line: (text) => lines.push(text), undecodable: (number) => bad.push(number) })
  return bad.length === 0 ? lines.join("\n") : yield* unreadable(path)(`line ${bad[0]} is not UTF-8`)
})
