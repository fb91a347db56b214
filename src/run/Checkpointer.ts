/**
 * Checkpoints that verify or are ignored.
 *
 * A checkpoint is a folder `checkpoints/<kind>-<step>` with `tensors.safetensors`, `meta.json` and `commit.json`. It is
 * written under another name, every file flushed, the commit with the length and hash of each file last, and renamed
 * into place. The commit also says whether it was the best of its kind when it was written, so latest and best are read
 * from the same committed folders and belong together whenever a process ends.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Safetensors from "../storage/Safetensors.ts"
import * as Durable from "./Durable.ts"
import { Corrupt, RunError } from "./RunError.ts"

/** What is kept. */
export interface Checkpoint {
  /** The phase: `sft`, `grpo`. */
  readonly kind: string
  readonly step: number
  readonly tensors: ReadonlyMap<string, Safetensors.StoredTensor>
  readonly meta: Readonly<Record<string, unknown>>
}

/** A checkpoint to be written, and whether it is the best so far. */
export interface NewCheckpoint extends Checkpoint {
  readonly best: boolean
}

/** Saves and finds the checkpoints of a run. */
export class Checkpointer extends Context.Service<Checkpointer, {
  /** Writes a checkpoint; cannot be interrupted half-way. Older ones that are neither best nor last are removed. */
  save(checkpoint: NewCheckpoint): Effect.Effect<void, RunError>
  /** The newest complete checkpoint of a kind. */
  latest(kind: string): Effect.Effect<Checkpoint | undefined, RunError>
  /** The best complete checkpoint of a kind; fails with `Corrupt` when it was changed after it was written. */
  best(kind: string): Effect.Effect<Checkpoint | undefined, RunError>
}>()("sidereal/run/Checkpointer") {
  /** Checkpoints under `<run>/checkpoints`. */
  static readonly layer = (
    run: string
  ): Layer.Layer<Checkpointer, never, FileSystem.FileSystem | Path.Path> => Layer.effect(Checkpointer, make(run))

  /** Checkpoints in memory. */
  static readonly layerMemory: Layer.Layer<Checkpointer> = Layer.sync(Checkpointer, () => {
    const latest = new Map<string, Checkpoint>()
    const best = new Map<string, Checkpoint>()
    return Checkpointer.of({
      save: (checkpoint) =>
        Effect.sync(() => {
          latest.set(checkpoint.kind, checkpoint)
          if (checkpoint.best) best.set(checkpoint.kind, checkpoint)
        }),
      latest: (kind) => Effect.sync(() => latest.get(kind)),
      best: (kind) => Effect.sync(() => best.get(kind))
    })
  })
}

/** The files of a checkpoint; without the first it does not count. */
const fileNames = ["commit.json", "meta.json", "tensors.safetensors"]

/** What makes a folder a checkpoint: the length and hash of each file. */
const Commit = Schema.Struct({
  version: Schema.Literal(1),
  /** Whether it was the best of its kind when written; older ones leave that to a file `best-<kind>.json`. */
  best: Schema.optionalKey(Schema.Boolean),
  files: Schema.Record(Schema.String, Schema.Struct({ bytes: Schema.Int, sha256: Schema.String }))
})

/** What a run has kept of a phase, found without reading tensors. */
export interface Summary {
  readonly latest: { readonly step: number; readonly meta: Readonly<Record<string, unknown>> } | undefined
  /** The step of the best one. */
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

/** Parses JSON that was read from a file. */
const parsed = (file: string, bytes: Uint8Array) =>
  Effect.try({
    try: () => JSON.parse(Buffer.from(bytes).toString("utf8")) as unknown,
    catch: (cause) =>
      new RunError({ reason: new Corrupt({ file, expected: "JSON", found: String((cause as Error).message) }) })
  })

/** Reads the commit of a checkpoint; undefined where there is none: a folder that is being removed. */
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

/** The step of the best one below a step: the last that was the best when it was written. */
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

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

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
    const readFile = (name: string) =>
      fs.readFile(file(name)).pipe(Effect.mapError(Durable.storage("read", file(name))))
    const commit = yield* commitOf(folder).pipe(Effect.provideContext(services))
    if (commit === undefined) {
      return yield* new RunError({
        reason: new Corrupt({ file: file("commit.json"), expected: "the commit of a checkpoint", found: "nothing" })
      })
    }
    const contents: Record<string, Uint8Array> = {}
    for (const [name, { bytes, sha256: expected }] of Object.entries(commit.files)) {
      const content = yield* readFile(name)
      const found = sha256(content)
      if (content.byteLength !== bytes || found !== expected) {
        return yield* new RunError({
          reason: new Corrupt({
            file: file(name),
            expected: `${bytes} bytes with sha256 ${expected}`,
            found: `${content.byteLength} bytes with sha256 ${found}`
          })
        })
      }
      contents[name] = content
    }
    const checkpoint: Checkpoint = {
      kind,
      step,
      tensors: Safetensors.decode(contents["tensors.safetensors"]!),
      meta: (yield* parsed(file("meta.json"), contents["meta.json"]!)) as Record<string, unknown>
    }
    return checkpoint
  })

  /** Removes the files of a checkpoint, and its folder when nobody put others there; a link is none. */
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
    const files: Record<string, Uint8Array> = {
      "tensors.safetensors": Safetensors.encode(tensors),
      "meta.json": Buffer.from(JSON.stringify(meta))
    }
    const commit: typeof Commit.Type = {
      version: 1,
      best,
      files: Object.fromEntries(
        Object.entries(files).map(([name, content]) => [name, { bytes: content.byteLength, sha256: sha256(content) }])
      )
    }
    yield* Durable.makeFolder(root)
    yield* Effect.gen(function*() {
      yield* discard(temporary)
      yield* fs.makeDirectory(temporary)
      for (const [name, content] of Object.entries(files)) {
        yield* Durable.writeFlushed(path.join(temporary, name), content)
      }
      yield* Durable.writeFlushed(path.join(temporary, "commit.json"), Buffer.from(JSON.stringify(commit)))
      yield* discard(folder)
      yield* fs.rename(temporary, folder)
      yield* Durable.flushFolder(root)
    }).pipe(
      Effect.onError(() => Effect.ignore(discard(temporary))),
      Effect.mapError(Durable.storage("write", folder))
    )
    // Later steps are those of training that was begun anew. Where a commit cannot be read, any may be the best.
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
        // A run that is trained meanwhile has replaced its best one between the two looks.
        Effect.catch((error) => Effect.flatMap(bestStep(kind), (now) => now === step ? Effect.fail(error) : best(kind)))
      )).pipe(Effect.withSpan("Checkpointer.best"))

  return Checkpointer.of({
    save: (checkpoint) => save(checkpoint).pipe(Effect.provideContext(services)),
    latest,
    best
  })
})
