/**
 * Folder of a run: recognition of the files that the run made, and their removal without touching others.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as SasRec from "../src/evaluation/baseline/sasrec/SasRec.ts"
import * as Group from "../src/grpo/Grpo.ts"
import * as Durable from "../src/run/Durable.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { HoldsData, NoRun, NotOurs, RunError } from "../src/run/RunError.ts"
import * as RunLock from "../src/run/RunLock.ts"
import * as RunLog from "../src/run/RunLog.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as QuantizerNames from "./QuantizerNames.ts"

/** Subfolders of a run's folder. */
const folders = ["checkpoints", "embeddings", "encoding", "laboratory"]

const phases = [Group.kind, Supervised.continued]
  .flatMap((kind) => [TrainingState.mixtureOf(kind), kind])
  .concat(Supervised.kind, SasRec.kind)
  .join("|")

/**
 * Patterns of the files of a run by their paths in its folder, latest stages first; the manifest is replaced, not
 * removed.
 */
const own: ReadonlyArray<RegExp> = [
  "report\\.html|examples\\.json|evaluation\\.json|grpo-groups\\.json|laboratory\\.html|laboratory\\.json",
  `laboratory/(${QuantizerNames.names.join("|")})(-[0-9a-f]{16})?\\.json`,
  `checkpoints/best-(${phases})\\.json`,
  `checkpoints/(\\.(${phases})-\\d+\\.partial|(${phases})-\\d+)/(commit\\.json|meta\\.json|tensors\\.safetensors)`,
  "sids\\.json|(quantizer|fusion|encoder)\\.safetensors",
  // A table of the embeddings' database is a whole folder; without the database a version is one file.
  "embeddings/v\\d+_[0-9a-f]{32}\\.(lance/.*|safetensors)",
  "encoding/[0-9a-f]{24}-\\d+\\.f32",
  "events\\.jsonl",
  "dataset\\.safetensors"
].map((names) => new RegExp(`^(${names})(\\.partial)?$`))

const described = (names: ReadonlyArray<string>) => `${names.slice(0, 3).join(", ")}${names.length > 3 ? " ..." : ""}`

const entries = (folder: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readDirectory(folder)).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed<Array<string>>([])),
    Effect.mapError(Durable.storage("list", folder))
  )

/** Returns the type of the file at a path, without following links. */
const kindOf = (file: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.lstat(file)).pipe(
    Effect.map(({ type }) => type),
    Effect.option,
    Effect.map((found) => found._tag === "Some" ? found.value : undefined)
  )

/** Requirements of a command on the folder. */
export interface Wanted {
  /** Whether the run must exist. */
  readonly existing: boolean
  /** Whether the run is to be started again. */
  readonly fresh: boolean
}

/** Describes the problem of an unreadable manifest. */
const faultOf = (text: string): string => {
  if (text.trim() === "") return "a manifest.json that is empty"
  try {
    const { created, hashes, version } = (JSON.parse(text) ?? {}) as Partial<Record<keyof Manifest.Manifest, unknown>>
    return typeof created !== "string" || typeof hashes !== "object"
      ? "a manifest.json of something else"
      : version === 1
      ? "a manifest.json with fields that are missing or damaged"
      : `a manifest.json of version ${JSON.stringify(version)}, of which this sidereal reads 1`
  } catch {
    return "a manifest.json that is no JSON"
  }
}

/**
 * Returns the manifest of the run in a folder, or undefined if the folder is absent or empty, so that a run may start.
 * Fails with `NotOurs` for any other folder, and with `NoRun` if the run must exist and does not.
 */
