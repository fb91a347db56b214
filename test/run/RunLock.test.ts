import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as RunLock from "../../src/run/RunLock.ts"

const inFolder = <A, E, R>(use: (folder: string) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* use(yield* fs.makeTempDirectoryScoped())
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const root = new URL("../../", import.meta.url)

/** A process that takes the run at a moment, says so, and holds it until so many others were refused. */
const contender = (folder: string, at: number, others: number) => {
  const code = `
    import * as NodeServices from "@effect/platform-node/NodeServices"
    import * as Effect from "effect/Effect"
    import { appendFileSync, readFileSync } from "node:fs"
    import * as RunLock from ${JSON.stringify(new URL("src/run/RunLock.ts", root).href)}
    const diary = ${JSON.stringify(join(folder, "diary"))}
    const say = (text) => Effect.sync(() => appendFileSync(diary, text + "\\n"))
    const refused = () => readFileSync(diary, "utf8").split("refused").length - 1
    while (Date.now() < ${at}) {}
    const held = Effect.gen(function*() {
      yield* RunLock.acquire(${JSON.stringify(folder)})
      yield* say("in " + process.pid)
      for (let i = 0; i < 1000 && refused() < ${others}; i++) yield* Effect.sleep(20)
      yield* say("out " + process.pid)
    })
    await Effect.runPromise(held.pipe(
      Effect.scoped,
      Effect.catch((error) => say("refused " + error.message)),
      Effect.provide(NodeServices.layer)
    ))
  `
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    cwd: fileURLToPath(root),
    stdio: ["ignore", "ignore", "inherit"]
  })
  return { child, ended: new Promise<void>((resolve) => child.on("close", () => resolve())) }
}

const diary = (folder: string) => readFileSync(join(folder, "diary"), "utf8").trim().split("\n")
const locks = (folder: string) => readdirSync(folder).filter(RunLock.isLock)

describe("RunLock", () => {
  it.live(
    "of processes that come at one moment lets in one at a time, and tells the others who has it",
    () =>
      inFolder(Effect.fnUntraced(function*(folder) {
        const at = Date.now() + 1500
        const contenders = Array.from({ length: 4 }, () => contender(folder, at, 3))
        yield* Effect.promise(() => Promise.all(contenders.map(({ ended }) => ended)))
        const lines = diary(folder)
        const entered = lines.filter((line) => line.startsWith("in "))
        assert.strictEqual(entered.length, 1, lines.join("\n"))
        const pid = entered[0]!.slice(3)
        const refused = lines.filter((line) => line.startsWith("refused "))
        assert.strictEqual(refused.length, 3)
        for (const line of refused) assert.include(line, `${folder} is in use by process ${pid} (${hostname()}, since`)
        assert.deepStrictEqual(locks(folder), [])
      })),
    30_000
  )

  it.live(
    "takes a run over from a process that was killed, and says from which",
    () =>
      inFolder(Effect.fnUntraced(function*(folder) {
        const { child, ended } = contender(folder, 0, 99)
        while (!existsSync(join(folder, "diary"))) yield* Effect.sleep(20)
        const busy = yield* Effect.flip(Effect.scoped(RunLock.acquire(folder)))
        assert.strictEqual(busy.reason._tag, "InUse")
        child.kill("SIGKILL")
        yield* Effect.promise(() => ended)
        assert.strictEqual(locks(folder).length, 1)
        const gone = yield* Effect.scoped(RunLock.acquire(folder))
        assert.deepStrictEqual(gone.map(({ pid }) => pid), [child.pid])
        assert.deepStrictEqual(locks(folder), [])
      })),
    30_000
  )

  it.live("is not misled by another boot, a later process of the same number, or another machine", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const own = yield* Effect.scoped(Effect.gen(function*() {
        yield* RunLock.acquire(folder)
        return yield* Schema.decodeEffect(Schema.fromJsonString(RunLock.Holder))(
          readFileSync(join(folder, locks(folder)[0]!), "utf8")
        )
      }))
      const leave = (holder: Partial<RunLock.Holder>) =>
        writeFileSync(join(folder, `lock-${own.pid}-0123456789abcdef.json`), JSON.stringify({ ...own, ...holder }))
      const acquire = Effect.scoped(RunLock.acquire(folder))
      leave({ boot: "another" })
      assert.strictEqual((yield* acquire).length, 1)
      if (own.started !== "") {
        leave({ started: "1" })
        assert.strictEqual((yield* acquire).length, 1)
      }
      leave({})
      assert.notInclude((yield* Effect.flip(acquire)).message, "remove")
      leave({ host: "elsewhere" })
      assert.match((yield* Effect.flip(acquire)).message, /elsewhere.*if that process has ended, remove .*lock-/)
      assert.deepStrictEqual(locks(folder).length, 1)
    })))
})
