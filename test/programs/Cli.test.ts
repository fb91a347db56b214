import { assert, beforeAll, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as CommandLine from "./CommandLine.ts"
import {
  badSettings,
  commands,
  failures,
  folder,
  interrupted,
  type Outcome,
  program,
  settings,
  sidereal,
  start,
  weights,
  wrongUsage
} from "./Processes.ts"

describe("sidereal", () => {
  const run = join(folder, "first")
  let demo: Outcome

  beforeAll(async () => {
    demo = await sidereal("demo", "--run", run, "--config", settings, "--json")
  })

  it("demo goes from nothing to a record without invalid SIDs, and a report", () => {
    assert.strictEqual(demo.status, 0, demo.error)
    const record = JSON.parse(demo.out)
    assert.strictEqual(record.invalid, 0)
    assert.deepStrictEqual(record.models.map((model: { name: string }) => model.name), [
      "popularity",
      "item-knn",
      "sft",
      "grpo",
      "sft + item-knn",
      "grpo + item-knn",
      "oracle"
    ])
    for (const { ci95, metrics } of record.models) {
      for (const metric of ["HR@1", "HR@3", "HR@5", "HR@10", "HR@20", "NDCG@10", "MRR"]) {
        assert.isAtLeast(metrics[metric], ci95[metric][0])
        assert.isAtMost(metrics[metric], ci95[metric][1])
      }
    }
    assert.include(readFileSync(join(run, "report.html"), "utf8"), "Ten users")
    assert.include(demo.error, "sft:")
  })

  it("evaluate prints the same record again, and stages find their artefacts", async () => {
    const again = await sidereal("evaluate", "--run", run, "--json")
    assert.strictEqual(again.status, 0, again.error)
    const strip = (text: string) => JSON.parse(text, (key, value) => (key === "seconds" ? 0 : value))
    assert.deepStrictEqual(strip(again.out), strip(demo.out))
    const tokenized = await sidereal("tokenize", "--run", run, "--json")
    assert.strictEqual(JSON.parse(tokenized.out).items, 50)
  })

  it("is silent with --quiet but for results, warnings and errors", async () => {
    const made = await sidereal("tokenize", "--run", join(folder, "quiet"), "--config", settings, "--quiet", "--json")
    const line = "rq-kmeans: 3 levels in"
    assert.include(demo.error, line)
    assert.notInclude(made.error, line)
    assert.strictEqual(JSON.parse(made.out).items, 50)
    const failed = await sidereal("tokenize", "--data", join(folder, "nowhere"), "--run", join(folder, "no"), "--quiet")
    assert.strictEqual(failed.status, 1)
    assert.include(failed.error, "nowhere")
  })

  it("writes no colours where NO_COLOR forbids them", async () => {
    const plain = { ...process.env, FORCE_COLOR: "1", NO_COLOR: "1" }
    for (const args of [["--help"], ["demo", "--no-such-flag"], ["data", "inspect", join(folder, "nowhere")]]) {
      const child = spawn(process.execPath, [program, ...args], { env: plain })
      let shown = ""
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (shown += String(chunk)))
      await new Promise((resolve) => child.on("close", resolve))
      assert.isAbove(shown.length, 20)
      assert.notInclude(shown, "\u001b[")
    }
  })

  it("recommends by user and by titles", async () => {
    const byUser = JSON.parse(
      (await sidereal("recommend", "--run", run, "--user", "user-3", "--json", "--count", "5")).out
    )
    assert.strictEqual(byUser.recommendations.length, 5)
    assert.isTrue(byUser.recommendations.every((one: { title: string }) => !byUser.history.includes(one.title)))
    const title = byUser.recommendations[0].title
    const byTitle = await sidereal("recommend", "--run", run, "--history", title.replaceAll(";", ","))
    assert.strictEqual(byTitle.status, 0, byTitle.error)
    assert.include(byTitle.out, title)
    assert.match(byTitle.out, / {2}1\. +\d+\.\d\d % {2}/)
  })

  it("is a function of the seed, though interrupted: another folder, the same weights of SFT", async () => {
    const stopped = join(folder, "second")
    const { error, status } = await interrupted(stopped, "sft", "SIGINT")
    assert.include([0, 130], status, error)
    assert.strictEqual((await sidereal("sft", "--run", stopped)).status, 0)
    assert.isTrue(weights(stopped, "sft").equals(weights(run, "sft")))
  })

  it("ends with 130 however early it is interrupted, and goes on when nobody reads its progress", async () => {
    for (const signal of ["SIGTERM", "SIGINT"]) {
      // The program interrupts itself when it begins to load what it is made of.
      const hook = "import { registerHooks } from 'node:module'; registerHooks({ load: (url, context, next) => { " +
        `if (url.endsWith('/programs/Main.ts')) process.kill(process.pid, '${signal}'); return next(url, context) } })`
      const child = spawn(
        process.execPath,
        [
          "--import",
          `data:text/javascript,${hook}`,
          program,
          "data",
          "--run",
          join(folder, "early")
        ],
        { cwd: folder }
      )
      assert.strictEqual(await new Promise((resolve) => child.on("close", resolve)), 130, signal)
    }
    assert.isFalse(existsSync(join(folder, "early")))
    const unread = join(folder, "unread")
    const { child, ended } = start("sft", "--run", unread, "--config", settings)
    child.stderr.destroy()
    assert.strictEqual((await ended).status, 0)
    assert.isTrue(readdirSync(join(unread, "checkpoints")).some((name) => name.startsWith("sft-")))
  })

  it("inspects data without a run, and filters by flags", async () => {
    const table = join(folder, "events.csv")
    const rows = Array.from({ length: 60 }, (_, i) => `u${i % 6},i${i % 7},${i},${1 + i % 5}`)
    writeFileSync(table, `user_id,item_id,timestamp,rating\n${rows.join("\n")}\nbroken\n`)
    const found = await CommandLine.sidereal("data", "inspect", table, "--rating-floor", "2", "--json")
    assert.strictEqual(found.failure, "")
    const { counts, events, malformed, users } = JSON.parse(found.out)
    assert.deepStrictEqual([users, events], [6, 48])
    assert.strictEqual(counts.find(({ step }: { step: string }) => step.includes("too few columns")).count, 1)
    assert.strictEqual(malformed[0].line, 62)
    const strict = await CommandLine.sidereal("data", "inspect", table, "--strict")
    assert.include(strict.failure, "line 62")
    const text = await CommandLine.sidereal("data", "inspect", table, "--from", "30")
    assert.include(text.out, "events outside the time range dropped: 30")
    assert.include(text.out, "--core 2:")
  })

  it("fails with status 1 and says how to mend it", async () => {
    const all = failures(run)
    // Processes of their own have their turn in the long suite.
    for (const [args, words] of all.slice(0, 2)) {
      const { error, status } = await sidereal(...args)
      assert.strictEqual(status, 1, args.join(" "))
      assert.include(error, words)
    }
    for (const [args, words] of all) assert.include((await CommandLine.sidereal(...args)).failure, words)
  })

  it("answers settings that cannot be used with status 2, and whatever fails on standard error alone", async () => {
    for (const [i, [args, words]] of badSettings().entries()) {
      const command = ["data", "--run", join(folder, "z"), ...args]
      const message = await CommandLine.refused("SettingsError", ...command)
      for (const word of words) assert.include(message, word)
      if (i > 0) continue
      const { error, out, status } = await sidereal(...command)
      assert.deepStrictEqual([status, out], [2, ""], error)
      assert.include(error, message)
      assert.notInclude(error, "    at ")
    }
    writeFileSync(join(run, "examples.json"), "{")
    const broken = await sidereal("report", "--run", run, "--json")
    assert.deepStrictEqual([broken.status, broken.out], [1, ""])
    assert.match(broken.error, /^error: /m)
  })

  it("answers wrong usage with status 2, and every command explains itself", async () => {
    const { error, out, status } = await sidereal(...wrongUsage[0]!, "--json")
    assert.deepStrictEqual([status, out], [2, ""])
    for (const words of ["USAGE", "ERROR"]) assert.include(error, words)
    for (const command of commands) assert.include((await CommandLine.good(command, "--help")).out, "EXAMPLES")
  })
}, 240_000)
