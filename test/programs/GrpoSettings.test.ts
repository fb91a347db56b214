/**
 * GRPO with kinds of settings, by the command line, from one supervised run: each leaves the record of its steps, or is
 * refused with the name of the field.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Settings from "../../programs/Settings.ts"
import * as Grpo from "../../src/grpo/Grpo.ts"
import { refused } from "./CommandLine.ts"
import { type Given, trained, withSettings } from "./GrpoCases.ts"

/** What makes no sense, with the words that tell it. */
const contradictions: ReadonlyArray<readonly [Given, ReadonlyArray<string>]> = [
  [{ objective: { kind: "top-leaves" } }, ["grpo.advantage", "top-leaves", "centred"]],
  ...(["distillation", "top-leaves", "lambda-loss", "approx-ndcg"] as const).map((kind) =>
    [
      { objective: { kind }, rewards: { rule: 1 }, rollout: { decoder: { kind: "sampling", replacement: true } } },
      ["grpo.rollout.decoder.replacement", `${kind} needs distinct candidates`]
    ] as const
  ),
  [
    { prompts: { positions: "unlabelled" }, objective: { anchor: 0.2 }, rollout: { answer: "add", hintShare: 0.5 } },
    ["grpo.objective.anchor", "grpo.rollout.answer", "grpo.rollout.hintShare", "have no answer"]
  ]
]

describe("GRPO by its settings", () => {
  // Every setting has its turn in the long suite.
  trained([
    "objective distillation",
    "objective grpo",
    "objective top-leaves by rule",
    "advantage per-reward",
    "teacher sasrec",
    "decoder stochastic-beams",
    "rollouts with hints",
    "rollouts of more prompts than are wanted",
    "rollouts beside a prior",
    "prompts held out",
    "prompts without an answer",
    "a reference that follows",
    "several passes in parts",
    "a step ahead",
    "reward semantic",
    "all rewards, normalised"
  ])

  it("is refused where settings contradict each other, with the name of each", async () => {
    for (const [i, [grpo, words]] of contradictions.entries()) {
      const message = await refused("SettingsError", "grpo", ...withSettings(`refused-${i}`, grpo))
      for (const word of words) assert.include(message, word)
    }
  })

  it.effect("asks whole sequences only where no setting reads an answer", () =>
    Effect.gen(function*() {
      const positionsOf = Effect.fnUntraced(function*(given: object, rewards?: "others") {
        const prompts = { positions: "automatic", unlabelledShare: 0.5 }
        const { grpo } = yield* Settings.decode({ grpo: { prompts, ...given } }, "a test")
        const { positions, unlabelledShare } = Grpo.promptsOf(grpo, rewards)
        assert.strictEqual(unlabelledShare, positions === "unlabelled" ? 0.5 : 0)
        return positions
      })
      for (const given of [{}, { rewards: { collaborative: 1, popularity: 1, rule: 0 } }]) {
        assert.strictEqual(yield* positionsOf(given), "unlabelled")
      }
      for (
        const given of [
          { rewards: { collaborative: 1, semantic: 0.5 } },
          { rollout: { answer: "add" } },
          { rollout: { hintShare: 0.5 } },
          { objective: { anchor: 0.1 } }
        ]
      ) {
        assert.strictEqual(yield* positionsOf(given), "training")
      }
      assert.strictEqual(yield* positionsOf({}, "others"), "training")
      assert.strictEqual(yield* positionsOf({ prompts: { positions: "held-out" } }), "held-out")
      const mixed = { prompts: { positions: "training", unlabelledShare: 0.5 } } as const
      const { grpo } = yield* Settings.decode({ grpo: mixed }, "a test")
      assert.include(Grpo.promptsOf(grpo), mixed.prompts)
    }))

  it.effect("keeps its own defaults beside a field that is given", () =>
    Effect.gen(function*() {
      const given = { learningRate: { peak: 1e-3 }, optimizer: { beta1: 0.8 }, rollout: { answer: "add" } }
      const { grpo } = yield* Settings.decode({ grpo: given }, "a test")
      const { grpo: usual } = yield* Settings.decode({}, "a test")
      assert.deepStrictEqual({ ...grpo.learningRate }, { ...usual.learningRate, peak: 1e-3 })
      assert.deepStrictEqual({ ...grpo.optimizer }, { ...usual.optimizer, beta1: 0.8 })
      assert.deepStrictEqual({ ...grpo.rollout }, { ...usual.rollout, answer: "add" })
      const bad = { learningRate: { peak: -1, peek: 1 }, optimizer: { averaging: 2 } }
      const { message } = yield* Effect.flip(Settings.decode({ grpo: bad }, "a test"))
      for (const words of ["grpo.learningRate.peak: ", "did you mean peak?", "grpo.optimizer.averaging: "]) {
        assert.include(message, words)
      }
    }))
})
