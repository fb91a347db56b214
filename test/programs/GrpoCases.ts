/**
 * GRPO with a setting of its own, by the command line, from one supervised run.
 */
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { names } from "../../programs/Rewards.ts"
import type * as Settings from "../../programs/Settings.ts"
import * as Advantage from "../../src/grpo/Advantage.ts"
import * as ObjectiveConfig from "../../src/objective/ObjectiveConfig.ts"
import { good } from "./CommandLine.ts"

/** Settings of GRPO. */
export type Given = NonNullable<Settings.PartialSettings["grpo"]>
type Fields = Readonly<Record<string, number>>

const folder = mkdtempSync(join(tmpdir(), "sidereal-grpo-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const base = join(folder, "base")

const small = { steps: 2, promptsPerStep: 6, groupSize: 4, stepsPerValidation: 2, validationUsers: 8 }

/** Users who go round 11 items; their own pairs are a small part of the counts, so that the teacher knows something. */
const events = Array.from({ length: 16 * 7 }, (_, i) => {
  const [user, event] = [Math.floor(i / 7), i % 7]
  return `u${user},i${(user * 3 + event) % 11},${1_000_000 + user * 100 + event}`
})

beforeAll(async () => {
  mkdirSync(join(folder, "shop"))
  writeFileSync(join(folder, "shop", "events.csv"), ["user_id,item_id,timestamp", ...events].join("\n"))
  const titles = Array.from({ length: 11 }, (_, i) => `i${i},${["red", "blue"][i % 2]} ${["pen", "cup", "bag"][i % 3]}`)
  writeFileSync(join(folder, "shop", "items.csv"), ["item_id,title", ...titles].join("\n"))
  const config = join(folder, "sft.json")
  writeFileSync(
    config,
    JSON.stringify({
      lsa: { width: 8 },
      tokenizer: { shape: { levels: 2, codes: 8 } },
      policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16, batchTokens: 256, historyItems: 8 },
      sft: { epochs: 2, epochsPerValidation: 1, validationUsers: 8, validationBeams: 10 },
      evaluation: { beams: 20 }
    })
  )
  await good("sft", "--run", base, "--data", join(folder, "shop"), "--config", config)
}, 240_000)

/** The arguments of a copy of the supervised run with settings of GRPO. */
export const withSettings = (name: string, grpo: Given): ReadonlyArray<string> => {
  const run = join(folder, name)
  cpSync(base, run, { recursive: true })
  writeFileSync(`${run}.json`, JSON.stringify({ grpo: { ...small, validationBeams: 10, ...grpo } }))
  return ["--run", run, "--config", `${run}.json`]
}

interface Case {
  readonly grpo: Given
  readonly flags?: ReadonlyArray<string>
  /** What each step's record must say beyond finite numbers. */
  readonly says?: (fields: Fields) => boolean
  readonly note?: string
}

/** Whether the policy's own candidates, with two codes each, are the only ones. */
const isAlone = ({ nodes, positions, positionsReplicated }: Fields) =>
  Math.abs(positionsReplicated! - small.groupSize * (positions! - nodes! + 2)) < 1e-6

/** Settings by name, with what they must leave. */
export const cases: Readonly<Record<string, Case>> = {
  ...Object.fromEntries(
    ObjectiveConfig.kinds.filter((kind) => kind !== "top-leaves").map((kind): [string, Case] => [`objective ${kind}`, {
      grpo: { objective: { kind } },
      says: ({ gradientNorm, usableGroupShare }) => gradientNorm! > 0 && usableGroupShare === 1
    }])
  ),
  "objective distillation with an anchor": {
    grpo: { objective: { anchor: 0.2 }, rollout: { answer: "add" } },
    says: ({ answer, answered, hitShare }) => answer! > 0 && answered! > 0.5 && hitShare! > 0.5
  },
  "objective distillation in reverse": {
    grpo: { objective: { reverse: 0.5 } },
    says: ({ forward, loss, reverse }) => Math.abs(loss! - (forward! + reverse!) / 2) < 1e-4
  },
  "objective top-leaves by rule": {
    grpo: { objective: { kind: "top-leaves" }, rewards: { rule: 1 } },
    says: ({ expected, loss, tail }) => expected! >= 0 && expected === -loss! && tail! > 0 && tail! < 1
  },
  "objective top-leaves, centred": { grpo: { objective: { kind: "top-leaves" }, advantage: "centred" } },
  "objective with divergence and entropy": {
    grpo: { objective: { divergence: "exact", entropy: 0.01 }, beta: 0.1 },
    says: ({ kl }) => kl! >= 0
  },
  ...Object.fromEntries(
    Advantage.Mode.literals.map((advantage): [string, Case] => [`advantage ${advantage}`, {
      grpo: { advantage, objective: { kind: "grpo" } },
      says: ({ gradientNorm }) => gradientNorm! > 0
    }])
  ),
  ...Object.fromEntries(
    (["sasrec", "fusion"] as const).map((teacher): [string, Case] => [`teacher ${teacher}`, { grpo: { teacher } }])
  ),
  ...Object.fromEntries(
    (["sampling", "stochastic-beams", "exact"] as const).map((kind): [string, Case] => [`decoder ${kind}`, {
      grpo: { rollout: { decoder: { kind } } },
      says: (fields) => !isAlone(fields)
    }])
  ),
  "decoder with repeated candidates for ratios": {
    grpo: { objective: { kind: "grpo" }, rollout: { decoder: { kind: "sampling", replacement: true } } }
  },
  "rollouts with hints": { grpo: { rollout: { hintShare: 0.5 } } },
  "rollouts of more prompts than are wanted": {
    grpo: { rollout: { overGeneration: 2 }, rewards: { rule: 1 } },
    says: ({ usableGroupShare }) => usableGroupShare! > 0
  },
  "rollouts beside a prior": { grpo: { rollout: { priorWeight: 1 } } },
  "rollouts without a teacher": {
    grpo: { rollout: { teacherItems: 0 } },
    says: isAlone
  },
  "prompts held out": { grpo: { prompts: { positions: "held-out" } } },
  "prompts without an answer": {
    grpo: { prompts: { positions: "unlabelled" }, rewards: { collaborative: 1, prefix: 1, rule: 1 } },
    says: (fields) => fields["hitShare"] === 0 && !("reward.rule" in fields) && "reward.collaborative" in fields
  },
  "prompts without an answer for rewards that compare with it": {
    grpo: { prompts: { positions: "unlabelled" }, rewards: { rule: 1, ranking: 1, ndcg: 1, prefix: 1, semantic: 1 } },
    says: ({ usableGroupShare }) => usableGroupShare === 0,
    note: "unlabelled prompts have no answer"
  },
  "prompts at random": { grpo: { prompts: { order: "random", recent: 2, window: 3 } } },
  "a reference that follows": { grpo: { reference: { every: 2 } } },
  "several passes in parts": {
    grpo: { innerSteps: 2, minibatches: 2, objective: { kind: "grpo" } },
    says: ({ loss }) => loss !== 0
  },
  "a step ahead": { grpo: { rollout: { overGeneration: 2 }, stepsPerValidation: 4 }, flags: ["--ahead", "1"] },
  ...Object.fromEntries(
    names.map((name): [string, Case] => [`reward ${name}`, {
      grpo: { rewards: { [name]: 1 } },
      says: (fields) => `reward.${name}` in fields
    }])
  ),
  "all rewards, normalised": {
    grpo: { rewards: Object.fromEntries(names.map((name) => [name, 0.5])), normaliseRewards: "group" },
    says: (fields) => names.every((name) => `reward.${name}` in fields)
  }
}

/** Trains with some settings: each leaves the record of its steps. */
export const trained = (some: ReadonlyArray<string>): void => {
  for (const name of some) {
    const { flags = [], grpo, note, says } = cases[name]!
    it(name, async () => {
      const args = withSettings(name, grpo)
      const { notes } = await good("grpo", ...args, ...flags)
      if (note !== undefined) assert.include(notes, note)
      else assert.notInclude(notes, "learns nothing")
      const steps = readFileSync(join(folder, name, "events.jsonl"), "utf8").trim().split("\n").flatMap((line) => {
        const { fields, kind } = JSON.parse(line)
        return kind === "grpo.step" ? [fields as Fields] : []
      })
      assert.strictEqual(steps.length, small.steps)
      for (const fields of steps) {
        assert.isTrue(Object.values(fields).every(Number.isFinite), JSON.stringify(fields))
        assert.isTrue(says?.(fields) ?? fields["gradientNorm"]! > 0, JSON.stringify(fields))
      }
    }, 240_000)
  }
}
