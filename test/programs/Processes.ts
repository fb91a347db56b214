/**
 * The command line as processes of its own, on a tiny shop.
 */
import { afterAll } from "@effect/vitest"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The program. */
export const program = fileURLToPath(new URL("../../programs/cli.ts", import.meta.url))

/** A folder for the tests of one file. */
export const folder = mkdtempSync(join(tmpdir(), "sidereal-cli-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** How a process ended. */
export interface Outcome {
  readonly status: number | null
  readonly out: string
  readonly error: string
}

/** Starts the program in the folder. */
export const start = (...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [program, ...args], { cwd: folder })
  let out = ""
  let error = ""
  child.stdout.on("data", (chunk) => (out += String(chunk)))
  child.stderr.on("data", (chunk) => (error += String(chunk)))
  const ended = new Promise<Outcome>((resolve) => child.on("close", (status) => resolve({ status, out, error })))
  return { child, ended }
}

/** Runs the program to its end. */
export const sidereal = (...args: ReadonlyArray<string>) => start(...args).ended

/** Settings that train in seconds. */
export const tiny = {
  shop: { users: 60, items: 50, meanExtraEvents: 4 },
  lsa: { width: 16 },
  tokenizer: { shape: { codes: 8 } },
  family: "flat",
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 256, dropout: 0.2 },
  sft: { epochs: 3, epochsPerValidation: 1, validationUsers: 40, learningRate: { peak: 3e-3, warmupSteps: 4 } },
  grpo: { steps: 4, promptsPerStep: 8, groupSize: 6, stepsPerValidation: 2, validationUsers: 40 }
}

/** The file of these settings. */
export const settings = join(folder, "settings.json")
writeFileSync(settings, JSON.stringify(tiny))

/** The latest weights of a phase. */
export const weights = (run: string, kind: "sft" | "grpo") =>
  readFileSync(
    join(
      run,
      "checkpoints",
      readdirSync(join(run, "checkpoints")).filter((name) => name.startsWith(`${kind}-`)).toSorted((a, b) =>
        Number(b.slice(kind.length + 1)) - Number(a.slice(kind.length + 1))
      )[0]!,
      "tensors.safetensors"
    )
  )

/** Begins a phase of a run and interrupts it after its first checkpoint; returns how it ended. */
export const interrupted = async (run: string, kind: "sft" | "grpo", signal: NodeJS.Signals) => {
  const { child, ended } = start(kind, "--run", run, "--config", settings)
  const watch = setInterval(() => {
    const saved = existsSync(join(run, "checkpoints")) ? readdirSync(join(run, "checkpoints")) : []
    if (saved.some((name) => name.startsWith(`${kind}-`))) {
      clearInterval(watch)
      child.kill(signal)
    }
  }, 5)
  const outcome = await ended
  clearInterval(watch)
  return outcome
}

/** Command lines that fail with status 1, and the words that say how to mend it. */
export const failures = (run: string): ReadonlyArray<readonly [ReadonlyArray<string>, string]> => [
  [["evaluate", "--run", join(folder, "none")], "sidereal demo --run"],
  [["recommend", "--run", run, "--user", "nobody"], "no user \"nobody\""],
  [["recommend", "--run", run, "--history", "qqqq"], "no item \"qqqq\""],
  [["recommend", "--run", run, "--history", " ; "], "the history is empty"],
  [["recommend", "--run", run], "the history is empty"],
  [["sft", "--run", run, "--seed", "7"], "was made with seed 1, not 7"],
  [["data", "--run", join(folder, "x"), "--data", join(folder, "absent.csv")], "absent.csv"],
  [["sft", "--run", run, "--device", "cuda"], "the cuda backend is not available here"],
  [["report", "--run", join(folder, "second")], "evaluate"]
]

/** Flags of settings that cannot be used, and the words that tell it; writes their files. */
export const badSettings = (): ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string>]> => {
  const bad = join(folder, "bad.json")
  writeFileSync(bad, JSON.stringify({ policy: { width: -4 }, sft: { epocs: 3 } }))
  const unparsed = join(folder, "null.json")
  writeFileSync(unparsed, "null")
  return [
    [["--config", bad], [bad, "policy.width", "-4", "sft.epocs"]],
    [["--config", unparsed], [unparsed, "got null"]],
    [["--config", join(folder, "absent.json")], ["absent.json", "ENOENT: no such file or directory"]],
    [["--core=-3", "--json"], ["the command line", "core: Expected a value greater than or equal to 0, got -3"]]
  ]
}

/** Command lines that are none. */
export const wrongUsage: ReadonlyArray<ReadonlyArray<string>> = [
  ["trian"],
  ["recommend", "--count", "many"],
  ["data", "--core", "x"],
  ["data", "--flag"]
]

/** Every command. */
export const commands = ["demo", "data", "embed", "tokenize", "sft", "grpo", "evaluate", "recommend", "report"]
