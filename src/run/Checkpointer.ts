/**
 * Checkpoints whose content is verified by length and sha256; incomplete ones are ignored.
 *
 * A checkpoint is a folder `checkpoints/<kind>-<step>` with `tensors.safetensors`, `meta.json` and `commit.json`. It is
 * written under a temporary name, every file flushed, the commit with the length and hash of each file last, and then
 * renamed. The commit also says whether the checkpoint was the best of its kind when it was written, so latest and best
 * are read from the same committed folders and are consistent after a crash at any point.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { type PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Safetensors from "../storage/Safetensors.ts"
import * as Durable from "./Durable.ts"
import { Corrupt, RunError } from "./RunError.ts"

/** A checkpoint: tensors by name and JSON metadata. */
export interface Checkpoint {
  /** Phase of training: `sft` or `grpo`. */
  readonly kind: string
  readonly step: number
  readonly tensors: ReadonlyMap<string, Safetensors.StoredTensor>
  readonly meta: Readonly<Record<string, unknown>>
}

/** A checkpoint to be written; `best` says whether it is the best of its kind so far. */
export interface NewCheckpoint extends Checkpoint {
  readonly best: boolean
}

/**
 * Store of the checkpoints of a run.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import { Checkpointer } from "sidereal/run/Checkpointer"
 *
 * const program = Effect.gen(function*() {
 *   const checkpoints = yield* Checkpointer
 *   for (const [step, best] of [[10, true], [20, false], [30, false]] as const) {
 *     yield* checkpoints.save({ kind: "sft", step, best, tensors: new Map(), meta: {} })
 *   }
 *   return [(yield* checkpoints.best("sft"))!.step, (yield* checkpoints.latest("sft"))!.step]
 * })
 * assert.deepEqual(await Effect.runPromise(program.pipe(Effect.provide(Checkpointer.layerMemory))), [10, 30])
 * ```
 */
export class Checkpointer extends Context.Service<Checkpointer, {
  /** Writes a checkpoint, uninterruptibly, whose tensors may change afterwards, then removes those of its kind that are neither the best nor the latest. */
  save(checkpoint: NewCheckpoint): Effect.Effect<void, RunError>
  /** Returns the newest complete checkpoint of a kind; undefined if there is none. */
  latest(kind: string): Effect.Effect<Checkpoint | undefined, RunError>
  /**
   * Returns the best complete checkpoint of a kind, undefined if there is none; fails with `Corrupt` if it was changed.
   */
  best(kind: string): Effect.Effect<Checkpoint | undefined, RunError>
}>()("sidereal/run/Checkpointer") {
  /** Provides checkpoints under `<run>/checkpoints`. */
  static readonly layer = (
    run: string
  ): Layer.Layer<Checkpointer, never, FileSystem.FileSystem | Path.Path> => Layer.effect(Checkpointer, make(run))

  /** Provides checkpoints in memory. */
  static readonly layerMemory: Layer.Layer<Checkpointer> = Layer.sync(Checkpointer, () => {
    const latest = new Map<string, Checkpoint>()
    const best = new Map<string, Checkpoint>()
    return Checkpointer.of({
      save: (checkpoint) =>
        Effect.sync(() => {
          const tensors = new Map(
            [...checkpoint.tensors].map((
              [name, { data, dtype, shape }]
            ) => [name, { dtype, shape, data: data.slice() }])
          )
          latest.set(checkpoint.kind, { ...checkpoint, tensors })
          if (checkpoint.best) best.set(checkpoint.kind, { ...checkpoint, tensors })
        }),
      latest: (kind) => Effect.sync(() => latest.get(kind)),
      best: (kind) => Effect.sync(() => best.get(kind))
    })
  })
}

/** Files of a checkpoint; a folder without the first one is not a checkpoint. */
const fileNames = ["commit.json", "meta.json", "tensors.safetensors"]

/** Content of `commit.json`: the length and hash of each file. */
const Commit = Schema.Struct({
  version: Schema.Literal(1),
  /** Whether it was the best of its kind when written; older versions used a file `best-<kind>.json` instead. */
  best: Schema.optionalKey(Schema.Boolean),
  files: Schema.Record(Schema.String, Schema.Struct({ bytes: Schema.Int, sha256: Schema.String }))
})

/** Latest and best checkpoint of a phase, read without their tensors. */
export interface Summary {
  readonly latest: { readonly step: number; readonly meta: Readonly<Record<string, unknown>> } | undefined
  /** Step of the best checkpoint. */
  readonly best: number | undefined
}

const rootOf = Effect.map(Path.Path, (path) => (run: string) => path.join(run, "checkpoints"))

const stepsOf = Effect.fnUntraced(function*(root: string, kind: string) {
  const fs = yield* FileSystem.FileSystem
  const names = yield* fs.readDirectory(root).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed<Array<string>>([])),
    Effect.mapError(Durable.storage("list", root))
  )
  return names.flatMap((name) => {
    const match = /^(.+)-(\d+)$/.exec(name)
    return match !== null && match[1] === kind ? [Number(match[2])] : []
  }).toSorted((a, b) => b - a)
})

