import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as LoraLayer from "../../src/policy/lora/LoraLayer.ts"
import { distance, tensors } from "../Golden.ts"
import { good, refused } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-base-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (...parts: ReadonlyArray<string>) => join(folder, ...parts)

const policy = { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16, batchTokens: 256, historyItems: 8 }
const settings = {
  lsa: { width: 8 },
  tokenizer: { shape: { levels: 2, codes: 8 } },
  policy,
  family: "flat",
  sft: {
    epochs: 4,
    patience: 9,
    epochsPerValidation: 1,
    validationUsers: 12,
    validationBeams: 20,
    learningRate: { peak: 0.02 }
  },
  grpo: {
    steps: 2,
    promptsPerStep: 8,
    groupSize: 4,
    stepsPerValidation: 1,
    validationUsers: 12,
    validationBeams: 20,
    learningRate: { peak: 0.02 }
  },
  evaluation: { beams: 20 }
}
const adapted = { ...settings, policy: { ...policy, lora: { rank: 2, alpha: 4 } } }

/** Writes settings and returns the flags of a run with them. */
const flags = (run: string, value: unknown, data = "shop"): ReadonlyArray<string> => {
  writeFileSync(at(`${run}.json`), JSON.stringify(value))
  return ["--run", at(run), "--data", at(data), "--config", at(`${run}.json`)]
}

/** Tensors of the checkpoints of a phase, the latest last. */
const checkpoints = (run: string, kind: string) =>
  readdirSync(at(run, "checkpoints"))
    .filter((name) => name.startsWith(`${kind}-`) && !name.includes("mixture"))
    .toSorted((a, b) => Number(a.split("-").at(-1)) - Number(b.split("-").at(-1)))
    .map((name) => ({
      step: Number(name.split("-").at(-1)),
      best: JSON.parse(readFileSync(at(run, "checkpoints", name, "commit.json"), "utf8")).best as boolean,
      tensors: tensors(at(run, "checkpoints", name), "tensors.safetensors")
    }))

const shop = (name: string, count: number) => {
  mkdirSync(at(name))
  const events = Array.from({ length: 12 * 7 }, (_, i) => {
    const [user, event] = [Math.floor(i / 7), i % 7]
    return `u${user},i${(user * 3 + event) % count},${1_000_000 + user * 100 + event}`
  })
  writeFileSync(at(name, "events.csv"), `user_id,item_id,timestamp\n${events.join("\n")}\n`)
  const titles = Array.from({ length: count }, (_, i) => `i${i},${["red", "blue", "green"][i % 3]} thing ${i}\n`)
  writeFileSync(at(name, "items.csv"), `item_id,title\n${titles.join("")}`)
}

describe("a run on the weights of another", () => {
  beforeAll(async () => {
    shop("shop", 11)
    shop("other", 10)
    await good("sft", ...flags("base", settings))
    await good("sft", ...flags("adapted", { ...adapted, base: at("base") }))
    await good("grpo", "--run", at("adapted"))
  }, 240_000)

  it("trains adapters, in both phases, and keeps the base as it was", () => {
    // The weights that the base is evaluated by: the average, where there is one.
    const base = checkpoints("base", "sft").findLast(({ best }) => best)!.tensors
    for (const kind of ["sft", "grpo"]) {
      const found = checkpoints("adapted", kind).at(-1)!.tensors
      let moved = 0
      for (const [key, { data }] of found) {
        const [part, name] = key.split("/") as [string, string]
        const isAdapter = name.startsWith(LoraLayer.prefix)
        if (part !== "weights") {
          assert.include(key, LoraLayer.prefix)
          continue
        }
        const expected = base.get(`average/${name}`) ?? base.get(key)
        assert.strictEqual(expected === undefined, isAdapter, key)
        if (isAdapter) moved += data.some((value) => value !== 0) && name.includes("lora_B") ? 1 : 0
        else assert.strictEqual(distance(data as Float32Array, expected!.data as Float32Array), 0, key)
      }
      assert.strictEqual(moved, 7, kind)
    }
  })

  it("does not need the base afterwards", async () => {
    renameSync(at("base"), at("away"))
    const before = readFileSync(at("adapted", "manifest.json"), "utf8")
    for (const command of [["evaluate"], ["recommend", "--user", "u1"], ["sft"], ["grpo"]]) {
      await good(...command, "--run", at("adapted"))
    }
    assert.strictEqual(JSON.parse(before).settings.base, at("base"))
    renameSync(at("away"), at("base"))
  }, 120_000)

  it("can train all weights from those of the base", async () => {
    const first = JSON.parse(
      (await good(
        "sft",
        ...flags("warm", { ...settings, base: at("base"), sft: { ...settings.sft, epochs: 1 } }),
        "--json"
      ))
        .out
    )
    const cold = JSON.parse(
      (await good("sft", ...flags("cold", { ...settings, sft: { ...settings.sft, epochs: 1 } }), "--json")).out
    )
    assert.isAbove(first.bestNdcg, cold.bestNdcg)
  }, 120_000)

  it("is refused without a base, and with one that cannot be used", async () => {
    assert.include(
      await refused("SettingsError", "sft", ...flags("none", adapted)),
      "base: Expected the folder of a run"
    )
    const missing = await refused("SettingsError", "sft", ...flags("missing", { ...adapted, base: at("nowhere") }))
    assert.include(missing, at("nowhere"))
    mkdirSync(at("empty"))
    await refused("NoCheckpoint", "sft", ...flags("first", { ...adapted, base: at("empty") }))
    const own = await refused("SettingsError", "sft", ...flags("twice", { ...adapted, base: at("adapted") }))
    assert.include(own, "a run without policy.lora")
    const other = await refused("SettingsError", "sft", ...flags("sids", { ...adapted, base: at("base") }, "other"))
    assert.include(other, "the same SIDs")
    cpSync(at("base"), at("torn"), { recursive: true })
    writeFileSync(at("torn", "sids.json"), "{")
    const torn = await refused("SettingsError", "sft", ...flags("unread", { ...adapted, base: at("torn") }))
    assert.include(torn, "readable sids.json")
    const wide = { ...adapted, base: at("base"), policy: { ...adapted.policy, width: 32 } }
    assert.include(await refused("ShapeMismatch", "sft", ...flags("wide", wide)), "model.embed_tokens.weight")
  }, 120_000)
})
