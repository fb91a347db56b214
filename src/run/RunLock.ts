/**
 * One process at a time works on a run.
 *
 * Every process that wants a run writes a lock of its own, whole, and only then looks for others: of two that come
 * together at least one sees the other, so never both go on. A lock whose process is gone is removed by whoever meets
 * it; no name is ever used twice, so that cannot remove a living one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomBytes, randomInt } from "node:crypto"
import { hostname } from "node:os"
import * as Durable from "./Durable.ts"
import { InUse, RunError } from "./RunError.ts"

/** The process behind a lock. */
export const Holder = Schema.Struct({
  pid: Schema.Int,
  host: Schema.String,
  /** Identifies the start of the machine, empty where the system does not tell. */
  boot: Schema.String,
  /** Start of the process in the system's ticks, which tells a process from a later one of the same number. */
  started: Schema.String,
  since: Schema.String,
  command: Schema.String,
  /** Whether it has the run, or is still looking for others. */
  held: Schema.Boolean
})

/** @see Holder */
export type Holder = typeof Holder.Type

/** The names of locks in the folder of a run. */
export const isLock = (name: string): boolean => /^lock-\d+-[0-9a-f]{16}\.json(\.partial)?$/.test(name)

const firstOf = (file: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(file)).pipe(Effect.orElseSucceed(() => ""))

/** The start of a process; empty where the system does not tell, `gone` for one that has ended but was not waited for. */
const startOf = (pid: number) =>
  Effect.map(firstOf(`/proc/${pid}/stat`), (stat) => {
    // The name of the program, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" || fields[0] === "X" ? "gone" : fields[19] ?? ""
  })

const bootOf = Effect.map(firstOf("/proc/sys/kernel/random/boot_id"), (text) => text.trim())

const me = Effect.gen(function*() {
  return {
    pid: process.pid,
    host: hostname(),
    boot: yield* bootOf,
    started: yield* startOf(process.pid),
    since: new Date().toISOString(),
    command: process.argv.slice(2).join(" ")
  }
})

/** Whether there is a process of this number, someone else's included. */
const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** Whether a process is certainly gone; of one on another machine nobody can tell. */
const isGone = Effect.fnUntraced(function*(holder: Holder) {
  if (holder.host !== hostname()) return false
  if (holder.boot !== (yield* bootOf)) return true
  if (!isThere(holder.pid)) return true
  const started = yield* startOf(holder.pid)
  return started !== "" && holder.started !== "" && started !== holder.started
})

/** A lock is written in a moment: one that still is not whole after a minute was left by a process that ended meanwhile. */
const unfinished = 60_000

/** Other locks of the run whose processes may be alive; those of processes that are gone are removed and returned. */
const others = Effect.fnUntraced(function*(run: string, own: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const alive: Array<{ readonly file: string; readonly holder: Holder }> = []
  const gone: Array<Holder> = []
  const names = yield* fs.readDirectory(run).pipe(Effect.mapError(Durable.storage("list", run)))
  for (const name of names) {
    if (!isLock(name) || name === own || name === `${own}.partial`) continue
    const file = path.join(run, name)
    if (name.endsWith(".partial")) {
      const info = yield* fs.stat(file).pipe(Effect.option)
      const age = info._tag === "Some" && info.value.mtime._tag === "Some"
        ? Date.now() - info.value.mtime.value.getTime()
        : 0
      if (age > unfinished) yield* Effect.ignore(fs.remove(file, { force: true }))
      continue
    }
    const holder = yield* fs.readFileString(file).pipe(
      Effect.flatMap(Schema.decodeEffect(Schema.fromJsonString(Holder))),
      Effect.option
    )
    if (holder._tag === "None") continue
    if (yield* isGone(holder.value)) {
      yield* fs.remove(file, { force: true }).pipe(Effect.mapError(Durable.storage("remove", file)))
      gone.push(holder.value)
    } else alive.push({ file, holder: holder.value })
  }
  return { alive, gone }
})

const attempts = 60

/**
 * Takes a run for this process until the scope closes; fails with `InUse` when another has it. Returns the processes
 * that had taken it and are gone.
 */
export const acquire: (
  run: string
) => Effect.Effect<
  ReadonlyArray<Holder>,
  RunError,
  FileSystem.FileSystem | Path.Path | Scope.Scope
> = Effect.fn("RunLock.acquire")(function*(run) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const own = `lock-${process.pid}-${randomBytes(8).toString("hex")}.json`
  const file = path.join(run, own)
  const identity = yield* me
  const write = (held: boolean) => Durable.write(file, JSON.stringify({ ...identity, held }))
  yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(file, { force: true })))
  const left: Array<Holder> = []
  for (let attempt = 1;; attempt++) {
    yield* write(false)
    const { alive, gone } = yield* others(run, own)
    left.push(...gone)
    const first = alive.find(({ holder }) => holder.held) ?? alive[0]
    if (first === undefined) {
      yield* write(true)
      return left
    }
    if (first.holder.held || attempt === attempts) {
      const { command, host, pid, since } = first.holder
      return yield* new RunError({
        reason: new InUse({
          path: run,
          pid,
          host,
          since,
          command,
          ...(host === hostname() ? {} : { foreignLock: first.file })
        })
      })
    }
    // Both have seen each other: each steps back for a moment of its own.
    yield* fs.remove(file, { force: true }).pipe(Effect.mapError(Durable.storage("remove", file)))
    yield* Effect.sleep(randomInt(5, 60))
  }
})
