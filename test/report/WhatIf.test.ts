import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Advantage from "../../src/grpo/Advantage.ts"
import { type GroupTrace } from "../../src/grpo/monitoring/GroupTrace.ts"
import * as RewardDebugger from "../../src/report/RewardDebugger.ts"
import * as WhatIf from "../../src/report/WhatIf.ts"
import { Reward } from "../../src/reward/Reward.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as Traces from "./Traces.ts"

const sizes = [6, 1, 2, 9, 24]
const weights = [4, -0.3, 0, 1.7]
const others = [0.5, 2, 1, -1.25]

const lawOf = (
  mode: GroupTrace["mode"],
  normalise: GroupTrace["normalise"],
  temperature: number | null = null,
  own = weights
) => ({
  mode,
  normalise,
  temperature,
  rewards: own.map((weight, r) => ({ name: `reward ${r}`, weight }))
})

/** What the program gives for rewards and weights. */
const program = (
  groups: ReadonlyArray<ReadonlyArray<ReadonlyArray<number> | null>>,
  { mode, normalise, rewards }: ReturnType<typeof lawOf>
) =>
  Effect.gen(function*() {
    const actor = yield* RewardActor
    const scored = yield* actor.score(groups.map((parts) => {
      const size = parts.find((part) => part !== null)?.length ?? 3
      return {
        user: 0,
        history: new Int32Array(0),
        target: 0,
        items: new Int32Array(size),
        hits: Array.from({ length: size }, () => false)
      }
    }))
    return {
      totals: scored.map(({ total }) => [...total]),
      advantages: Advantage.ofRewards(scored, {
        mode,
        weights: Object.fromEntries(rewards.map(({ name, weight }) => [name, weight]))
      }).map((one) => [...one])
    }
  }).pipe(Effect.provide(RewardActor.layer(
    rewards.map(({ name, weight }, r) => ({
      weight,
      reward: Reward.layerBatch(name, () => Effect.succeed(groups.map((parts) => parts[r]!)))
    })),
    { normalise }
  )))

describe("WhatIf.recompute", () => {
  for (const mode of Advantage.Mode.literals) {
    for (const normalise of ["none", "group", "batch"] as const) {
      it.effect(`makes the program's totals and advantages: ${mode}, normalised by ${normalise}`, () =>
        Effect.gen(function*() {
          for (let seed = 0; seed < 20; seed++) {
            const groups = Traces.parts(sizes, weights.length, seed)
            for (const own of [weights, others]) {
              const law = lawOf(mode, normalise, null, own)
              const expected = yield* program(groups, law)
              const found = WhatIf.recompute(WhatIf.data(Traces.trace(groups, lawOf(mode, normalise))), own)
              assert.deepStrictEqual(found.map(({ totals }) => Array.from(totals)), expected.totals)
              assert.deepStrictEqual(found.map(({ advantages }) => Array.from(advantages)), expected.advantages)
            }
          }
        }))
    }
  }

  it("makes the teacher of a distillation", () => {
    for (const [temperature, softening] of [[0.25, 1], [1, 2.5], [3, 0.5]] as const) {
      const drawn = Traces.trace(Traces.parts(sizes, 4, 3), lawOf("raw", "none", temperature))
      const trace = { ...drawn, softening }
      for (const [g, { advantages, teacher }] of WhatIf.recompute(WhatIf.data(trace), others).entries()) {
        const odds = trace.groups[g]!.candidates.map(({ reference }, c) =>
          (Math.exp(reference) * Math.exp(advantages[c]! / temperature)) ** (1 / softening)
        )
        const sum = odds.reduce((a, b) => a + b, 0)
        for (const [c, odd] of odds.entries()) assert.closeTo(teacher[c]!, odd / sum, 1e-12)
      }
    }
  })
})

describe("the script of the page", () => {
  for (const mode of Advantage.Mode.literals) {
    it.effect(`shows what another weight earns, and the run's own again: ${mode}`, () =>
      Effect.gen(function*() {
        const groups = Traces.parts(sizes, 4, 11)
        const page = RewardDebugger.render(Traces.trace(groups, lawOf(mode, "group", 2))).markup
        const elements = Traces.open(page)
        const text = (kind: string) =>
          groups.map((parts, g) =>
            Array.from(parts.find((part) => part !== null)!, (_, c) => elements.get(`${kind}-${g}-${c}`)!.textContent)
          )
        const check = Effect.fnUntraced(function*(own: Array<number>) {
          const expected = yield* program(groups, lawOf(mode, "group", null, own))
          assert.deepStrictEqual(text("total"), expected.totals.map((all) => all.map((one) => one.toFixed(3))))
          assert.deepStrictEqual(text("advantage"), expected.advantages.map((all) => all.map((one) => one.toFixed(3))))
          for (const [r, weight] of own.entries()) {
            assert.strictEqual(Number(elements.get(`weight-${r}`)!.value), weight)
            assert.strictEqual(Number(elements.get(`weight-${r}-number`)!.value), weight)
          }
          return text("teacher")
        })
        const move = (id: string, value: string) => {
          const control = elements.get(id)!
          control.value = value
          control.listeners["input"]!()
        }
        const reset = elements.get("weights-reset")!.listeners["click"]!
        reset()
        const before = yield* check(weights)
        move("weight-0", "0.25")
        move("weight-3-number", "-2.5")
        const after = yield* check([0.25, -0.3, 0, -2.5])
        assert.notDeepEqual(after, before)
        // A number that is being written changes nothing yet.
        const control = elements.get("weight-1-number")!
        for (const unfinished of ["", "-"]) {
          control.value = unfinished
          control.listeners["input"]!()
          assert.deepStrictEqual(text("teacher"), after)
        }
        reset()
        assert.deepStrictEqual(yield* check(weights), before)
      }))
  }
})
