/**
 * `sidereal grpo --cluster` with `sidereal worker`, as they are run: a worker and the process that trains are killed, and
 * the run ends with the same weights.
 */
import { assert, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Postgres from "./Postgres.ts"

const cli = fileURLToPath(new URL("../../programs/cli.ts", import.meta.url))

/** Starts a command and returns it with what it says, as it says it. */
const begin = (args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  const made = { child, told: "" }
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (made.told += String(chunk)))
  return made
}

const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once("exit", resolve))

const run = async (...args: ReadonlyArray<string>) => {
  const made = begin(args)
  assert.strictEqual(await ended(made.child), 0, made.told)
  return made.told
}

const until = async (what: () => boolean | Promise<boolean>) => {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Number of steps in the log of a run. */
const stepsOf = async (folder: string) =>
  (await readFile(join(folder, "events.jsonl"), "utf8").catch(() => "")).split("\n")
    .filter((line) => line.includes("\"grpo.step\"")).length

/** The records of a run's steps of GRPO. */
const records = async (folder: string): Promise<ReadonlyArray<Readonly<Record<string, number>>>> =>
  (await readFile(join(folder, "events.jsonl"), "utf8")).trim().split("\n").flatMap((line) => {
    const { fields, kind } = JSON.parse(line)
    return kind === "grpo.step" ? [fields] : []
  })

const settingsOf = (folder: string) => readFile(join(folder, "manifest.json"), "utf8")

/** The hashes of the checkpoints of a run's GRPO. */
const checkpoints = async (folder: string) => {
  const found: Record<string, string> = {}
  for (const name of await readdir(folder, { recursive: true })) {
    if (!/grpo.*\.safetensors$/.test(name)) continue
    found[name] = createHash("sha256").update(await readFile(join(folder, name))).digest("hex")
  }
  return found
}

if (Postgres.programs === undefined) process.stdout.write(`${Postgres.missing}\n`)

describe.skipIf(Postgres.programs === undefined)("sidereal grpo --cluster", () => {
  it("ends with the same weights when a worker and when the training process is killed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sidereal-workers-"))
    const postgres = await Postgres.start()
    const url = Postgres.urlAt(postgres.port)
    const workers: Array<ReturnType<typeof begin>> = []
    const work = (at: string) => {
      const made = begin(["worker", "--cluster", url, "--run", at])
      workers.push(made)
      return made
    }
    try {
      const base = join(folder, "run")
      await run("sft", "--quick", "--run", base)
      const config = join(folder, "steps.json")
      await writeFile(config, JSON.stringify({ grpo: { steps: 8 } }))
      const grpo = (at: string) => ["grpo", "--cluster", url, "--ahead", "1", "--config", config, "--run", at]
      const [whole, cut] = [join(folder, "whole"), join(folder, "cut")]
      for (const copy of [whole, cut]) await cp(base, copy, { recursive: true })

      // One worker, which opens the run before the settings that the driver brings: it opens it again.
      const first = work(whole)
      await until(() => first.told.includes("draws for"))
      await run(...grpo(whole))
      assert.include(first.told, "opening it again")
      const expected = await checkpoints(whole)
      assert.isNotEmpty(expected)
      assert.strictEqual(await stepsOf(whole), 8)
      await Postgres.end(first.child, "SIGINT")

      const [a] = [work(cut), work(cut)]
      const training = begin(grpo(cut))
      await until(async () => await stepsOf(cut) >= 1 || training.child.exitCode !== null)
      a!.child.kill("SIGKILL")
      await until(async () => await stepsOf(cut) >= 3 || training.child.exitCode !== null)
      training.child.kill("SIGKILL")
      await ended(training.child)
      assert.deepStrictEqual([a!.child.signalCode, training.child.signalCode], ["SIGKILL", "SIGKILL"], training.told)
      assert.isBelow(await stepsOf(cut), 8)
      await run(...grpo(cut))
      assert.deepStrictEqual(await checkpoints(cut), expected)
    } finally {
      for (const { child } of workers) await Postgres.end(child, "SIGKILL")
      await postgres.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }, 300_000)

  for (const teacher of ["sasrec", "fusion"] as const) {
    it(`draws as one process does with the teacher that the run has trained, ${teacher}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "sidereal-teacher-"))
      const postgres = await Postgres.start()
      const url = Postgres.urlAt(postgres.port)
      const workers: Array<ReturnType<typeof begin>> = []
      try {
        const base = join(folder, "run")
        await run("sft", "--quick", "--run", base)
        const config = join(folder, "teacher.json")
        await writeFile(config, JSON.stringify({ grpo: { teacher, steps: 2, rollout: { priorWeight: 0.5 } } }))
        const [alone, shared] = [join(folder, "alone"), join(folder, "shared")]
        for (const copy of [alone, shared]) await cp(base, copy, { recursive: true })
        await run("grpo", "--config", config, "--run", alone)

        const training = begin(["grpo", "--cluster", url, "--config", config, "--run", shared])
        await until(async () => (await settingsOf(shared)).includes(`"${teacher}"`) || training.child.exitCode !== null)
        for (let i = 0; i < 2; i++) workers.push(begin(["worker", "--cluster", url, "--run", shared]))
        assert.strictEqual(await ended(training.child), 0, training.told)
        assert.isTrue(
          workers.some(({ told }) => told.includes("draws for")),
          workers.map(({ told }) => told).join("\n")
        )
        const [expected, found] = [await records(alone), await records(shared)]
        assert.strictEqual(expected.length, 2)
        assert.strictEqual(found.length, 2)
        for (const [i, fields] of found.entries()) {
          assert.isAbove(fields["gradientNorm"]!, 0)
          // Sums of batches of another size may differ in their last bits.
          for (const name of ["reward", "loss", "gradientNorm", "hitShare", "nodes", "usableGroupShare"]) {
            assert.closeTo(fields[name]!, expected[i]![name]!, 1e-4 * Math.max(1, Math.abs(expected[i]![name]!)), name)
          }
        }
      } finally {
        for (const { child } of workers) await Postgres.end(child, "SIGKILL")
        await postgres.stop()
        await rm(folder, { recursive: true, force: true })
      }
    }, 300_000)
  }

  it("says what is wrong with a database before anything is opened", async () => {
    const wrong = begin(["worker", "--cluster", "localhost:5432", "--run", "nowhere"])
    assert.strictEqual(await ended(wrong.child), 2)
    assert.include(wrong.told, "Expected postgres://")
    const nobody = begin([
      "worker",
      "--cluster",
      `postgres://127.0.0.1:${await Postgres.freePort()}/x`,
      "--run",
      "nowhere"
    ])
    assert.strictEqual(await ended(nobody.child), 2)
    assert.include(nobody.told, "start Postgres there")
  }, 60_000)
})
