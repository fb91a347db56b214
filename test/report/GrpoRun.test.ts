/**
 * A run from its data to a report whose reward debugger works.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Grpo from "../../programs/Grpo.ts"
import * as Layers from "../../programs/Layers.ts"
import * as RewardTrace from "../../programs/RewardTrace.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { good, refused } from "../programs/CommandLine.ts"
import * as Traces from "./Traces.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-grpo-report-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const run = join(folder, "run")
const trace = join(run, RewardTrace.file.name)
const page = () => readFileSync(join(run, "report.html"), "utf8")

beforeAll(async () => {
  const settings = join(folder, "settings.json")
  writeFileSync(settings, JSON.stringify({ grpo: { rewards: { collaborative: 4, rule: 1 }, teacherWeights: [] } }))
  await good("demo", "--quick", "--run", run, "--config", settings)
}, 240_000)

describe("a run with GRPO", () => {
  it("keeps groups whose numbers agree with each other", () => {
    const { groups, mode, rewards, step, temperature } = RewardTrace.file.codec.decode(readFileSync(trace))
    assert.deepStrictEqual([groups.length, mode, temperature], [6, "raw", 1])
    assert.deepStrictEqual(rewards, [{ name: "rule", weight: 1 }, { name: "collaborative", weight: 4 }])
    const log = readFileSync(join(run, "events.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    const best = log.filter(({ kind }) => kind === "grpo.validation")
      .reduce((a, b) => b.fields["NDCG@10"] > a.fields["NDCG@10"] ? b : a)
    assert.strictEqual(step, best.step)
    for (const { candidates, nodes, parts, truth } of groups) {
      assert.isNotNull(truth)
      for (const [c, one] of candidates.entries()) {
        assert.closeTo(one.total, parts[0]![c]! + 4 * parts[1]![c]!, 1e-4)
        assert.strictEqual(one.advantage, one.total)
        // The reference is frozen: the policy that training began with.
        assert.closeTo(one.before, one.reference, 1e-4)
        assert.closeTo(one.klBefore, 0, 1e-5)
        assert.isAtLeast(one.klAfter, -1e-5)
        assert.strictEqual(parts[0]![c], one.hit ? 1 : 0)
        if (one.hit) assert.strictEqual(one.title, truth)
      }
      for (const which of ["before", "after"] as const) {
        const sum = (all: ReadonlyArray<{ readonly before: number; readonly after: number }>) =>
          all.reduce((total, one) => total + Math.exp(one[which]), 0)
        const first = sum(nodes.filter(({ parent }) => parent < 0))
        assert.isAtMost(first, 1 + 1e-4)
        assert.isAtMost(sum(candidates), first + 1e-4)
      }
    }
    const moved = groups.flatMap(({ candidates }) => candidates).filter(({ after, before }) =>
      Math.abs(after - before) > 1e-3
    )
    assert.isAbove(moved.length, 10)
    const steps = log.filter(({ kind }) => kind === "grpo.step")
    assert.isNotEmpty(steps)
    for (const { fields } of steps) {
      assert.isAbove(fields.positions, fields.nodes)
      assert.isAbove(fields.positionsReplicated, fields.positions + fields.nodesSaved)
    }
  })

  it("has a report whose weights can be changed, written by Node without a compiler", () => {
    rmSync(join(run, "report.html"))
    const cli = fileURLToPath(new URL("../../programs/cli.ts", import.meta.url))
    const { status, stderr } = spawnSync(process.execPath, [cli, "report", "--run", run], { encoding: "utf8" })
    assert.strictEqual(status, 0, stderr)
    const { groups } = RewardTrace.file.codec.decode(readFileSync(trace))
    const elements = Traces.open(page())
    const control = elements.get("weight-1-number")!
    assert.strictEqual(control.value, "4")
    control.value = "-0.5"
    control.listeners["input"]!()
    for (const [g, { candidates, parts }] of groups.entries()) {
      const totals = candidates.map((_, c) => parts[0]![c]! - 0.5 * parts[1]![c]!)
      const odds = candidates.map(({ reference }, c) => Math.exp(reference + totals[c]!))
      const sum = odds.reduce((a, b) => a + b, 0)
      for (const [c, total] of totals.entries()) {
        const shown = (kind: string) => Number.parseFloat(elements.get(`${kind}-${g}-${c}`)!.textContent)
        assert.closeTo(shown("total"), total, 6e-4)
        assert.closeTo(shown("advantage"), total, 6e-4)
        assert.closeTo(shown("teacher"), 100 * odds[c]! / sum, 0.051)
      }
    }
    assert.include(page(), "Seconds by phase")
  }, 240_000)

  it("keeps the same groups again when training is over, and loses them with --fresh", async () => {
    const kept = readFileSync(trace)
    rmSync(trace)
    await good("grpo", "--run", run)
    assert.isTrue(readFileSync(trace).equals(kept))
    const other = join(folder, "other")
    cpSync(run, other, { recursive: true })
    await good("data", "--run", other, "--fresh")
    assert.isFalse(existsSync(join(other, RewardTrace.file.name)))
  }, 240_000)

  it("ends well when a reward fails for the report only, and says so", async () => {
    const kept = readFileSync(trace)
    const fake = Testing.reward("shaky", 1)
    fake.failNext(1)
    const notes: Array<string> = []
    const heard: Console.Console = Object.assign(Object.create(console), { error: (text: string) => notes.push(text) })
    const report = await Grpo.program({
      rewards: [{ reward: RuleReward.layer, weight: 1 }, { reward: fake.reward, weight: 1 }]
    }).pipe(
      Effect.provide(Layers.layer({ run, given: {}, fresh: false, existing: true })),
      Effect.provideService(Console.Console, heard),
      Effect.provide(NodeServices.layer),
      Effect.runPromise
    )
    assert.isAbove(report.steps, 0)
    assert.include(notes.join("\n"), "the report will have no reward debugger, because the reward \"shaky\" failed")
    assert.isTrue(readFileSync(trace).equals(kept))
  }, 240_000)

  it("has a report without groups, as older runs are, and refuses damaged ones", async () => {
    writeFileSync(trace, "{")
    assert.include(await refused("Corrupt", "report", "--run", run), "sidereal grpo")
    rmSync(trace)
    await good("report", "--run", run)
    assert.include(page(), "Seconds by phase")
    for (const absent of ["Reward debugger", "<script"]) assert.notInclude(page(), absent)
  }, 240_000)
})