/** Parses JSON read from a file. */
const parsed = (file: string, bytes: Uint8Array) =>
  Effect.try({
    try: () => JSON.parse(Buffer.from(bytes).toString("utf8")) as unknown,
    catch: (cause) =>
      new RunError({ reason: new Corrupt({ file, expected: "JSON", found: String((cause as Error).message) }) })
  })

/** Reads the commit of a checkpoint; undefined where there is none, as in a folder that is being removed. */
const commitOf = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const file = (yield* Path.Path).join(folder, "commit.json")
  const bytes = yield* fs.readFile(file).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined),
    Effect.mapError(Durable.storage("read", file))
  )
  return bytes === undefined ? undefined : yield* Schema.decodeUnknownEffect(Commit)(yield* parsed(file, bytes)).pipe(
    Effect.mapError(({ message }) =>
      new RunError({ reason: new Corrupt({ file, expected: "the commit of a checkpoint", found: message }) })
    )
  )
})

/** Returns the step of the best checkpoint below a step: the last one that was the best when it was written. */
const bestStepOf = Effect.fnUntraced(function*(root: string, kind: string, below = Infinity) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(root, `best-${kind}.json`)
  const named = yield* fs.readFile(file).pipe(
    Effect.flatMap((bytes) => parsed(file, bytes)),
    Effect.map((best) => (best as { step: number }).step),
    Effect.orElseSucceed(() => undefined)
  )
  for (const step of yield* stepsOf(root, kind)) {
    if (step >= below) continue
    const commit = yield* commitOf(path.join(root, `${kind}-${step}`))
    if (commit !== undefined && (commit.best ?? step === named)) return step
  }
  return undefined
})

/** Finds the latest and the best checkpoint of a kind. */
export const summary: (
  run: string,
  kind: string
) => Effect.Effect<Summary, RunError, FileSystem.FileSystem | Path.Path> = Effect.fn("Checkpointer.summary")(
  function*(run, kind) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = (yield* rootOf)(run)
    const best = yield* bestStepOf(root, kind).pipe(Effect.orElseSucceed(() => undefined))
    for (const step of yield* stepsOf(root, kind)) {
      const folder = path.join(root, `${kind}-${step}`)
      const commit = yield* Effect.option(commitOf(folder))
      if (Option.getOrUndefined(commit) === undefined) continue
      const file = path.join(folder, "meta.json")
      const meta = yield* fs.readFile(file).pipe(Effect.flatMap((bytes) => parsed(file, bytes)), Effect.option)
      if (meta._tag === "Some") return { latest: { step, meta: meta.value as Record<string, unknown> }, best }
    }
    return { latest: undefined, best }
  }
)

/** Most bytes that are read at once: a file may be larger than what one array, or one hash, takes. */
const mostRead = 1 << 26

/** Reads a part of an open file; shorter where the file ends. */
const partOf = Effect.fnUntraced(function*(file: FileSystem.File, from: number, bytes: number) {
  const part = new Uint8Array(bytes)
  let filled = 0
  while (filled < bytes) {
    const wanted = part.subarray(filled, filled + mostRead)
    const count = Number(yield* file.read(wanted, { position: BigInt(from + filled) }))
    if (count === 0) break
    filled += count
  }
  return part.subarray(0, filled)
})

/** Bytes that are hashed at once: memory for more would be made, and collected, for every small file. */
const hashed = 1 << 20

/** Returns length and hash of an open file. */
const fingerprint = Effect.fnUntraced(function*(file: FileSystem.File) {
  const hash = createHash("sha256")
  const part = new Uint8Array(hashed)
  let bytes = 0
  for (;;) {
    const count = Number(yield* file.read(part, { position: BigInt(bytes) }))
    if (count === 0) return { bytes, sha256: hash.digest("hex") }
    hash.update(part.subarray(0, count))
    bytes += count
  }
})

/** Reads the tensors of an open file of `bytes` bytes, one after the other; throws `SafetensorsError`. */
const tensorsOf = Effect.fnUntraced(function*(file: FileSystem.File, bytes: number) {
  const length = Safetensors.headerLength(yield* partOf(file, 0, Safetensors.headerStart), bytes)
  const start = Safetensors.headerStart + length
  const json = yield* partOf(file, Safetensors.headerStart, length)
  const tensors = new Map<string, Safetensors.StoredTensor>()
  for (const [name, { dtype, from, shape, to }] of Safetensors.entries(json, bytes - start)) {
    const data = Safetensors.read(dtype, yield* partOf(file, start + from, to - from))
    tensors.set(name, { dtype, shape, data })
  }
  return tensors
})

