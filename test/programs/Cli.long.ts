/**
 * The command line from nothing to a policy, again and again.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  badSettings,
  commands,
  failures,
  folder,
  interrupted,
  settings,
  sidereal,
  start,
  tiny,
  weights,
  wrongUsage
} from "./Processes.ts"

describe("sidereal", () => {
  const run = join(folder, "first")

  beforeAll(async () => {
    const { error, status } = await sidereal("demo", "--run", run, "--config", settings, "--json")
    assert.strictEqual(status, 0, error)
  })

  it("compares tokenizers side by side, writes a page, and keeps what it measured", async () => {
    const compare = () => sidereal("tokenize", "--run", run, "--compare", "rq-kmeans,balanced,fsq,random", "--json")
    const first = await compare()
    assert.strictEqual(first.status, 0, first.error)
    const found = JSON.parse(first.out)
    assert.deepStrictEqual(found.entries.map(({ name }: { name: string }) => name), [
      "rq-kmeans",
      "balanced",
      "fsq",
      "random"
    ])
    assert.notStrictEqual(found.recommendation.name, "random")
    for (const { agreement, distinct, items, prediction } of found.entries) {
      assert.strictEqual(distinct, items)
      assert.isAbove(prediction.bits, 0)
      assert.strictEqual(agreement[0].prefix, 0)
    }
    const page = readFileSync(join(run, "laboratory.html"), "utf8")
    for (const part of ["Recommended:", "The rule:", "<svg", "Do items with common codes belong together?"]) {
      assert.include(page, part)
    }
    assert.deepStrictEqual(JSON.parse((await compare()).out), found)
    const unknown = await sidereal("tokenize", "--run", run, "--compare", "rq-kmeens")
    assert.strictEqual(unknown.status, 1)
    assert.include(unknown.error, "\"rq-kmeens\"; expected one of rq-kmeans")
  })

  it("is silent with --quiet but for results, warnings and errors", async () => {
    const heard = await sidereal("demo", "--run", join(folder, "heard"), "--config", settings)
    const quiet = await sidereal("demo", "--run", join(folder, "quiet"), "--config", settings, "--quiet")
    for (const line of ["rq-kmeans: 3 levels in", "sft: ", "grpo: 4 steps", "evaluate grpo:", "SIDs by"]) {
      assert.include(heard.error, line)
      assert.notInclude(quiet.error, line)
    }
    const results = (out: string) => out.split("\n").filter((line) => / is | did | cannot be told apart/.test(line))
    assert.isAbove(results(quiet.out).length, 3)
    assert.deepStrictEqual(results(quiet.out), results(heard.out))
    const failed = await sidereal("tokenize", "--data", join(folder, "nowhere"), "--run", join(folder, "no"), "--quiet")
    assert.strictEqual(failed.status, 1)
    assert.include(failed.error, "nowhere")
  })

  it("is a function of the seed: another folder, the same weights", async () => {
    const other = join(folder, "second")
    assert.strictEqual((await sidereal("grpo", "--run", other, "--config", settings)).status, 1)
    assert.strictEqual((await sidereal("sft", "--run", other)).status, 0)
    assert.strictEqual((await sidereal("grpo", "--run", other)).status, 0)
    assert.isTrue(weights(other, "grpo").equals(weights(run, "grpo")))
  })

  it("interrupted in SFT and in GRPO, leaves a usable run and ends as if it had not been", async () => {
    const stopped = join(folder, "stopped")
    const interrupt = async (kind: "sft" | "grpo", signal: NodeJS.Signals) => {
      const { error, status } = await interrupted(stopped, kind, signal)
      assert.include([0, 130], status, error)
      const evaluated = await sidereal("evaluate", "--run", stopped, "--json")
      assert.strictEqual(evaluated.status, 0, evaluated.error)
      return status
    }
    const first = await interrupt("sft", "SIGINT")
    assert.strictEqual((await sidereal("sft", "--run", stopped)).status, 0)
    const second = await interrupt("grpo", "SIGTERM")
    assert.strictEqual((await sidereal("grpo", "--run", stopped)).status, 0)
    assert.isTrue(weights(stopped, "grpo").equals(weights(run, "grpo")))
    assert.include([first, second], 130)
  })

  it("lets one process work on a run and tells another which one that is", async () => {
    const shared = join(folder, "shared")
    const long = join(folder, "long.json")
    writeFileSync(long, JSON.stringify({ ...tiny, sft: { ...tiny.sft, epochs: 40, patience: 40 } }))
    const both = await Promise.all([1, 2].map(() => {
      const { child, ended } = start("sft", "--run", shared, "--config", long)
      return ended.then((outcome) => ({ ...outcome, pid: child.pid }))
    }))
    const [done, told] = both.toSorted((a, b) => a.status! - b.status!)
    assert.deepStrictEqual([done!.status, told!.status], [0, 1], `${done!.error}${told!.error}`)
    assert.include(told!.error, `${shared} is in use by process ${done!.pid}`)
    const lines = readFileSync(join(shared, "events.jsonl"), "utf8").trim().split("\n")
    assert.strictEqual(new Set(lines).size, lines.length)
  })

  it("fails with status 1 and says how to mend it", async () => {
    for (const [args, words] of failures(run)) {
      const { error, status } = await sidereal(...args)
      assert.strictEqual(status, 1, args.join(" "))
      assert.include(error, words)
    }
  })

  it("answers settings that cannot be used with status 2", async () => {
    for (const [args, words] of badSettings()) {
      const { error, out, status } = await sidereal("data", "--run", join(folder, "z"), ...args)
      assert.deepStrictEqual([status, out], [2, ""], error)
      for (const word of words) assert.include(error, word)
      assert.notInclude(error, "    at ")
    }
  })

  it("answers wrong usage with status 2, and every command explains itself", async () => {
    for (const wrong of wrongUsage) {
      const { error, out, status } = await sidereal(...wrong, "--json")
      assert.deepStrictEqual([status, out], [2, ""], wrong.join(" "))
      for (const words of ["USAGE", "ERROR"]) assert.include(error, words)
    }
    for (const command of commands) {
      const { out, status } = await sidereal(command, "--help")
      assert.strictEqual(status, 0)
      assert.include(out, "EXAMPLES")
    }
  })
}, 240_000)
