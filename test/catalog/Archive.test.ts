import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { CatalogError } from "../../src/catalog/CatalogError.ts"
import { Archive } from "../../src/catalog/reader/Archive.ts"
import { services } from "./Importing.ts"

/** An archive that `tar` and `xz` made: LZMA2 with a dictionary, CRC64. */
const packed = Buffer.from(
  "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AlhdADIYS5n8FIHDUxuZdqJIeFoypbsrEEOJaAwwfY+taVbN/u8noYdlKCyZkvE9" +
    "k2KgqYuLc2Ge37FxosumqcM+Pw6qsb04H6xy3YaJrQBAHo6QSUGqQeLAbGKp0/tCT66nmPKXPJxNcpiFog5CjlvcdF4sDiFhXhMR" +
    "NoXpTF0CYKKgPa0OSadjaZYmiwncBiPUazhEHg7x0QbvVuHYx8MkLMHE8/6bB9j70kmWlzdLv8PXIdzLWIl4qZsN90F4wTqSpLOn" +
    "z2CAuP/yoqcIODnvJ3fwQMciMLMw7WN5yTEpXJP1dqPh97tQmxk9ZbS5bNvqytVuFTlJNvENAFeMqWPUhvuFNZouiKcLkcpZu8pp" +
    "C53uClVFplwLekcss43N4XZWHMjLlc1ul4khUq9CAzViY73ZKdMuzWnGKyoUAk7yl1NjW5sdqjgNmMwII+hGcvMtI4o/oYXUHSPx" +
    "8IPu4/dj65Hon2cFQnrL03amk0Uxw6CQ0IA15yhGsMg4xDx8GkQtx6atFpxIB5hPoS+kg1fWv6DJkvRtjSxhyGGqP/xXXHm0HllB" +
    "fFXdmLAQDpczDqsZlMf2HBrLtc3EL3UhRiFJgfdAFALA4mwRGHEpCHK9Iry8wjXRvE88YZnztC7NNBqANw29W1y8fWUdrpdwX5JX" +
    "Y+6IGb1C5aspGzQAIKm19ht/mxX5n+ruUELcN8966ypicv6xrTO7H679OYI6lYcO/1gPf5a56FAwTxB6Z2Yq98HpyD70LJ1Tqv5j" +
    "GS/o5O/eIyLb0dymMoP4J+TpH2FivFngrl2F4ptsyAAbvFncfv4o2AAB9ASAUAAAmbEzObHEZ/sCAAAAAARZWg==",
  "base64"
)

const sum = (bytes: Uint8Array) => {
  const out = Buffer.alloc(4)
  out.writeUInt32LE(crc32(bytes))
  return out
}

const number = (value: number): ReadonlyArray<number> =>
  value < 128 ? [value] : [value % 128 + 128, ...number(Math.floor(value / 128))]

/** An xz stream with the bytes as they are, in stored LZMA2 chunks, and a CRC32. */
const stored = (bytes: Uint8Array): Buffer => {
  const chunks = Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, k) => {
    const part = bytes.subarray(k * 65_536, (k + 1) * 65_536)
    return Buffer.from([k === 0 ? 1 : 2, (part.length - 1) >> 8, (part.length - 1) & 255, ...part])
  })
  const flags = Buffer.from([0, 1])
  const header = Buffer.from([2, 0, 0x21, 1, 16, 0, 0, 0])
  const block = Buffer.concat([header, sum(header), ...chunks, Buffer.of(0)])
  const padding = Buffer.alloc((4 - block.length % 4) % 4)
  const records = Buffer.from([0, 1, ...number(block.length + 4), ...number(bytes.length)])
  const index = Buffer.concat([records, Buffer.alloc((4 - records.length % 4) % 4)])
  const size = Buffer.alloc(4)
  size.writeUInt32LE((index.length + 4) / 4 - 1)
  const end = Buffer.concat([size, flags])
  return Buffer.concat([
    Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
    flags,
    sum(flags),
    block,
    padding,
    sum(bytes),
    index,
    sum(index),
    sum(end),
    end,
    Buffer.from("YZ")
  ])
}

const tar = (files: Readonly<Record<string, string | Uint8Array>>) =>
  Stream.fromIterable(Object.entries(files)).pipe(
    Stream.map(([name, content]) => Tar.file(name, content)),
    Stream.pipeThroughChannel(Tar.encode()),
    Stream.mkUint8Array
  )

/** Unpacks bytes as a file; returns the contents by name and the folder. */
const unpacking = (bytes: Uint8Array) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const file = join(yield* fs.makeTempDirectoryScoped(), "a.tar.xz")
    yield* fs.writeFile(file, bytes)
    const folder = yield* (yield* Archive).unpackTarXz(file)
    const names = (readdirSync(folder, { recursive: true }) as Array<string>).toSorted()
    const files = names.filter((name) => statSync(join(folder, name)).isFile())
    return { folder, files: Object.fromEntries(files.map((name) => [name, readFileSync(join(folder, name))])) }
  }).pipe(Effect.scoped)