const make = Effect.fnUntraced(function*(run: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const root = (yield* rootOf)(run)
  const folderOf = (kind: string, step: number) => path.join(root, `${kind}-${step}`)

  const steps = (kind: string) => stepsOf(root, kind).pipe(Effect.provideContext(services))
  const bestStep = (kind: string, below?: number) => bestStepOf(root, kind, below).pipe(Effect.provideContext(services))

  const load = Effect.fnUntraced(function*(kind: string, step: number) {
    const folder = folderOf(kind, step)
    const file = (name: string) => path.join(folder, name)
    const opened = <A>(name: string, read: (file: FileSystem.File) => Effect.Effect<A, PlatformError>) =>
      fs.open(file(name)).pipe(
        Effect.flatMap(read),
        Effect.scoped,
        Effect.mapError(Durable.storage("read", file(name)))
      )
    const commit = yield* commitOf(folder).pipe(Effect.provideContext(services))
    if (commit === undefined) {
      return yield* new RunError({
        reason: new Corrupt({ file: file("commit.json"), expected: "the commit of a checkpoint", found: "nothing" })
      })
    }
    for (const [name, { bytes, sha256: expected }] of Object.entries(commit.files)) {
      const found = yield* opened(name, fingerprint)
      if (found.bytes !== bytes || found.sha256 !== expected) {
        return yield* new RunError({
          reason: new Corrupt({
            file: file(name),
            expected: `${bytes} bytes with sha256 ${expected}`,
            found: `${found.bytes} bytes with sha256 ${found.sha256}`
          })
        })
      }
    }
    const meta = yield* opened("meta.json", (one) => partOf(one, 0, commit.files["meta.json"]!.bytes))
    const checkpoint: Checkpoint = {
      kind,
      step,
      tensors: yield* opened(
        "tensors.safetensors",
        (one) => tensorsOf(one, commit.files["tensors.safetensors"]!.bytes)
      ),
      meta: (yield* parsed(file("meta.json"), meta)) as Record<string, unknown>
    }
    return checkpoint
  })

  /** Removes the files of a checkpoint, then its folder if it is empty; leaves links alone. */
  const discard = Effect.fnUntraced(function*(folder: string) {
    const found = yield* fs.lstat(folder).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined)
    )
    if (found?.type !== "Directory") return
    for (const name of fileNames) yield* fs.remove(path.join(folder, name), { force: true })
    if ((yield* fs.readDirectory(folder)).length === 0) yield* fs.remove(folder, { recursive: true })
  })

  const save = Effect.fn("Checkpointer.save")(function*(checkpoint: NewCheckpoint) {
    const { best, kind, meta, step, tensors } = checkpoint
    const folder = folderOf(kind, step)
    const temporary = path.join(root, `.${kind}-${step}.partial`)
    const contents: ReadonlyArray<readonly [string, () => Iterable<Uint8Array>]> = [
      ["tensors.safetensors", Safetensors.encoding(tensors).parts],
      ["meta.json", () => [Buffer.from(JSON.stringify(meta))]]
    ]
    yield* Durable.makeFolder(root)
    yield* Effect.gen(function*() {
      yield* discard(temporary)
      yield* fs.makeDirectory(temporary)
      const files: Record<string, { readonly bytes: number; readonly sha256: string }> = {}
      for (const [name, parts] of contents) {
        const hash = createHash("sha256")
        let bytes = 0
        const hashed = function*() {
          for (const part of parts()) {
            hash.update(part)
            bytes += part.length
            yield part
          }
        }
        yield* Durable.writeParts(path.join(temporary, name), hashed())
        files[name] = { bytes, sha256: hash.digest("hex") }
      }
      const commit: typeof Commit.Type = { version: 1, best, files }
      yield* Durable.writeFlushed(path.join(temporary, "commit.json"), Buffer.from(JSON.stringify(commit)))
      yield* discard(folder)
      yield* fs.rename(temporary, folder)
      yield* Durable.flushFolder(root)
    }).pipe(
      Effect.onError(() => Effect.ignore(discard(temporary))),
      Effect.mapError(Durable.storage("write", folder))
    )
    // Later steps are from before training was restarted. Where a commit cannot be read, any step may be the best.
    const all = yield* steps(kind)
    const kept = best ? [] : yield* bestStep(kind, step).pipe(
      Effect.map((old): ReadonlyArray<number | undefined> => [old]),
      Effect.orElseSucceed(() => all.filter((old) => old < step))
    )
    for (const old of all) {
      if (old === step || kept.includes(old)) continue
      yield* discard(folderOf(kind, old)).pipe(Effect.mapError(Durable.storage("remove", folderOf(kind, old))))
    }
  }, Effect.uninterruptible)

  const latest = Effect.fn("Checkpointer.latest")(function*(kind: string) {
    for (const step of yield* steps(kind)) {
      const found = yield* load(kind, step).pipe(Effect.option)
      if (found._tag === "Some") return found.value
    }
    return undefined
  })

  const best = (kind: string): Effect.Effect<Checkpoint | undefined, RunError> =>
    Effect.flatMap(bestStep(kind), (step) =>
      step === undefined ? latest(kind) : load(kind, step).pipe(
        // A concurrent training process may have replaced the best checkpoint between the two reads.
        Effect.catch((error) => Effect.flatMap(bestStep(kind), (now) => now === step ? Effect.fail(error) : best(kind)))
      )).pipe(Effect.withSpan("Checkpointer.best"))

  return Checkpointer.of({
    save: (checkpoint) => save(checkpoint).pipe(Effect.provideContext(services)),
    latest,
    best
  })
})
