import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Artefacts from "../../programs/Artefacts.ts"
import * as Manifest from "../../src/run/Manifest.ts"

const codec = Artefacts.json(Schema.Struct({ value: Schema.Int }))
const name = "thing.json"

const begun = Effect.fnUntraced(function*(folder: string) {
  yield* Manifest.write(folder, {
    version: 1,
    created: "now",
    name: "n",
    seed: 1,
    settings: {},
    versions: {},
    hashes: { code: "c" }
  })
  return folder
})

const inRun = <A, E>(
  use: (run: string) => Effect.Effect<A, E, NodeServices.NodeServices>
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* use(yield* begun(yield* fs.makeTempDirectoryScoped()))
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const open = (run: string, readOnly = false) => Artefacts.make(run, readOnly)

/** A maker that counts how often it is asked. */
const counted = (value: number) => {
  const maker = { made: 0 }
  const make = Effect.sync(() => {
    maker.made++
    return { value }
  })
  return Object.assign(maker, { make })
}

describe("Artefacts", () => {
  it.effect("are made once, kept with their hash, and read by the next process", () =>
    inRun(Effect.fnUntraced(function*(run) {
      const maker = counted(7)
      const first = yield* open(run)
      for (let i = 0; i < 3; i++) assert.deepStrictEqual(yield* first.artefact(name, maker.make, codec), { value: 7 })
      const second = yield* open(run)
      assert.deepStrictEqual(yield* second.artefact(name, maker.make, codec), { value: 7 })
      assert.strictEqual(maker.made, 1)
      assert.deepStrictEqual((yield* Manifest.read(run)).hashes, {
        code: "c",
        [name]: Manifest.hash([readFileSync(join(run, name))])
      })
    })))

  it.effect("have one maker, whoever asks at once; when it is interrupted, the next one makes", () =>
    inRun(Effect.fnUntraced(function*(run) {
      const { artefact } = yield* open(run)
      const begins = yield* Deferred.make<void>()
      const stuck = yield* Effect.forkChild(
        artefact(name, Effect.andThen(Deferred.succeed(begins, undefined), Effect.never), codec)
      )
      yield* Deferred.await(begins)
      const maker = counted(3)
      const others = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 8 }, () => artefact(name, maker.make, codec)), { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      assert.strictEqual(maker.made, 0)
      yield* Fiber.interrupt(stuck)
      assert.deepStrictEqual(yield* Fiber.join(others), Array.from({ length: 8 }, () => ({ value: 3 })))
      assert.strictEqual(maker.made, 1)
      // Another artefact does not wait for this one.
      assert.deepStrictEqual(
        yield* artefact("outer.json", artefact("inner.json", counted(5).make, codec), codec),
        { value: 5 }
      )
    })))

  it.effect("that are damaged are an error with file, both hashes and a remedy that helps", () =>
    inRun(Effect.fnUntraced(function*(run) {
      const file = join(run, name)
      const made = (yield* open(run)).artefact(name, Effect.succeed({ value: 1 }), codec)
      yield* made
      const expected = Manifest.hash([readFileSync(file)])
      for (const content of ["{\"value\":2}", "{\"value\":", ""]) {
        writeFileSync(file, content)
        const error = yield* Effect.flip((yield* open(run)).artefact(name, Effect.succeed({ value: 1 }), codec))
        assert.strictEqual(error.reason._tag, "Corrupt")
        for (const words of [file, expected, Manifest.hash([content]), "delete it and run the command again"]) {
          assert.include(error.message, words)
        }
      }
      rmSync(file)
      assert.deepStrictEqual(
        yield* (yield* open(run)).artefact(name, Effect.succeed({ value: 4 }), codec),
        { value: 4 }
      )
      assert.deepStrictEqual(yield* (yield* open(run)).kept(name, codec, "sft"), { value: 4 })
    })))

  it.effect("without a hash are adopted where their content is valid, and an error where it is not", () =>
    inRun(Effect.fnUntraced(function*(run) {
      const file = join(run, name)
      writeFileSync(file, "{\"value\": 9}")
      const reading = yield* open(run, true)
      assert.deepStrictEqual(yield* reading.artefact(name, Effect.die("not asked"), codec), { value: 9 })
      assert.deepStrictEqual((yield* Manifest.read(run)).hashes, { code: "c" })
      const writing = yield* open(run)
      assert.deepStrictEqual(yield* writing.artefact(name, Effect.die("not asked"), codec), { value: 9 })
      assert.strictEqual((yield* Manifest.read(run)).hashes[name], Manifest.hash([readFileSync(file)]))
      writeFileSync(join(run, "other.json"), "{\"value\": \"x\"}")
      const error = yield* Effect.flip(writing.artefact("other.json", Effect.die("not asked"), codec))
      assert.strictEqual(error.reason._tag, "Corrupt")
      assert.include(
        error.message,
        "other.json is damaged: expected what the run wrote, found content that cannot be read (Expected number at"
      )
    })))

  it.effect("that are not current are made anew; a reader says which command makes what is missing", () =>
    inRun(Effect.fnUntraced(function*(run) {
      const { artefact, keep } = yield* open(run)
      yield* keep(name, { value: 1 }, codec)
      const isCurrent = ({ value }: { readonly value: number }) => value === 2
      assert.deepStrictEqual(yield* artefact(name, Effect.succeed({ value: 2 }), codec, { isCurrent }), { value: 2 })
      assert.deepStrictEqual(yield* (yield* open(run)).kept(name, codec, "sft"), { value: 2 })
      const reading = yield* open(run, true)
      const error = yield* Effect.flip(reading.artefact("absent.json", Effect.die("not asked"), codec))
      assert.strictEqual(error.reason._tag, "NoArtefact")
      const missing = yield* Effect.flip(reading.kept("absent.json", codec, "evaluate"))
      assert.include(missing.message, `run \`sidereal evaluate --run ${run}\` first`)
    })))

  it.effect("stopped before any file operation of a first, a replacing or a remade one, lock nobody out", () =>
    Effect.gen(function*() {
      const real = yield* FileSystem.FileSystem
      const folder = yield* real.makeTempDirectoryScoped()
      let stopped = 0
      for (const start of ["first", "replacing", "deleted"] as const) {
        for (let limit = 0;; limit++) {
          const run = join(folder, `${start}-${limit}`)
          yield* real.makeDirectory(run)
          yield* begun(run)
          if (start !== "first") yield* (yield* open(run)).keep(name, { value: 1 }, codec)
          if (start === "deleted") rmSync(join(run, name))
          let left = limit
          // A process that dies does nothing more at all, not even what it would do on an error.
          const count = <A extends ReadonlyArray<never>, R>(operation: (...args: A) => R) => (...args: A): R =>
            left-- > 0 ? operation(...args) : Effect.fail(PlatformError.systemError({
              _tag: "Unknown",
              module: "FileSystem",
              method: "test",
              description: "the power went out"
            })) as R
          const failing = FileSystem.FileSystem.of({
            ...real,
            open: count(real.open as never) as never,
            rename: count(real.rename as never) as never,
            remove: count(real.remove as never) as never
          })
          const ended = yield* Effect.exit(
            Effect.flatMap(open(run), ({ keep }) => keep(name, { value: 2 }, codec)).pipe(
              Effect.provideService(FileSystem.FileSystem, failing)
            )
          )
          const again = yield* open(run)
          const { value } = yield* again.artefact(name, Effect.succeed({ value: 2 }), codec)
          assert.include(start === "replacing" ? [1, 2] : [2], value, `${start}, stopped at ${limit}`)
          assert.deepStrictEqual(yield* (yield* open(run)).kept(name, codec, "sft"), { value })
          if (ended._tag === "Success") break
          stopped++
        }
      }
      assert.isAbove(stopped, 20)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