const refused = (bytes: Uint8Array) =>
  Effect.map(Effect.flip(unpacking(bytes)), (error) => {
    assert.instanceOf(error, CatalogError)
    assert.strictEqual(error.reason._tag, "DamagedArchive")
    return error.message
  })

const provided = <A, E>(effect: Effect.Effect<A, E, Archive | FileSystem.FileSystem>) =>
  effect.pipe(Effect.provide(services))

describe("archives", () => {
  it.live("what tar and xz packed comes out as it was", () =>
    provided(Effect.gen(function*() {
      const { files, folder } = yield* unpacking(packed)
      assert.deepStrictEqual(Object.keys(files), ["days/2010-12-01.csv", "days/2010-12-02.csv"])
      assert.strictEqual(String(files["days/2010-12-01.csv"]), "InvoiceNo,StockCode\n1,85123A\n")
      const lines = Array.from({ length: 300 }, (_, k) => `${k + 1},8512${(k + 1) % 7}\n`)
      assert.strictEqual(String(files["days/2010-12-02.csv"]), lines.join(""))
      assert.isFalse(existsSync(folder))
    })))

  it.live("large, empty, deep and long-named files are whole", () =>
    provided(Effect.gen(function*() {
      const large = Uint8Array.from({ length: 3_000_001 }, (_, k) => (k * 2_654_435_761) >>> 24)
      const given = {
        "large.csv": large,
        "empty.csv": "",
        "a/b/c/d.csv": "d",
        [`${"long".repeat(60)}.csv`]: "name",
        "Größe.csv": "ß"
      }
      const { files } = yield* unpacking(stored(yield* tar(given)))
      assert.deepStrictEqual(Object.keys(files), Object.keys(given).toSorted())
      for (const [name, content] of Object.entries(given)) {
        assert.isTrue(Buffer.from(content as string).equals(files[name]!), name)
      }
    })))

  it.live("cut short anywhere or changed in any byte, it is refused by name", () =>
    provided(Effect.gen(function*() {
      for (let length = 0; length < packed.length; length += 3) {
        assert.match(yield* refused(packed.subarray(0, length)), /a\.tar\.xz: .*; copy or download it again/)
      }
      const whole = yield* unpacking(packed)
      let read = 0
      for (let at = 0; at < packed.length; at++) {
        const changed = Buffer.from(packed)
        changed[at] = changed[at]! ^ 0x10
        const outcome = yield* Effect.result(unpacking(changed))
        if (Result.isFailure(outcome)) assert.strictEqual(outcome.failure.reason?._tag, "DamagedArchive", `byte ${at}`)
        else {
          read++
          assert.deepStrictEqual(outcome.success.files, whole.files)
        }
      }
      // LZMA's first byte has no meaning.
      assert.isAtMost(read, 1)
      assert.include(yield* refused(Buffer.from("InvoiceNo,StockCode\n")), "it is not an xz file")
      assert.include(yield* refused(packed.subarray(0, 200)), "it ends too early")
      assert.match(yield* refused(stored(Buffer.alloc(1024, 7))), /header/)
      // Failures leave nothing behind that would stop the next one.
      assert.strictEqual(Object.keys((yield* unpacking(packed)).files).length, 2)
    })), 240_000)

  it.live("an archive in several xz streams, padded, is read to its end", () =>
    provided(Effect.gen(function*() {
      const bytes = yield* tar({ "a.csv": "a".repeat(5000), "b.csv": "b".repeat(5000) })
      const parts = [bytes.subarray(0, 3000), bytes.subarray(3000, 7000), bytes.subarray(7000)].map(stored)
      const { files } = yield* unpacking(Buffer.concat([...parts, Buffer.alloc(8)]))
      assert.deepStrictEqual(Object.values(files).map(String), ["a".repeat(5000), "b".repeat(5000)])
      assert.include(yield* refused(Buffer.concat([...parts, Buffer.alloc(80, 9)])), "it is not an xz file")
    })))

  it.live("a file outside the archive's folder is refused", () =>
    provided(Effect.gen(function*() {
      for (const name of ["../outside.csv", "days/../../outside.csv"]) {
        assert.include(yield* refused(stored(yield* tar({ [name]: "x" }))), name)
      }
    })))

  it.live("a file that is not there is unreadable, not damaged", () =>
    provided(
      Effect.gen(function*() {
        const error = yield* Effect.flip((yield* Archive).unpackTarXz("/nowhere/a.tar.xz"))
        assert.strictEqual(error.reason._tag, "Unreadable")
        assert.include(error.message, "/nowhere/a.tar.xz")
      }).pipe(Effect.scoped)
    ))

  it.live("an interrupted unpacking leaves no folder and does not stop the next one", () =>
    provided(Effect.gen(function*() {
      const large = stored(yield* tar({ "large.csv": Buffer.alloc(60_000_000, 7) }))
      const fiber = yield* Effect.forkChild(unpacking(large))
      yield* Effect.sleep("30 millis")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.strictEqual(Object.keys((yield* unpacking(packed)).files).length, 2)
    })))
})
