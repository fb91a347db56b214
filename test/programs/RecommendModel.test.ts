import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { cli } from "../../programs/Commands.ts"
import { type EvaluationRecord, type ModelRow } from "../../src/evaluation/EvaluationRecord.ts"
import * as Random from "../../src/statistics/Random.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-model-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (...parts: ReadonlyArray<string>) => join(folder, ...parts)

/** Runs a command line in this process. */
const run = async (...args: ReadonlyArray<string>) => {
  const out: Array<string> = []
  const errors: Array<string> = []
  const heard: Console.Console = Object.assign(Object.create(console), {
    log: (text: string) => out.push(text),
    error: (text: string) => errors.push(text)
  })
  const exit = await Command.runWith(cli, { version: "test" })(args).pipe(
    Effect.provideService(Console.Console, heard),
    Effect.provide(NodeServices.layer),
    Effect.exit,
    Effect.runPromise
  )
  const failure = Exit.isFailure(exit) ? String(exit.cause) + errors.join("\n") : undefined
  return { out: out.join("\n"), failure }
}

const good = async (...args: ReadonlyArray<string>) => {
  const { failure, out } = await run(...args)
  assert.isUndefined(failure)
  return out
}

interface Answer {
  readonly model: string
  readonly weight: number
  readonly reason: string
  readonly recommendations: ReadonlyArray<{ item: string; probability: number; score: number }>
}

const items = 60
const words = ["red", "blue", "green", "wool", "cotton", "linen", "shirt", "cap", "scarf"]

/** What comes next is mostly a neighbour of what came before, so that neighbours help a policy that has learned little. */
const events = () => {
  const next = Random.uniform(9)
  return Array.from({ length: 90 }, (_, u) => {
    let item = Math.floor(next() * items)
    return Array.from({ length: 7 }, (_, t) => {
      item = next() < 0.8 ? (7 * item + 1) % items : Math.floor(next() * items)
      return `u${u},i${item},${t}\n`
    }).join("")
  }).join("")
}

const settings = {
  lsa: { width: 16 },
  tokenizer: { shape: { codes: 8 } },
  family: "flat",
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 256 },
  sft: { epochs: 2, patience: 9, validationUsers: 30, learningRate: { peak: 0.01, warmupSteps: 2, floor: 0.05 } },
  grpo: { steps: 2, promptsPerStep: 8, groupSize: 4, stepsPerValidation: 1, validationUsers: 20 },
  evaluation: { fusionUsers: 70, fusionWeights: [0.5, 2, 8] }
}

