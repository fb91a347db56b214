import { assert, describe, it } from "@effect/vitest"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { good, refused } from "./CommandLine.ts"

describe("sft --show", () => {
  const folder = mkdtempSync(join(tmpdir(), "sidereal-show-"))
  const run = join(folder, "run")

  it(
    "prints examples with their targets marked, the same each time, and trains nothing",
    { timeout: 60_000 },
    async () => {
      try {
        const { out } = await good("sft", "--show", "2", "--quick", "--run", run)
        const examples = out.trim().split("\n\n")
        assert.strictEqual(examples.length, 2)
        for (const example of examples) {
          assert.match(
            example,
            /^history of user \d+: \d+ tokens, \d+ with a loss\n<begin>\[\[(<a_\d+><b_\d+>.*)+\]\]$/
          )
          const tokens = Number(/: (\d+) tokens/.exec(example)![1])
          assert.strictEqual(example.match(/<\w+>/g)!.length, tokens)
          assert.strictEqual(Number(/(\d+) with/.exec(example)![1]), tokens - 1)
        }
        assert.strictEqual((await good("sft", "--show", "2", "--run", run)).out, out)
        const asJson = JSON.parse((await good("sft", "--show", "1", "--run", run, "--json")).out)
        assert.deepStrictEqual(asJson[0].spans[0], { text: "<begin>", tokens: 1, loss: false })
        assert.isFalse(existsSync(join(run, "checkpoints")))
        await refused("ShowHelp", "sft", "--show", "0", "--run", run)
      } finally {
        rmSync(folder, { recursive: true })
      }
    }
  )
})
