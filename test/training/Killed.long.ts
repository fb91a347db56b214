/**
 * `sidereal grpo` killed in the middle by the system and started again: it ends with the weights of an undisturbed run.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const cli = fileURLToPath(new URL("../../programs/cli.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "sidereal-killed-"))
const base = join(folder, "base")
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a command and kills it as soon as it may be; returns its signal or status. */
const run = (args: ReadonlyArray<string>, isDue: () => boolean = () => false) =>
  new Promise<readonly [NodeJS.Signals | number | null, string]>((resolve) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "pipe"] })
    let told = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (told += String(chunk)))
    const watch = setInterval(() => {
      if (isDue()) child.kill("SIGKILL")
    }, 2)
    child.on("close", (code, signal) => {
      clearInterval(watch)
      resolve([signal ?? code, told])
    })
  })

/** Numbers of the checkpoints of a kind. */
const checkpoints = (at: string, kind: string): ReadonlyArray<number> => {
  const found = join(at, "checkpoints")
  return existsSync(found)
    ? readdirSync(found).flatMap((name) => name.startsWith(`${kind}-`) ? [Number(name.slice(kind.length + 1))] : [])
    : []
}

const steps = (at: string): number => {
  const file = join(at, "events.jsonl")
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").filter((l) => l.includes("\"grpo.step\"")).length : 0
}

/** The hashes of all tensors that GRPO and its teacher keep. */
const weights = (at: string) =>
  Object.fromEntries(
    readdirSync(join(at, "checkpoints")).filter((name) => !name.startsWith("sft-")).map((name) => [
      name,
      createHash("sha256").update(readFileSync(join(at, "checkpoints", name, "tensors.safetensors"))).digest("hex")
    ])
  )

describe("GRPO that is killed", () => {
  beforeAll(async () => {
    const [status, told] = await run(["sft", "--quick", "--run", base])
    assert.strictEqual(status, 0, told)
  }, 120_000)

  for (const teacher of ["item-knn", "sasrec"] as const) {
    it(`ends as if it had not been, taught by ${teacher}`, async () => {
      const config = join(folder, `${teacher}.json`)
      writeFileSync(config, JSON.stringify({ grpo: { teacher, steps: 12, stepsPerValidation: 3 } }))
      const [whole, cut] = [join(folder, `${teacher}-whole`), join(folder, `${teacher}-cut`)]
      for (const copy of [whole, cut]) cpSync(base, copy, { recursive: true })
      const command = (at: string) => ["grpo", "--run", at, "--config", config]
      const [status, told] = await run(command(whole))
      assert.strictEqual(status, 0, told)
      assert.strictEqual(steps(whole), 12)

      // In the teacher's training, before the first checkpoint of GRPO, between two, and after the last but one.
      const moments = [
        ...(teacher === "sasrec" ? [() => checkpoints(cut, "sasrec").length > 0] : []),
        () => steps(cut) >= 2,
        () => Math.max(0, ...checkpoints(cut, "grpo")) >= 3,
        () => Math.max(0, ...checkpoints(cut, "grpo")) >= 9
      ]
      const ends = []
      for (const moment of moments) ends.push((await run(command(cut), moment))[0])
      assert.include(ends, "SIGKILL")
      for (const end of ends) assert.include(["SIGKILL", 0], end)
      const [again, words] = await run(command(cut))
      assert.strictEqual(again, 0, words)
      assert.deepStrictEqual(weights(cut), weights(whole))
      assert.isTrue(Object.keys(weights(cut)).some((name) => name.startsWith("grpo-")))
      process.stdout.write(`taught by ${teacher}: ${ends.join(", ")}\n`)
    }, 300_000)
  }
})
