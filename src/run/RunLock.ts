/**
 * Lock of a run: one process at a time uses a run.
 *
 * Every process first writes its own lock atomically and then looks for others: of two processes that start at the same
 * time at least one sees the other, so both never proceed. A lock whose process has ended is removed by the next
 * process that finds it; lock names are never reused, so this cannot remove a live lock.
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

/** Process that holds a lock. */
export const Holder = Schema.Struct({
  pid: Schema.Int,
  host: Schema.String,
  /** Identifier of the machine's boot; empty where the system has none. */
  boot: Schema.String,
  /** Start of the process in system ticks, which distinguishes it from a later process with the same pid. */
  started: Schema.String,
  since: Schema.String,
  command: Schema.String,
  /** Whether the process has acquired the run, or is still looking for other locks. */
  held: Schema.Boolean
})

/** @see Holder */
export type Holder = typeof Holder.Type

/** Returns whether a file name in the folder of a run is that of a lock. */
export const isLock = (name: string): boolean => /^lock-\d+-[0-9a-f]{16}\.json(\.partial)?$/.test(name)

const firstOf = (file: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(file)).pipe(Effect.orElseSucceed(() => ""))

/** Returns the start of a process; empty where the system has none, `gone` for a zombie process. */
const startOf = (pid: number) =>
  Effect.map(firstOf(`/proc/${pid}/stat`), (stat) => {
    // The name of the program, in parentheses, may contain any character.
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

/** Returns whether a process with this pid exists, including those of other users. */
const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** Returns whether a process has certainly ended; false for a process on another machine. */
const isGone = Effect.fnUntraced(function*(holder: Holder) {
  if (holder.host !== hostname()) return false
  if (holder.boot !== (yield* bootOf)) return true
  if (!isThere(holder.pid)) return true
  const started = yield* startOf(holder.pid)
  return started !== "" && holder.started !== "" && started !== holder.started
})

/** Age, in milliseconds, at which an incomplete lock is taken to be from a process that ended while writing it. */
const unfinished = 60_000

/** Finds the other locks of a run; removes and returns those whose processes have ended. */
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
 * Locks a run for this process until the Scope closes; fails with `InUse` when another process holds it. Returns the
 * ended processes whose locks were removed.
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
    // Both processes have seen each other: each releases its lock and waits for a random time.
    yield* fs.remove(file, { force: true }).pipe(Effect.mapError(Durable.storage("remove", file)))
    yield* Effect.sleep(randomInt(5, 60))
  }
})
