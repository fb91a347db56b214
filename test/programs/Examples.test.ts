import { afterAll, assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "sidereal-examples-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Example as listed: RUN in its command is the folder of a trained run; `prints` is a pattern of its output. */
interface Example {
  readonly file: string
  readonly command: string
  readonly shows: string
  readonly prints: string
}

const examples = JSON.parse(readFileSync(join(root, "examples/examples.json"), "utf8")) as ReadonlyArray<Example>
const textOf = (file: string) => readFileSync(join(root, "examples", file), "utf8")

/** Runs a command line with the programs of this checkout. */
const run = (command: string) =>
  new Promise<readonly [number | null, string]>((resolve) => {
    const path = [dirname(process.execPath), join(root, "node_modules/.bin"), process.env["PATH"]].join(delimiter)
    const child = spawn(command, { shell: true, cwd: root, env: { ...process.env, PATH: path, NO_COLOR: "1" } })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += String(chunk)))
    child.on("close", (status) => resolve([status, text]))
  })

const trained = async (): Promise<string> => {
  const settings = join(folder, "settings.json")
  writeFileSync(
    settings,
    JSON.stringify({
      shop: { users: 60, items: 50, meanExtraEvents: 4 },
      lsa: { width: 16 },
      tokenizer: { shape: { codes: 8 } },
      policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 256 },
      sft: { epochs: 1, validationUsers: 40 },
      grpo: { steps: 4, promptsPerStep: 8, groupSize: 6, stepsPerValidation: 2, validationUsers: 40 }
    })
  )
  const path = join(folder, "run")
  const [status, text] = await run(`node programs/cli.ts sft --run ${path} --config ${settings}`)
  assert.strictEqual(status, 0, text)
  return path
}

describe("examples", () => {
  it("are all listed, and say what they show and how to run them", () => {
    assert.deepStrictEqual(
      examples.map(({ file }) => file),
      readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts")).toSorted()
    )
    for (const { command, file } of examples) {
      const [, header] = /^\/\*\*([\s\S]*?)\*\//.exec(textOf(file)) ?? []
      assert.isDefined(header, file)
      assert.match(header!, /Run it(?: on a trained run)?: `/, file)
      assert.include(header!, `\`${command.replace("RUN", "runs/generated-shop")}\``, file)
    }
  })

  it("import what a user has: the package by its name, and packages that it names", () => {
    for (const { file } of examples) {
      for (const [, from] of textOf(file).matchAll(/from "([^"]+)"/g)) {
        assert.match(from!, /^(?:sidereal|effect|node:|@effect\/(?:platform-node|vitest)|@tensorflow\/tfjs$)/, file)
      }
    }
    assert.isBelow(textOf("SftThenGrpo.ts").split("\n").length, 60)
  })

  for (const { command, file, prints, shows } of examples) {
    it(`${file}: ${shows}`, async () => {
      const path = command.includes("RUN") ? await trained() : ""
      const [status, text] = await run(command.replace("RUN", path))
      assert.strictEqual(status, 0, text)
      assert.match(text, new RegExp(prints))
      if (path !== "") assert.include(readFileSync(join(path, "events.jsonl"), "utf8"), "reward.category")
    })
  }
})
