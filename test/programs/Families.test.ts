/**
 * Runs of the families with one position per item, from nothing to recommendations.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Recipes from "../../programs/Recipes.ts"
import type { Answer } from "../../programs/Recommend.ts"
import * as Settings from "../../programs/Settings.ts"
import type { EvaluationRecord } from "../../src/evaluation/EvaluationRecord.ts"
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
      const { best, choices } = record.fusion as NonNullable<EvaluationRecord["fusion"]>
      assert.deepStrictEqual(
        choices.map(({ phase }) => phase),
        ["sft", "sft item head", "grpo", "grpo item head"]
      )
      const measured = choices.flatMap(({ phase, weights }) => weights.map((one) => ({ phase, ...one })))
      assert.deepInclude(measured, best)
      assert.isTrue(measured.every(({ ndcg }) => ndcg <= best.ndcg))
      const ask = async (model: string, count: number): Promise<Answer> =>
        JSON.parse(
          (await good(
            "recommend",
            "--run",
            run,
            "--user",
            "user-3",
            "--json",
            "--model",
            model,
            "--count",
            String(count)
          )).out
        )
      for (const model of ["grpo-item-head", "grpo-item-head+item-knn"]) {
        const [few, all] = [await ask(model, 3), await ask(model, 1000)]
        assert.strictEqual(all.model, model.replace("-item-head", " item head").replace("+", " + "))
        assert.strictEqual(
          all.weight,
          model.includes("+") ? choices.find(({ phase }) => phase === "grpo item head")!.weight : 0
        )
        assert.deepStrictEqual(few.recommendations, all.recommendations.slice(0, 3))
        const titles = all.recommendations.map(({ title }) => title)
        assert.isTrue(titles.every((title) => !all.history.includes(title)))
        assert.strictEqual(new Set(all.recommendations.map(({ item }) => item)).size, 40 - new Set(all.history).size)
        assert.isAtMost(all.recommendations.reduce((sum, { probability }) => sum + probability, 0), 1)
        for (const [i, { probability, score }] of all.recommendations.entries()) {
          if (i > 0) assert.isAtMost(score, all.recommendations[i - 1]!.score)
          if (!model.includes("+")) assert.closeTo(score, Math.log(probability), 1e-9)
        }
      }
      const before = readFileSync(join(run, "manifest.json"), "utf8")
      const answer = JSON.parse((await good("recommend", "--run", run, "--user", "user-3", "--json")).out)
      assert.isAbove(answer.recommendations.length, 0)
      assert.strictEqual(readFileSync(join(run, "manifest.json"), "utf8"), before)
      assert.strictEqual(JSON.parse(manifest).settings.family, family)
      const sids: ReadonlyArray<ReadonlyArray<number>> = JSON.parse(readFileSync(join(run, "sids.json"), "utf8")).sids
      assert.isTrue(sids.every((codes) => family === "item" ? codes.length >= 3 : codes.length >= 16))
    })
  }

  it("reads the times of a user's events, and takes a history of titles as one without", async () => {
    const data = join(folder, "dated")
    mkdirSync(data)
    const day = 86_400
    const events = Array.from({ length: 60 * 6 }, (_, i) => {
      const [user, event] = [Math.floor(i / 6), i % 6]
      return `u${user},i${(user * 3 + event * (1 + user % 2)) % 20},${1_300_000_000 + day * (user + event * event)}`
    })
    writeFileSync(join(data, "events.csv"), `user_id,item_id,timestamp\n${events.join("\n")}\n`)
    const titles = Array.from({ length: 20 }, (_, i) => `i${i},${["red", "blue", "green"][i % 3]} thing ${i}\n`)
    writeFileSync(join(data, "items.csv"), `item_id,title\n${titles.join("")}`)
    const probabilities = Effect.fnUntraced(function*(time: string) {
      const own = join(folder, `${time}.json`)
      const given = JSON.parse(readFileSync(settings, "utf8"))
      writeFileSync(own, JSON.stringify({ ...given, shop: {}, item: { ...given.item, time } }))
      const run = join(folder, `dated-${time}`)
      yield* Effect.promise(() => good("demo", "--run", run, "--config", own, "--data", data, "--policy", "item"))
      const ask = (...how: ReadonlyArray<string>) =>
        Effect.promise(() => good("recommend", "--run", run, "--model", "grpo", "--json", ...how)).pipe(
          Effect.map(({ out }) => JSON.parse(out))
        )
      const user = yield* ask("--user", "u7")
      const titles = yield* ask("--history", user.history.join("; "))
      assert.deepStrictEqual(titles.history, user.history)
      const of = (answer: { readonly recommendations: ReadonlyArray<{ readonly probability: number }> }) =>
        answer.recommendations.map(({ probability }) => probability)
      return [of(user), of(titles)]
    })
    const [none, same] = await Effect.runPromise(probabilities("none"))
    assert.deepStrictEqual(none, same)
    const [dated, undated] = await Effect.runPromise(probabilities("gaps-and-ages"))
    assert.strictEqual(dated!.length, undated!.length)
    assert.notDeepEqual(dated, undated)
  })

  it("the recipe of a new run follows from its data, and is kept in its manifest", async () => {
    assert.strictEqual(Recipes.of(undefined, { hasData: false, hasSids: false }), Recipes.shop)
    assert.strictEqual(Recipes.of("item", { hasData: false, hasSids: false }), Recipes.shop)
    assert.strictEqual(Recipes.of("flat", { hasData: false, hasSids: false }), Recipes.recipes.flat)
    assert.strictEqual(Recipes.of(undefined, { hasData: true, hasSids: false }).family, "parallel")
    assert.strictEqual(Recipes.of(undefined, { hasData: true, hasSids: true }).family, "flat")
    assert.strictEqual(Recipes.of("item", { hasData: true, hasSids: false }), Recipes.recipes.item)
    const run = join(folder, "kept")
    await good("data", "--run", run, "--config", settings)
    assert.strictEqual(JSON.parse(readFileSync(join(run, "manifest.json"), "utf8")).settings.family, "item")
  })

  it("a size stands for the shapes of all families, beneath the settings of a file; small is the default", async () => {
    const [small, none] = await Effect.runPromise(
      Effect.all([Settings.decode(Recipes.sizes.small, "small"), Settings.decode({}, "none")])
    )
    assert.deepStrictEqual(small, none)
    const own = join(folder, "own.json")
    writeFileSync(
      own,
      JSON.stringify({
        shop: { users: 60, items: 40 },
        policy: { layers: 1 },
        sft: { epochs: 1, epochsPerValidation: 1, validationUsers: 5 }
      })
    )
    const run = join(folder, "sized")
    const report = JSON.parse(
      (await good("sft", "--run", run, "--config", own, "--policy", "flat", "--size", "tiny", "--json")).out
    )
    const { policy } = JSON.parse(readFileSync(join(run, "manifest.json"), "utf8")).settings
    assert.deepStrictEqual(policy, { ...Recipes.sizes.tiny.policy, layers: 1 })
    // One block of width 64 with two query heads and one for keys and values, besides the rows of the embedding.
    const block = 64 * (64 + 32 + 32 + 64 + 3 * 172) + 2 * 64
    const rows = (report.parameters - block - 64) / 64
    assert.isTrue(Number.isInteger(rows) && rows > 20 && rows < 200, String(rows))
    assert.strictEqual(report.trained, report.parameters)
  })
})
