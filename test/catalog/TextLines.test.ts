import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { gzipSync } from "node:zlib"
import * as TextLines from "../../src/catalog/reader/TextLines.ts"
import { utf16, written } from "./Written.ts"

const latin1 = (text: string) => Buffer.from(text, "latin1")
const lines = ["user_id,item_id", "u1,caf\u00e9 \u00e0 la \u00f1", "", "u2, x ", "u3,y"]
const text = `${lines.join("\n")}\n`

/** Lines of a file with those that hold odd bytes marked. */
const read = (file: string, options?: TextLines.Options) =>
  Effect.gen(function*() {
    const found: Array<string> = []
    const add = (line: string, number: number) => found[number - 1] = line
    yield* TextLines.forEach(file, { line: add, undecodable: (number) => add("odd", number) }, options)
    return found
  })

const ends: Readonly<Record<string, (text: string) => string>> = {
  LF: (text) => text,
  CRLF: (text) => text.replaceAll("\n", "\r\n"),
  CR: (text) => text.replaceAll("\n", "\r"),
  "no end at the end": (text) => text.trimEnd(),
  "LF and CRLF": (text) => text.replace("\n", "\r\n")
}

const encodings: Readonly<Record<string, (text: string) => Buffer>> = {
  "UTF-8": (text) => Buffer.from(text),
  "UTF-8 with a mark": (text) => Buffer.from(`\ufeff${text}`),
  "UTF-16": (text) => utf16(text, "le", true),
  "big-endian UTF-16": (text) => utf16(text, "be", true),
  "UTF-16 without a mark": (text) => utf16(text, "le", false),
  "latin-1": latin1
}

describe("TextLines", () => {
  for (const [encoding, encoded] of Object.entries(encodings)) {
    for (const [end, ended] of Object.entries(ends)) {
      it.effect(`${encoding}, ${end}: forEach, head, whole, pieces and transcode agree`, () =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          for (const pack of [(bytes: Buffer) => bytes, gzipSync]) {
            const file = yield* written("e.csv", pack(encoded(ended(text))))
            assert.deepStrictEqual(yield* read(file), lines)
            assert.deepStrictEqual(yield* TextLines.head(file), lines)
            assert.strictEqual(yield* TextLines.whole(file), lines.join("\n"))
            let pieces = ""
            yield* TextLines.pieces(file, (piece, isSound) => {
              assert.isTrue(isSound)
              pieces += piece
              return true
            })
            assert.strictEqual(pieces.trimEnd(), text.trimEnd())
            const target = `${file}.utf8`
            yield* TextLines.transcode(file, target)
            assert.strictEqual(yield* fs.readFileString(target), text)
          }
        }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
    }
  }

  it.effect("an encoding that is given, also one of several bytes", () =>
    Effect.gen(function*() {
      const japanese = yield* written("e.csv", Buffer.from([0x82, 0xb1, 0x2c, 0x83, 0x5c, 0x0a, 0x61, 0x0a]))
      assert.deepStrictEqual(yield* read(japanese, { encoding: "shift_jis" }), ["\u3053,\u30bd", "a"])
      const cyrillic = yield* written("e.csv", latin1("\u00ef\u00f0\n"))
      assert.deepStrictEqual(yield* read(cyrillic, { encoding: "cp1251" }), ["\u043f\u0440"])
      const one = yield* written("e.csv", latin1("caf\u00e9\n"))
      assert.deepStrictEqual(yield* read(one, { encoding: "latin-1" }), ["caf\u00e9"])
      assert.deepStrictEqual(yield* read(one), ["odd"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("odd bytes cost their line alone; transcoded, they are odd still", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* written(
        "e.csv",
        Buffer.concat([Buffer.from("\u20ac,\ufffd\n"), latin1("caf\u00e9,1\n"), Buffer.from("b\nc")])
      )
      assert.deepStrictEqual(yield* read(file), ["\u20ac,\ufffd", "odd", "b", "c"])
      assert.include((yield* Effect.flip(TextLines.whole(file))).message, "line 2 is not UTF-8")
      const half = utf16("a\nb?c\nd\n", "le", true)
      half.writeUInt16LE(0xd800, half.indexOf("?"))
      const wide = yield* written("w.csv", half)
      assert.deepStrictEqual(yield* read(wide), ["a", "odd", "d"])
      yield* TextLines.transcode(wide, `${wide}.utf8`)
      assert.deepStrictEqual(
        [...yield* fs.readFile(`${wide}.utf8`)],
        [...Buffer.from("a\nb"), 0xff, ...Buffer.from("c\nd\n")]
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("lines of many pieces, and latin-1 that shows only far within", () =>
    Effect.gen(function*() {
      const rows = Array.from({ length: 200_000 }, (_, i) => `u${i},item number ${i}`)
      rows[5] = "x".repeat(3 << 20)
      rows[150_000] = "caf\u00e9"
      rows[199_999] = "\u00c9t\u00e9"
      for (const [encode, pack] of [[latin1, (bytes: Buffer) => bytes], [Buffer.from, gzipSync]] as const) {
        const file = yield* written("e.csv", pack(encode(`${rows.join("\n")}\n`)))
        assert.deepStrictEqual(yield* read(file), rows)
        yield* TextLines.transcode(file, `${file}.utf8`)
        assert.deepStrictEqual(yield* read(`${file}.utf8`), rows)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("a CR within a line stays where LF ends lines", () =>
    Effect.gen(function*() {
      const file = yield* written("e.csv", "a\rb\nc\n")
      assert.deepStrictEqual(yield* read(file), ["a\rb", "c"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("what is no text is refused, empty files have no lines, plain text may be called .gz", () =>
    Effect.gen(function*() {
      const zip = yield* written("e.csv.gz", latin1("PK\u0003\u0004\u0014\u0000rest"))
      for (const step of [read(zip), TextLines.head(zip), TextLines.whole(zip), TextLines.transcode(zip, `${zip}.x`)]) {
        assert.include(
          (yield* Effect.flip(step as Effect.Effect<unknown, Error, FileSystem.FileSystem>)).message,
          "a zip archive"
        )
      }
      assert.deepStrictEqual(yield* read(yield* written("e.csv.gz", "")), [])
      assert.deepStrictEqual(yield* read(yield* written("e.csv.gz", "a\nb")), ["a", "b"])
      const cut = yield* written("e.csv.gz", gzipSync(text).subarray(0, -6))
      assert.match((yield* Effect.flip(read(cut))).message, /: \w.*; the gzip is damaged or cut off, download it again/)
      const target = yield* written("there", "")
      const error = yield* Effect.flip(TextLines.transcode(cut.replace("e.csv", "none"), target))
      assert.include(error.message, "there is no such file")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
