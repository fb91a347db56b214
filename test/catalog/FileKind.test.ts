import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { gzipSync } from "node:zlib"
import * as FileKind from "../../src/catalog/reader/FileKind.ts"
import { utf16, written } from "./Written.ts"

const latin1 = (text: string) => Buffer.from(text, "latin1")
const table = "user_id,item_id\nu1,i1\nu2,i2\n"
const named = (extra: string) => `user_id,item_id,title\nu1,i1,${extra}\n`
/** Bytes that begin a file of some format, and more that is no text. */
const begins = (mark: string) => Buffer.concat([latin1(mark), Buffer.from([0, 1, 2, 200, 3, 0, 0, 9])])
const tar = () => {
  const block = Buffer.alloc(1024)
  block.write("events.csv", 0)
  block.write("ustar", 257)
  return block
}

const kind = (name: string, content: string | Uint8Array, encoding?: string) =>
  written(name, content).pipe(Effect.flatMap((file) => FileKind.of(file, encoding)))

/** Content that is no table: by its first bytes what it is and a word of the remedy. */
const others: Readonly<Record<string, readonly [content: string | Uint8Array, remedy: string]>> = {
  "a zip archive": [begins("PK\u0003\u0004"), "unpack"],
  "an Excel workbook": [begins("PK\u0003\u0004\u0014\u0000\u0006\u0000[Content_Types].xml"), "CSV"],
  "an OpenDocument spreadsheet": [
    begins("PK\u0003\u0004\u0014mimetypeapplication/vnd.oasis.opendocument.spreadsheet"),
    "CSV"
  ],
  "a Word document": [begins("PK\u0003\u0004\u0014[Content_Types].xml....word/document.xml"), "CSV"],
  "an archive of NumPy arrays (npz)": [begins("PK\u0003\u0004\u0014arr_0.npy"), "Python"],
  "an Excel workbook of the old format (xls)": [begins("\u00d0\u00cf\u0011\u00e0\u00a1\u00b1\u001a\u00e1"), "CSV"],
  "a bzip2 file": [begins("BZh91AY&SY"), "bunzip2"],
  "an xz file": [begins("\u00fd7zXZ\u0000"), "unxz"],
  "a zstd file": [begins("\u0028\u00b5\u002f\u00fd"), "unzstd"],
  "an lz4 file": [begins("\u0004\u0022\u004d\u0018"), "unlz4"],
  "a 7z archive": [begins("7z\u00bc\u00af\u0027\u001c"), "unpack"],
  "a rar archive": [begins("Rar!\u001a\u0007"), "unpack"],
  "a tar archive": [tar(), "unpack"],
  "an Arrow or Feather file": [begins("ARROW1"), "to_parquet"],
  "an ORC file": [begins("ORC"), "to_parquet"],
  "an Avro file": [begins("Obj\u0001"), "Parquet"],
  "an HDF5 file": [begins("\u0089HDF\r\n\u001a\n"), "pandas"],
  "an SQLite database": [begins("SQLite format 3\u0000"), "sqlite3"],
  "a NumPy array (npy)": [begins("\u0093NUMPY"), "pandas"],
  "a Python pickle": [begins("\u0080\u0004\u0095"), "pandas"],
  "a PDF document": [begins("%PDF-1.7\n"), "download"],
  "a picture": [begins("\u0089PNG\r\n\u001a\n"), "download"],
  "an HTML page": ["\n<!DOCTYPE html>\n<html><body>Not found</body></html>\n", "download"],
  "an XML file": ["<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "download"],
  "a Git LFS pointer instead of the file": [
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "git lfs pull"
  ],
  "a gzip within a gzip": [gzipSync(gzipSync(table)), "gunzip"],
  "text in UTF-32": [
    Buffer.concat([Buffer.from([0xff, 0xfe, 0, 0]), Buffer.from("a\u0000,\u0000b\u0000\n\u0000", "utf16le")]),
    "UTF-8"
  ],
  "binary data (zero bytes)": [Buffer.alloc(4096), "table"],
  "binary data": [Buffer.from(Array.from({ length: 900 }, (_, i) => 1 + (i * 37) % 255)), "table"]
}

/** Texts: what they are read as. */
const texts: Readonly<
  Record<
    string,
    readonly [content: string | Uint8Array, found: Partial<FileKind.FileKind>, encoding?: string | undefined]
  >
> = {
  "plain text": [table, { encoding: "utf-8", bom: 0, lineEnd: "\n", what: "text", notes: [] }],
  "a byte-order mark": [`\ufeff${table}`, { encoding: "utf-8", bom: 3, notes: [] }],
  "CRLF": [table.replaceAll("\n", "\r\n"), { lineEnd: "\r\n" }],
  "CR alone": [table.replaceAll("\n", "\r"), { lineEnd: "\r" }],
  "one line that ends in CR": ["user_id,item_id\r", { lineEnd: "\r" }],
  "LF here and CRLF there": [table.replace("\n", "\r\n"), { lineEnd: "mixed" }],
  "no line end": ["user_id", { lineEnd: "none" }],
  "a CR within, LF beyond the beginning": [`a\rb${"x".repeat(FileKind.headSize)}\n`, { lineEnd: "none" }],
  "UTF-16 with its mark": [utf16(table, "le", true), { encoding: "utf-16le", bom: 2, lineEnd: "\n" }],
  "big-endian UTF-16 with its mark": [utf16(table, "be", true), { encoding: "utf-16be", bom: 2 }],
  "UTF-16 without a mark": [utf16(table, "le", false), { encoding: "utf-16le", bom: 0 }],
  "big-endian UTF-16 without a mark": [utf16(table, "be", false), { encoding: "utf-16be" }],
  "UTF-16 with Japanese": [utf16(named("世界の本").repeat(3), "le", false), { encoding: "utf-16le" }],
  "accents in latin-1": [latin1(named("Jos\u00e9 M\u00fcller")), { encoding: "windows-1252" }],
  "typographic marks of windows-1252": [
    latin1(named("don\u0092t \u0096 \u0093yes\u0094 \u0080 5")),
    { encoding: "windows-1252" }
  ],
  "latin-1 that begins after a megabyte": [
    Buffer.concat([Buffer.from(table.repeat(60_000)), latin1("caf\u00e9,\u00e0\n")]),
    { encoding: "windows-1252" }
  ],
  "a single odd byte": [latin1(named("caf\u00e9")), { encoding: "utf-8", notes: [] }],
  "odd bytes that are no letters": [latin1(named("\u00ff \u00fe \u00ff")), { encoding: "utf-8" }],
  "odd bytes beside UTF-8": [
    Buffer.concat([Buffer.from(named("caf\u00e9")), latin1("u2,i2,caf\u00e9 \u00e0 l\u00e0\n")]),
    { encoding: "utf-8" }
  ],
  "UTF-8 with a character over the border of a piece": [
    `${"x".repeat((1 << 20) - 2)}\u20ac,\u00e9\n`,
    { encoding: "utf-8", notes: [] }
  ],
  "an encoding that is given": [latin1("\u00ef\u00f0\n"), { encoding: "windows-1251" }, "cp1251"],
  "Python's name of an encoding": [latin1("caf\u00e9\n"), { encoding: "windows-1252" }, "latin-1"],
  "a given encoding, and a mark that says otherwise": [
    utf16(table, "be", true),
    { encoding: "utf-16be" },
    "latin_1"
  ],
  "a header that begins as a mark does": ["ORC,PAR1\na,b\n", { encoding: "utf-8", what: "text" }]
}

describe("FileKind", () => {
  for (const [what, [content, remedy]] of Object.entries(others)) {
    it.effect(`${what}, plain and gzipped, whatever the name`, () =>
      Effect.gen(function*() {
        for (const name of ["events.csv", "events.csv.gz", "events.parquet"]) {
          const file = yield* written(name, content)
          const plain = yield* FileKind.of(file)
          assert.deepStrictEqual([plain.content, plain.what], ["other", what])
          const { message } = FileKind.refuse(file, plain)
          assert.include(message, file)
          assert.include(message, `it is ${what}`)
          assert.include(message.slice(message.indexOf(";")), remedy)
        }
        if (what.includes("gzip")) return
        const file = yield* written("events.csv.gz", gzipSync(content))
        const packed = yield* FileKind.of(file)
        assert.deepStrictEqual([packed.packed, packed.content], ["gzip", "other"])
        assert.include(packed.what, `gzipped ${what.replace(/^an? /, "")}`)
        assert.include(FileKind.refuse(file, packed).message, remedy)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  for (const [what, [content, found, encoding]] of Object.entries(texts)) {
    it.effect(`${what}, plain and gzipped`, () =>
      Effect.gen(function*() {
        const plain = yield* kind("events.csv", content, encoding)
        assert.deepInclude(plain, { content: "text", packed: undefined, ...found })
        const packed = yield* kind("events.csv.gz", gzipSync(content), encoding)
        const notes = plain.notes.map((note) => note.replace("events.csv", "events.csv.gz"))
        assert.deepStrictEqual(packed, { ...plain, packed: "gzip", what: "gzipped text", notes })
        assert.strictEqual(plain.notes.length > 0, plain.encoding !== "utf-8")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  it.effect("where name and content differ, a note says so", () =>
    Effect.gen(function*() {
      const plain = yield* kind("events.csv.gz", table)
      assert.deepStrictEqual(plain.notes, ["events.csv.gz is plain text, not gzip; read as such"])
      const packed = yield* kind("events.csv", gzipSync(table))
      assert.include(packed.notes.join(), "events.csv is gzip")
      const parquet = yield* kind("events.csv", begins("PAR1"))
      assert.strictEqual(parquet.content, "parquet")
      assert.include(parquet.notes.join(), "Parquet")
      assert.deepStrictEqual((yield* kind("events.parquet", begins("PAR1"))).notes, [])
      assert.include((yield* kind("events.parquet", table)).notes.join(), "not Parquet")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("text in an encoding that cannot be told asks for its name", () =>
    Effect.gen(function*() {
      // Cyrillic words in windows-1251.
      const found = yield* kind("events.csv", latin1(named("\u00ef\u00f0\u00e8\u00e2\u00e5\u00f2 \u00ec\u00e8\u00f0")))
      assert.strictEqual(found.encoding, "utf-8")
      assert.include(found.notes.join(), "\"encoding\"")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("empty files, folders, links that lead nowhere, files that are not there", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      assert.strictEqual((yield* kind("e.csv", "")).content, "empty")
      assert.strictEqual((yield* kind("e.csv.gz", "")).content, "empty")
      assert.strictEqual((yield* kind("e.csv.gz", gzipSync(""))).content, "empty")
      const folder = yield* fs.makeTempDirectoryScoped()
      assert.include(FileKind.refuse(folder, yield* FileKind.of(folder)).message, "a folder")
      const link = path.join(folder, "e.csv")
      yield* fs.symlink(path.join(folder, "gone.csv"), link)
      assert.include(FileKind.refuse(link, yield* FileKind.of(link)).message, "a link to a missing file")
      const gone = yield* Effect.flip(FileKind.of(path.join(folder, "none.csv")))
      assert.include(gone.message, "there is no such file")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("a gzip that is cut off or damaged fails and says so, never with nothing", () =>
    Effect.gen(function*() {
      const whole = gzipSync(Array.from({ length: 50_000 }, (_, i) => `u${(i * 7919) % 999},i${i}`).join("\n"))
      const flipped = Buffer.from(whole)
      flipped[whole.length >> 1]! ^= 0xff
      for (
        const content of [whole.subarray(0, whole.length >> 1), whole.subarray(0, -4), flipped, whole.subarray(0, 5)]
      ) {
        const error = yield* Effect.flip(kind("e.csv.gz", content))
        assert.match(error.message, /e\.csv\.gz: \w.*; the gzip is damaged or cut off, download it again$/)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("zero bytes: a few are text with a note, a file that ends in them is not written to its end", () =>
    Effect.gen(function*() {
      const few = yield* kind("e.csv", `${table}u3,i\u0000x\n${table.repeat(100)}`)
      assert.strictEqual(few.content, "text")
      assert.include(few.notes.join(), "1 zero byte")
      const file = yield* written("e.csv", Buffer.concat([Buffer.from(table.repeat(4000)), Buffer.alloc(100_000)]))
      const zeroed = yield* FileKind.of(file)
      assert.strictEqual(zeroed.content, "other")
      assert.include(FileKind.refuse(file, zeroed).message, "download it again")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("an encoding that nobody knows is told with those that are", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(kind("e.csv", table, "klingon"))
      assert.include(error.message, "\"klingon\"")
      assert.include(error.message, "windows-1252")
      for (
        const name of ["UTF-8", "utf_8", "utf-8-sig", "cp1252", "ISO-8859-15", "Shift_JIS", "cp932", "GBK", "big5"]
      ) {
        yield* FileKind.encodingOf("e.csv", name)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
