import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { cli } from "../../programs/Commands.ts"
import * as OldCheckpoint from "../training/OldCheckpoint.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-averaging-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (...parts: ReadonlyArray<string>) => join(folder, ...parts)

/** Runs a command line in this process and returns what it prints. */
const sidereal = (...args: ReadonlyArray<string>): Promise<string> => {
  const out: Array<string> = []
  const heard: Console.Console = Object.assign(Object.create(console), {
    log: (text: string) => out.push(text),
    error: () => {}
  })
  return Command.runWith(cli, { version: "test" })(args).pipe(
    Effect.provideService(Console.Console, heard),
    Effect.provide(NodeServices.layer),
    Effect.map(() => out.join("\n")),
    Effect.runPromise
  )
}

/** Settings whose phases differ in the average alone: with a share of 1e-9 it is the weights. */
const settings = (averaging: number) => ({
  lsa: { width: 8 },
  tokenizer: { shape: { levels: 2, codes: 8 } },
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16, batchTokens: 256, historyItems: 8 },
  sft: {
    epochs: 6,
    patience: 9,
    validationUsers: 12,
    validationBeams: 20,
    learningRate: { peak: 0.02 },
    optimizer: { averaging }
  },
  grpo: {
    steps: 3,
    promptsPerStep: 8,
    groupSize: 4,
    stepsPerValidation: 1,
    validationUsers: 12,
    validationBeams: 20,
    learningRate: { peak: 0.01 },
    optimizer: { averaging, weightDecay: 0 }
  },
  evaluation: { beams: 20 }
})

/** What a run answers once its phases are trained. */
const answers = async (run: string) => {
  const record = JSON.parse(await sidereal("evaluate", "--run", run, "--json"))
  const { recommendations } = JSON.parse(await sidereal("recommend", "--run", run, "--user", "u1", "--json"))
  return {
    models: (record.models as ReadonlyArray<Record<string, unknown>>).map((row) => ({ ...row, seconds: 0 })),
    recommendations: (recommendations as ReadonlyArray<{ item: string; probability: number }>).map((
      { item, probability }
    ) => [item, probability.toFixed(4)])
  }
}

/** The first validation of GRPO: that of what it begins from. */
const begins = (run: string) =>
  readFileSync(join(run, "events.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    .find(({ kind, step }) => kind === "grpo.validation" && step === 0).fields["NDCG@10"]

describe("a run without an average of the weights", () => {
  const reports = new Map<string, { readonly sft: { readonly bestNdcg: number }; readonly sftOnly: unknown }>()

  beforeAll(async () => {
    mkdirSync(at("shop"))
    const events = Array.from({ length: 12 * 7 }, (_, i) => {
      const [user, event] = [Math.floor(i / 7), i % 7]
      return `u${user},i${(user * 3 + event) % 11},${1_000_000 + user * 100 + event}`
    })
    writeFileSync(at("shop", "events.csv"), `user_id,item_id,timestamp\n${events.join("\n")}\n`)
    const titles = Array.from({ length: 11 }, (_, i) => `i${i},${["red", "blue", "green"][i % 3]} thing ${i}\n`)
    writeFileSync(at("shop", "items.csv"), `item_id,title\n${titles.join("")}`)
    for (const [name, averaging] of [["without", 0], ["weights", 1e-9]] as const) {
      const config = at(`${name}.json`)
      writeFileSync(config, JSON.stringify(settings(averaging)))
      const sft = JSON.parse(
        await sidereal("sft", "--run", at(name), "--data", at("shop"), "--config", config, "--json")
      )
      reports.set(name, { sft, sftOnly: await answers(at(name)) })
    }
    cpSync(at("without"), at("old"), { recursive: true })
    OldCheckpoint.age(at("old", "checkpoints"), "sft")
    for (const name of ["without", "weights", "old"]) await sidereal("grpo", "--run", at(name))
  }, 240_000)

  it("is evaluated and recommends by its weights after SFT", () => {
    assert.deepStrictEqual(reports.get("without")!.sftOnly, reports.get("weights")!.sftOnly)
    assert.isAbove(reports.get("without")!.sft.bestNdcg, 0.3)
  })

  it("begins GRPO from the weights that SFT found", () => {
    assert.strictEqual(begins(at("without")), reports.get("without")!.sft.bestNdcg)
    assert.strictEqual(begins(at("weights")), reports.get("weights")!.sft.bestNdcg)
  })

  it("is evaluated and recommends by its weights after GRPO", async () => {
    assert.deepStrictEqual(await answers(at("without")), await answers(at("weights")))
  })

  it("is read the same where its checkpoints are of the older form", async () => {
    assert.strictEqual(begins(at("old")), reports.get("without")!.sft.bestNdcg)
    assert.deepStrictEqual(await answers(at("old")), await answers(at("without")))
    OldCheckpoint.age(at("old", "checkpoints"), "grpo")
    assert.deepStrictEqual(await answers(at("old")), await answers(at("without")))
  })
})
