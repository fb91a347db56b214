/**
 * Runs of the text family, from nothing to a folder of Hugging Face.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as PeftFolder from "../../src/policy/lora/PeftFolder.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as TextFixture from "../policy/TextFixture.ts"
import { good, refused } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-text-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeAll(() =>
  Effect.runPromise(TextFixture.write(join(folder, "model"), {}, "BF16").pipe(Effect.provide(NodeServices.layer)))
)

const shared = {
  shop: { users: 40, items: 30 },
  lsa: { width: 8 },
  sft: { epochs: 2, epochsPerValidation: 1, validationUsers: 10, learningRate: { peak: 3e-3, warmupSteps: 4 } },
  grpo: { steps: 2, promptsPerStep: 4, groupSize: 4, stepsPerValidation: 1, validationUsers: 10 },
  evaluation: { fusionUsers: 10, beams: 20 }
}
const settings = (name: string, own: Record<string, unknown>) => {
  const file = join(folder, `${name}.json`)
  writeFileSync(file, JSON.stringify({ ...shared, ...own }))
  return file
}
const open = (path: string) => Effect.runPromise(CheckpointFolder.open(path).pipe(Effect.provide(NodeServices.layer)))

describe("a run of the text family", () => {
  it(
    "shows its tasks, is trained, evaluated, recommends, and becomes a folder of Hugging Face",
    { timeout: 120_000 },
    async () => {
      const run = join(folder, "run")
      const config = settings("text", {
        family: "text",
        text: {
          folder: join(folder, "model"),
          lora: { rank: 2 },
          tasks: { historyItems: 3, weights: { "history-to-sid": 1, "title-to-sid": 0.5, "sid-to-title": 0.5 } }
        }
      })
      const shown = (await good("sft", "--show", "400", "--run", run, "--config", config)).out.trim().split("\n\n\n")
      const tasks = new Set(shown.join("\n").match(/^[a-z-]+(?=: \d+ tokens, \d+ with a loss$)/gm))
      assert.sameMembers([...tasks], ["history-to-sid", "title-to-sid", "sid-to-title"])
      assert.match(shown.join("\n"), /### Response:\n\[\[<a_\d+><b_\d+>(<c_\d+>)?<end>\]\]/)
      assert.isFalse(existsSync(join(run, "checkpoints")))

      await good("demo", "--run", run)
      const record = JSON.parse((await good("evaluate", "--run", run, "--json")).out)
      assert.includeMembers(record.models.map(({ name }: { readonly name: string }) => name), ["sft", "grpo"])
      assert.strictEqual(record.invalid, 0)
      const answer = JSON.parse((await good("recommend", "--run", run, "--user", "user-3", "--json")).out)
      assert.isAbove(answer.recommendations.length, 0)

      const merged = join(folder, "merged")
      const before = readFileSync(join(run, "manifest.json"), "utf8")
      const written = JSON.parse((await good("export", "--run", run, "--into", merged, "--json")).out)
      assert.strictEqual(written.phase, "grpo")
      assert.strictEqual(readFileSync(join(run, "manifest.json"), "utf8"), before)
      const { config: { decoder, family } } = await open(merged)
      assert.strictEqual(family, "llama")
      const tokenizer = JSON.parse(readFileSync(join(merged, "tokenizer.json"), "utf8"))
      const ids: ReadonlyArray<number> = tokenizer.added_tokens.map(({ id }: { readonly id: number }) => id)
      assert.strictEqual(decoder.vocabulary, Math.max(263, 1 + Math.max(...ids)))
      assert.include(await refused("Occupied", "export", "--run", run, "--into", merged), "already has files")
      await good("export", "--run", run, "--into", merged, "--phase", "sft", "--replace")

      const beside = join(folder, "beside")
      await good("export", "--run", run, "--into", beside, "--adapters", "--float32")
      const base = await open(beside)
      const adapter = await Effect.runPromise(
        PeftFolder.read(join(beside, "adapter"), Transformer.parameters(base.config.decoder, () => 0)).pipe(
          Effect.provide(NodeServices.layer)
        )
      )
      assert.strictEqual(adapter.baseModel, beside)
      assert.strictEqual(adapter.tensors.size, 2 * 7 * 2)
    }
  )

  it("names what its settings lack", async () => {
    const run = join(folder, "lacking")
    assert.include(await refused("SettingsError", "sft", "--run", run, "--policy", "text"), "text.folder")
    const absent = settings("absent", { family: "text", text: { folder: join(folder, "nothing") } })
    assert.include(await refused("SettingsError", "sft", "--run", run, "--config", absent), "text.folder")
    const misspelt = settings("misspelt", { family: "text", text: { folder, maximumToken: 3 } })
    assert.include(
      await refused("SettingsError", "sft", "--run", run, "--config", misspelt),
      "did you mean maximumTokens?"
    )
    const empty = settings("empty", { family: "text", text: { folder } })
    assert.include(await refused("UnusableFolder", "sft", "--run", run, "--config", empty), "config.json")
  })
})

describe("export", () => {
  it("writes a flat run, and refuses families with other heads", { timeout: 60_000 }, async () => {
    const run = join(folder, "flat")
    const config = settings("flat", {
      policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 512 }
    })
    await good("sft", "--run", run, "--config", config, "--policy", "flat")
    await good("export", "--run", run, "--into", join(folder, "flat-model"))
    const { config: { decoder } } = await open(join(folder, "flat-model"))
    assert.deepStrictEqual([decoder.width, decoder.tied], [16, true])
    assert.include(
      await refused("SettingsError", "export", "--run", run, "--into", join(folder, "other"), "--adapters"),
      "has no adapters"
    )
    assert.isFalse(existsSync(join(folder, "other")))
    const item = settings("item", { item: { width: 16, layers: 1, heads: 2, feedForward: 24 } })
    const other = join(folder, "item")
    await refused("NoCheckpoint", "export", "--run", run, "--into", join(folder, "other"), "--phase", "grpo")
    await good("sft", "--run", other, "--config", item, "--policy", "item")
    assert.include(
      await refused("Unsupported", "export", "--run", other, "--into", join(folder, "other")),
      "export a run of the flat or the text family"
    )
  })
})
