/**
 * `npm test`: types, lint, format and Effect's rules side by side, then every test. `--check` stops before the tests,
 * `--long` runs the slow suite alone. The last line counts the tests.
 */
import { spawn } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const bin = (name: string) => join(root, "node_modules", ".bin", name)
const only = process.argv[2]

if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write(
    `Node ${process.versions.node} runs this, 24 is needed: use \`npm test\`, which finds the installed one.\n`
  )
  process.exit(1)
}

interface Outcome {
  readonly code: number
  readonly output: string
}

const run = (command: string, args: ReadonlyArray<string>, show: boolean, env = {}): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = spawn(bin(command), [...args], { cwd: root, env: { ...process.env, ...env } })
    let output = ""
    const take = (chunk: Buffer) => {
      output += String(chunk)
      if (show) process.stdout.write(chunk)
    }
    child.stdout.on("data", take)
    child.stderr.on("data", take)
    child.on("error", (error) => resolve({ code: 1, output: error.message }))
    child.on("close", (code) => resolve({ code: code ?? 1, output }))
  })

const check = async (name: string, command: string, args: ReadonlyArray<string>, bad?: RegExp): Promise<boolean> => {
  const started = performance.now()
  const { code, output } = await run(command, args, false)
  const good = code === 0 && (bad === undefined || !bad.test(output))
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${good ? "ok    " : "FAILED"} ${name} (${seconds} s)\n${good ? "" : output}`)
  return good
}

const checks = async (): Promise<boolean> => {
  const results = await Promise.all([
    check("types", "tsc", ["--noEmit"]),
    check("lint", "oxlint", ["--deny-warnings"]),
    check("format", "dprint", ["check"]),
    check("effect rules", "effect-tsgo", ["diagnostics", "--project", "tsconfig.json", "--strict"])
  ])
  return results.every((good) => good)
}

/**
 * Where no Vulkan driver is installed, WebGPU is tested on the software driver that comes with Debian's chromium; the
 * loader looks for both when the process starts.
 */
const softwareVulkan = (): Record<string, string> => {
  const folder = "/usr/lib/chromium"
  const driver = join(folder, "vk_swiftshader_icd.json")
  const installed = existsSync("/usr/share/vulkan/icd.d") || process.env["VK_ICD_FILENAMES"] !== undefined
  return installed || !existsSync(driver) ? {} : { VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: folder }
}

const tests = async (long: boolean): Promise<boolean> => {
  const report = join(tmpdir(), `sidereal-tests-${process.pid}.json`)
  const { code } = await run(
    "vitest",
    [
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`
    ],
    true,
    { ...softwareVulkan(), ...(long ? { SIDEREAL_LONG: "1" } : {}) }
  )
  const { numFailedTests, numPassedTests, numPendingTests } = JSON.parse(readFileSync(report, "utf8")) as {
    numPassedTests: number
    numFailedTests: number
    numPendingTests: number
  }
  rmSync(report, { force: true })
  if (numPendingTests > 0) process.stdout.write(`${numPendingTests} skipped: what they need is not on this machine\n`)
  process.stdout.write(`${numPassedTests} passed, ${numFailedTests} failed\n`)
  return code === 0 && numFailedTests === 0
}

const good = only === "--long" ? await tests(true) : (await checks()) && (only === "--check" || await tests(false))
process.exit(good ? 0 : 1)
