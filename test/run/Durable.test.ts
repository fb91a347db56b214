import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as Durable from "../../src/run/Durable.ts"
import { RunLog } from "../../src/run/RunLog.ts"

const inFolder = <A, E, R>(use: (folder: string) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* use(yield* fs.makeTempDirectoryScoped())
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

/** A file system of its own on a folder; undefined where that is not allowed. */
const mounted = (options: string) => {
  const folder = mkdtempSync(join(tmpdir(), "sidereal-mount-"))
  const done = spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]).status === 0
  const release = () => {
    if (done) spawnSync("umount", [folder])
    rmSync(folder, { recursive: true, force: true })
  }
  if (!done) release()
  return done ? { folder, release } : undefined
}

describe("Durable", () => {
  it.effect("makes folders above one that is missing, and leaves those that are there", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      yield* Durable.makeFolder(join(folder, "a", "b", "c"))
      yield* Durable.makeFolder(join(folder, "a", "b", "c"))
      assert.isTrue(existsSync(join(folder, "a", "b", "c")))
    })))

  it.live("says at once why a folder cannot be made", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      writeFileSync(join(folder, "file"), "x")
      symlinkSync(join(folder, "nowhere"), join(folder, "dangling"))
      const cases: ReadonlyArray<readonly [string, RegExp]> = [
        [join(folder, "file"), /cannot make .*file: ENOTDIR: .*file is not a folder/],
        [join(folder, "file", "run", "deep"), /cannot make .*: ENOTDIR: .*file is not a folder/],
        [join(folder, "dangling"), /cannot make .*dangling: EEXIST: file already exists/],
        ["/proc/1/x/y", /cannot make \/proc\/1\/x: E[A-Z]+: /],
        ["/proc/self/nothing/run", /cannot make \/proc\/self\/nothing: E[A-Z]+: /]
      ]
      for (const [path, words] of cases) {
        if (path.startsWith("/proc") && !existsSync("/proc/self")) continue
        const error = yield* Effect.flip(Durable.makeFolder(path)).pipe(Effect.timeout("5 seconds"))
        assert.match(error.message, words)
        const written = yield* Effect.flip(Durable.write(join(path, "x.json"), "{}")).pipe(Effect.timeout("5 seconds"))
        assert.match(written.message, words)
      }
    })))

  it.effect("gives the system's words for a device without room", (context) =>
    inFolder(Effect.fnUntraced(function*() {
      if (!existsSync("/dev/full")) return context.skip()
      const error = yield* Effect.flip(
        Durable.writeFlushed("/dev/full", Buffer.alloc(1 << 16)).pipe(Effect.mapError(Durable.storage("write", "x")))
      )
      assert.match(error.message, /^cannot write x: ENOSPC: no space left on device/)
    })))

  it.effect("on a full disk names the cause, leaves nothing half-written, and goes on when there is room", (context) =>
    inFolder(Effect.fnUntraced(function*() {
      const disk = mounted("size=1m")
      if (disk === undefined) return context.skip()
      yield* Effect.addFinalizer(() => Effect.sync(disk.release))
      const { folder } = disk
      const run = join(folder, "run")
      const full = /cannot write .*: ENOSPC: no space left on device/
      const error = yield* Effect.flip(Durable.write(join(run, "big.bin"), Buffer.alloc(2 << 20)))
      assert.match(error.message, full)
      assert.deepStrictEqual(readdirSync(run), [])
      yield* Effect.gen(function*() {
        const saver = yield* Checkpointer
        const save = (size: number) =>
          saver.save({
            kind: "sft",
            step: 1,
            best: true,
            meta: {},
            tensors: new Map([["w", { dtype: "F32", shape: [size], data: new Float32Array(size) }]])
          })
        assert.match((yield* Effect.flip(save(1 << 20))).message, full)
        assert.deepStrictEqual(readdirSync(join(run, "checkpoints")), [])
        yield* save(16)
        assert.strictEqual((yield* saver.latest("sft"))!.step, 1)
        const room = join(folder, "filler")
        const fs = yield* FileSystem.FileSystem
        yield* Effect.ignore(fs.writeFile(room, Buffer.alloc(2 << 20)))
        const log = yield* RunLog
        const event = { kind: "sft.step", step: 1, fields: { loss: 1 } }
        assert.match((yield* Effect.flip(log.append(event))).message, /cannot append to .*: ENOSPC: no space left/)
        rmSync(room)
        yield* log.append(event)
        assert.deepStrictEqual((yield* log.read).events, [event])
      }).pipe(Effect.provide([Checkpointer.layer(run), RunLog.layer(run)]))
    })))

  it.effect("on a file system that is only read says so", (context) =>
    inFolder(Effect.fnUntraced(function*() {
      const disk = mounted("size=1m,ro")
      if (disk === undefined) return context.skip()
      yield* Effect.addFinalizer(() => Effect.sync(disk.release))
      const error = yield* Effect.flip(Durable.makeFolder(join(disk.folder, "run")))
      assert.match(error.message, /cannot make .*run: EROFS: read-only file system/)
      const written = yield* Effect.flip(Durable.write(join(disk.folder, "x"), "x"))
      assert.match(written.message, /cannot write .*x: EROFS: read-only file system/)
    })))
})
