/**
 * Runs of the families with one position per item, from nothing to recommendations.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Recipes from "../../programs/Recipes.ts"
import { good } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-families-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const settings = join(folder, "settings.json")
writeFileSync(
  settings,
  JSON.stringify({
    shop: { users: 60, items: 40 },
    lsa: { width: 8 },
    item: { width: 16, layers: 1, heads: 2, feedForward: 24, digitWidth: 8, batchItems: 128 },
    sft: { epochs: 2, epochsPerValidation: 1, validationUsers: 20, learningRate: { peak: 3e-3, warmupSteps: 4 } },
    grpo: { steps: 2, promptsPerStep: 4, groupSize: 4, stepsPerValidation: 1, validationUsers: 20 },
    evaluation: { fusionUsers: 20 }
  })
)

describe("a run of a family with an item head", () => {
  for (const family of ["item", "parallel"] as const) {
    it(`${family}: is trained, evaluated, and recommends without changing a file`, async () => {
      const run = join(folder, family)
      await good("demo", "--run", run, "--config", settings, "--policy", family)
      const manifest = readFileSync(join(run, "manifest.json"), "utf8")
      const record = JSON.parse((await good("evaluate", "--run", run, "--json")).out)
      const names: ReadonlyArray<string> = record.models.map(({ name }: { readonly name: string }) => name)
      for (const phase of ["sft", "grpo"]) {
        for (const name of [phase, `${phase} item head`, `${phase} + item-knn`, `${phase} item head + item-knn`]) {
          assert.include(names, name)
        }
      }
      assert.strictEqual(record.invalid, 0)
      const before = readFileSync(join(run, "manifest.json"), "utf8")
      const answer = JSON.parse((await good("recommend", "--run", run, "--user", "user-3", "--json")).out)
      assert.isAbove(answer.recommendations.length, 0)
      assert.strictEqual(readFileSync(join(run, "manifest.json"), "utf8"), before)
      assert.strictEqual(JSON.parse(manifest).settings.family, family)
      const sids: ReadonlyArray<ReadonlyArray<number>> = JSON.parse(readFileSync(join(run, "sids.json"), "utf8")).sids
      assert.isTrue(sids.every((codes) => family === "item" ? codes.length >= 3 : codes.length >= 16))
    })
  }

  it("the recipe of a new run follows from its data, and is kept in its manifest", async () => {
    assert.strictEqual(Recipes.of(undefined, { hasData: false, hasSids: false }).family, "flat")
    assert.strictEqual(Recipes.of(undefined, { hasData: true, hasSids: false }).family, "parallel")
    assert.strictEqual(Recipes.of(undefined, { hasData: true, hasSids: true }).family, "flat")
    assert.strictEqual(Recipes.of("item", { hasData: true, hasSids: false }).family, "item")
    const run = join(folder, "kept")
    await good("data", "--run", run, "--config", settings)
    assert.strictEqual(JSON.parse(readFileSync(join(run, "manifest.json"), "utf8")).settings.family, "flat")
  })
})