export const inspect = Effect.fn("RunFolder.inspect")(function*(run: string, { existing, fresh }: Wanted) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const noRun = (found: string) => new RunError({ reason: new NoRun({ path: run, found }) })
  const notOurs = (found: string, isRun = false) =>
    existing && !isRun
      ? noRun(found)
      : new RunError({ reason: new NotOurs({ path: run, found, fresh: fresh && !isRun }) })
  const info = yield* fs.stat(run).pipe(Effect.option)
  if (info._tag === "None") {
    if (existing) return yield* noRun("nothing")
    // If the path is impossible, creating the folder reports it.
    return undefined
  }
  if (info.value.type !== "Directory") {
    return yield* existing ? noRun("a file") : Durable.makeFolder(run).pipe(Effect.as(undefined))
  }
  const names = yield* entries(run)
  const others = names.filter((name) => !RunLock.isLock(name) && name !== "manifest.json.partial")
  if (others.length === 0) return existing ? yield* noRun("an empty folder") : undefined
  if (!others.includes("manifest.json")) {
    return yield* existing ? noRun("no manifest.json") : notOurs(described(others.toSorted()))
  }
  const manifest = yield* Manifest.read(run).pipe(
    Effect.catch(() =>
      fs.readFileString(path.join(run, "manifest.json")).pipe(
        Effect.mapError(Durable.storage("read", path.join(run, "manifest.json"))),
        Effect.flatMap((text) => Effect.fail(notOurs(faultOf(text))))
      )
    )
  )
  for (const name of [...folders, RunLog.fileName]) {
    const kind = yield* kindOf(path.join(run, name))
    const wanted = name === RunLog.fileName ? "File" : "Directory"
    if (kind === undefined || kind === wanted) continue
    return yield* notOurs(`${kind === "SymbolicLink" ? "a link" : `no ${wanted.toLowerCase()}`} named ${name}`, true)
  }
  const log = path.join(run, RunLog.fileName)
  const begin = yield* fs.open(log, { flag: "r" }).pipe(
    Effect.flatMap((file) => file.readAlloc(1 << 16)),
    Effect.scoped,
    Effect.map((bytes) => (bytes._tag === "Some" ? Buffer.from(bytes.value).toString("utf8") : "")),
    Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed("")),
    Effect.mapError(Durable.storage("read", log))
  )
  if (!RunLog.isLog(begin)) return yield* notOurs(`${RunLog.fileName}, which is no log of a run`, true)
  return manifest
})

/** Fails if the data are the folder of the run or inside it, after links are resolved. */
export const apart = Effect.fn("RunFolder.apart")(function*(run: string, data: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const identity = (at: string) =>
    fs.stat(at).pipe(
      Effect.map(({ dev, ino }) => (ino._tag === "Some" ? `${dev}:${ino.value}` : undefined)),
      Effect.orElseSucceed(() => undefined)
    )
  const folder = yield* identity(run)
  if (folder === undefined) return
  const start = yield* fs.realPath(data).pipe(Effect.orElseSucceed(() => path.resolve(data)))
  for (let at = start;; at = path.dirname(at)) {
    if ((yield* identity(at)) === folder) return yield* new RunError({ reason: new HoldsData({ path: run, data }) })
    if (at === path.dirname(at)) return
  }
})

/** Lists the files below a folder by their paths in the run; links are neither listed nor followed. */
const filesBelow: (
  run: string,
  below: string
) => Effect.Effect<ReadonlyArray<string>, RunError, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(run, below) {
    const path = yield* Path.Path
    const found: Array<string> = []
    for (const name of yield* entries(path.join(run, below))) {
      const at = below === "" ? name : `${below}/${name}`
      const kind = yield* kindOf(path.join(run, at))
      if (kind === "File") found.push(at)
      else if (kind === "Directory" && (below !== "" || folders.includes(name))) {
        found.push(...(yield* filesBelow(run, at)))
      }
    }
    return found
  }
)

/** Removes a folder if it contains only empty folders. */
const removeEmpty: (folder: string) => Effect.Effect<void, RunError, FileSystem.FileSystem | Path.Path> = Effect
  .fnUntraced(function*(folder) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if ((yield* kindOf(folder)) !== "Directory") return
    for (const name of yield* entries(folder)) yield* removeEmpty(path.join(folder, name))
    if ((yield* entries(folder)).length > 0) return
    yield* fs.remove(folder, { recursive: true }).pipe(Effect.mapError(Durable.storage("remove", folder)))
  })

/**
 * Removes the files that the run made and keeps everything else: other files, links and their targets, the folder
 * itself, the lock, and the manifest, which the next one replaces.
 */
export const clear = Effect.fn("RunFolder.clear")(function*(run: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const all = yield* filesBelow(run, "")
  for (const names of own) {
    for (const file of all.filter((name) => names.test(name)).map((name) => path.join(run, name))) {
      yield* fs.remove(file).pipe(Effect.mapError(Durable.storage("remove", file)))
    }
  }
  for (const name of folders) yield* removeEmpty(path.join(run, name))
})