describe("what recommend ranks with", () => {
  const kept = at("run")
  const recommend = async (...args: ReadonlyArray<string>): Promise<Answer> =>
    JSON.parse(await good("recommend", "--run", kept, "--user", "u3", "--json", ...args))
  const evaluate = async (folder: string, ...args: ReadonlyArray<string>): Promise<EvaluationRecord> =>
    JSON.parse(await good("evaluate", "--run", folder, "--json", ...args))
  let record: EvaluationRecord

  beforeAll(async () => {
    mkdirSync(at("shop"))
    writeFileSync(at("shop", "events.csv"), `user_id,item_id,timestamp\n${events()}`)
    const titles = Array.from(
      { length: items },
      (_, i) => `i${i},${words[i % 3]} ${words[3 + Math.floor(i / 3) % 3]} ${words[6 + Math.floor(i / 9) % 3]} ${i}\n`
    )
    writeFileSync(at("shop", "items.csv"), `item_id,title\n${titles.join("")}`)
    writeFileSync(at("settings.json"), JSON.stringify(settings))
    await good("sft", "--run", kept, "--data", at("shop"), "--config", at("settings.json"))
  })

  it("is the latest policy alone before an evaluation has chosen, and says so; a fused model has no weight yet", async () => {
    const before = await recommend()
    assert.deepStrictEqual([before.model, before.weight], ["sft", 0])
    assert.include(before.reason, "no evaluation")
    assert.include(before.reason, `sidereal evaluate --run ${kept}`)
    for (const { probability, score } of before.recommendations) {
      assert.closeTo(Math.exp(score), probability, 1e-6)
    }
    assert.deepStrictEqual((await recommend("--model", "sft")).recommendations, before.recommendations)
    const fused = await run("recommend", "--run", kept, "--user", "u3", "--model", "sft+item-knn")
    for (
      const part of ["SettingsError", "sft+item-knn has no weight yet", "sidereal evaluate --run", "use --model sft"]
    ) {
      assert.include(fused.failure!, part)
    }
    const missing = await run("recommend", "--run", kept, "--user", "u3", "--model", "grpo")
    assert.include(missing.failure!, "no complete grpo checkpoint")
  })

  it("is the best by validation afterwards, which the evaluation keeps", async () => {
    await good("grpo", "--run", kept)
    record = await evaluate(kept)
    const { best, choices, users } = record.fusion!
    assert.deepStrictEqual(choices.map(({ phase }) => phase), ["sft", "grpo"])
    assert.strictEqual(users, 70)
    const all = choices.flatMap(({ weights }) => weights.map(({ ndcg }) => ndcg))
    assert.strictEqual(best.ndcg, Math.max(...all))
    assert.isAbove(best.weight, 0, "neighbours help a policy of two epochs")
    const answer = await recommend()
    assert.deepStrictEqual([answer.model, answer.weight], [`${best.phase} + item-knn`, best.weight])
    assert.include(answer.reason, `the best by validation, NDCG@10 ${best.ndcg.toFixed(4)}`)
    const text = await good("recommend", "--run", kept, "--user", "u3")
    assert.include(text, `Ranked by ${answer.model} (weight ${answer.weight}): the best by validation`)
    assert.deepStrictEqual(
      (await recommend("--model", best.phase === "sft" ? "sft+item-knn" : "grpo+item-knn")).recommendations,
      answer.recommendations
    )
    const alone = await recommend("--model", "sft")
    assert.deepStrictEqual([alone.model, alone.weight, alone.reason], ["sft", 0, "as asked"])
    assert.notDeepEqual(alone.recommendations, answer.recommendations)
  })

  it("lists what begins the list for any greater count, alone and with a prior", async () => {
    for (const model of ["sft", "sft+item-knn"]) {
      const lists = await Promise.all(
        [1, 4, 21, 60].map(async (count) =>
          (await recommend("--model", model, "--count", String(count))).recommendations
        )
      )
      const all = lists.at(-1)!
      for (const list of lists) assert.deepStrictEqual(list, all.slice(0, list.length))
      assert.deepStrictEqual(lists.slice(0, 3).map((list) => list.length), [1, 4, 21])
      for (const [i, { score }] of all.entries()) if (i > 0) assert.isAtMost(score, all[i - 1]!.score)
    }
  })

  it("has rows of both history modes, each as an evaluation in that mode alone", async () => {
    const other = at("other")
    cpSync(kept, other, { recursive: true })
    writeFileSync(at("kept.json"), JSON.stringify({ evaluation: { historyExcluded: false } }))
    const swapped = await evaluate(other, "--config", at("kept.json"))
    assert.deepStrictEqual([record.excluded, swapped.kept], [[], []])
    const weights = (one: EvaluationRecord) => one.fusion!.choices.map(({ weight }) => weight)
    const timeless = (rows: ReadonlyArray<ModelRow>) =>
      // The weights of a prior are chosen in the mode of the run.
      rows.filter(({ name }) => !name.includes(" + ") || String(weights(record)) === String(weights(swapped)))
        .map((row) => ({ ...row, seconds: 0 }))
    assert.deepStrictEqual(timeless(record.models), timeless(swapped.excluded))
    assert.deepStrictEqual(timeless(record.kept), timeless(swapped.models))
    assert.notDeepEqual(timeless(record.models), timeless(record.kept))
    assert.deepStrictEqual(record.models.map(({ name }) => name), [
      "popularity",
      "item-knn",
      "sft",
      "grpo",
      "sft + item-knn",
      "grpo + item-knn"
    ])
    assert.deepStrictEqual(record.kept.map(({ name }) => name), record.models.map(({ name }) => name))
    assert.include(record.differences.map(({ metric, name }) => `${name} ${metric}`), "grpo - sft HR@50")
    assert.include(record.differences.map(({ name }) => name), "sft + item-knn - item-knn")
    for (const rows of [record.models, record.kept]) {
      for (const { metrics, name, slices } of rows) {
        for (const metric of ["HR@10", "NDCG@10"]) {
          for (const part of [["quartile 1", "quartile 2", "quartile 3", "quartile 4"], ["seen", "unseen"]]) {
            const sum = part.reduce(
              (all, slice) => all + record.slices.find((one) => one.name === slice)!.users * slices[slice]![metric]!,
              0
            )
            assert.closeTo(sum / record.users, metrics[metric]!, 1e-9, `${name} ${metric}`)
          }
        }
        assert.isAtLeast(metrics["HR@50"]!, metrics["HR@20"]!)
      }
    }
    // No list holds what it excludes: a target in its history is a miss, and one like any other where it is kept.
    assert.isAbove(record.protocol.repeatedTargets, 0)
    const misses = record.protocol.repeatedTargets / record.users
    for (const { metrics } of record.models) assert.isAtMost(metrics["HR@50"]!, 1 - misses)
    const everything = ({ name }: ModelRow) => name === "item-knn"
    assert.isAbove(record.kept.find(everything)!.metrics["MRR"]!, 0)
  })

  it("has a row of SASRec where it is asked for, trained once, and ranks beside it as a prior", async () => {
    const asked = at("sasrec")
    cpSync(kept, asked, { recursive: true })
    const settingsOf = (evaluation: object) => {
      writeFileSync(at("sasrec.json"), JSON.stringify({ evaluation }))
      return ["--config", at("sasrec.json")]
    }
    const timeless = (rows: ReadonlyArray<ModelRow>) => rows.map((row) => ({ ...row, seconds: 0 }))
    const named = (name: string) => (row: ModelRow) => row.name === name
    const baseline = await evaluate(asked, ...settingsOf({ baselines: ["sasrec"] }))
    for (const [rows, before] of [[baseline.models, record.models], [baseline.kept, record.kept]] as const) {
      assert.deepStrictEqual(rows.map(({ name }) => name).slice(0, 4), ["popularity", "item-knn", "sasrec", "sft"])
      assert.deepStrictEqual(timeless(rows.filter(({ name }) => name !== "sasrec")), timeless(before))
      // Most events follow from the one before, which SASRec learns from ten passes.
      const [model, popular] = ["sasrec", "popularity"].map((name) => rows.find(named(name))!.metrics["NDCG@10"]!)
      assert.isAbove(model!, 2 * popular!)
    }
    const differences = baseline.differences.map(({ name }) => name)
    for (const name of ["sft - sasrec", "grpo - sasrec"]) assert.include(differences, name)
    assert.isFalse(readdirSync(join(kept, "checkpoints")).some((name) => name.startsWith("sasrec-")))
    const trained = () =>
      readdirSync(join(asked, "checkpoints")).filter((name) => name.startsWith("sasrec-")).toSorted()
    const checkpoints = trained().map((name) => statSync(join(asked, "checkpoints", name)).mtimeMs)
    assert.isAbove(checkpoints.length, 0)

    const prior = await evaluate(asked, ...settingsOf({ prior: "sasrec", baselines: [] }))
    assert.deepStrictEqual(trained().map((name) => statSync(join(asked, "checkpoints", name)).mtimeMs), checkpoints)
    assert.deepStrictEqual(
      timeless(prior.models.filter(named("sasrec"))),
      timeless(baseline.models.filter(named("sasrec")))
    )
    assert.strictEqual(prior.fusion!.scorer, "sasrec")
    for (const name of ["sft + sasrec", "grpo + sasrec", "item-knn"]) {
      assert.isDefined(prior.models.find(named(name)), name)
    }
    assert.isUndefined(prior.models.find(named("sft + item-knn")))
    const question = ["recommend", "--run", asked, "--user", "u3", "--json"]
    const answer = JSON.parse(await good(...question, "--model", "sft+sasrec")) as Answer
    const weight = prior.fusion!.choices.find(({ phase }) => phase === "sft")!.weight
    assert.deepStrictEqual([answer.model, answer.weight], ["sft + sasrec", weight])
    const headless = await run(...question, "--model", "sft-item-head")
    assert.include(headless.failure!, "the flat policy has no item head; use --model sft")
    const other = await run(...question, "--model", "sft+item-knn")
    assert.include(other.failure!, "sft+item-knn has no weight yet")
    for (const name of trained()) rmSync(join(asked, "checkpoints", name), { recursive: true })
    const lost = await run(...question, "--model", "sft+sasrec")
    assert.include(lost.failure!, "has no trained SASRec; run `sidereal evaluate")
  })

  it("leaves HR@50 out where lists are shorter", async () => {
    const short = at("short")
    cpSync(kept, short, { recursive: true })
    writeFileSync(at("beams.json"), JSON.stringify({ evaluation: { beams: 20 } }))
    const { differences, models } = await evaluate(short, "--config", at("beams.json"))
    const metrics = new Map(models.map((row) => [row.name, Object.keys(row.metrics)]))
    assert.notInclude(metrics.get("sft")!, "HR@50")
    assert.include(metrics.get("sft")!, "HR@20")
    assert.include(metrics.get("item-knn")!, "HR@50")
    assert.isTrue(differences.every(({ metric }) => metric === "NDCG@10"))
  })

  it("is the latest policy again when the run was trained further, until it is evaluated again", async () => {
    const later = at("later")
    cpSync(kept, later, { recursive: true })
    const file = join(later, "evaluation.json")
    const told = JSON.parse(readFileSync(file, "utf8")) as EvaluationRecord
    const manifest = join(later, "manifest.json")
    const { hashes: { "evaluation.json": _, ...hashes }, ...others } = JSON.parse(readFileSync(manifest, "utf8"))
    writeFileSync(manifest, JSON.stringify({ ...others, hashes }))
    const choices = told.fusion!.choices.map((choice) => ({ ...choice, step: choice.step + 1 }))
    writeFileSync(file, JSON.stringify({ ...told, fusion: { ...told.fusion, choices } }))
    const answer = JSON.parse(await good("recommend", "--run", later, "--user", "u3", "--json")) as Answer
    assert.deepStrictEqual([answer.model, answer.weight], ["grpo", 0])
    assert.include(answer.reason, "trained further")
    await evaluate(later)
    const again = JSON.parse(await good("recommend", "--run", later, "--user", "u3", "--json")) as Answer
    assert.include(again.reason, "the best by validation")
  })
}, 240_000)
