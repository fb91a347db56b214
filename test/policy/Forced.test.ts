import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Candidates from "../../src/grpo/rollout/Candidates.ts"
import * as Objective from "../../src/objective/Objective.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import { enliven, index, layer } from "./Fixture.ts"

it.effect("steps that were given carry no loss in a flat policy and are no visits", () =>
  Effect.gen(function*() {
    const policy = yield* PolicyModel
    const store = yield* PolicyParameters
    const { space } = yield* Sids
    const weights = yield* enliven
    const gradient = yield* policy.groupGradient({
      name: "linear",
      needs: { behaviour: false, reference: false },
      scalars: {},
      loss: (groups) => ({
        loss: Objective.overCandidates(groups.logProbs.mul(groups.advantages.expandDims(1)), groups),
        terms: { visits: groups.nodes.visits.sum() }
      })
    })
    const prompt = Prompt.ofItems(Int32Array.of(4, 8))
    const leaves = Int32Array.of(3, 4, 5).map((item) => index.leafOf[item]!)
    const [reference] = yield* policy.score([{ prompt, leaves }], weights)
    const a = [1, 0.2, -0.4]
    for (const forced of [0, 1, 2]) {
      const terms = yield* gradient.accumulate(store, [{
        batch: [{
          prompt,
          leaves,
          forced,
          reference: reference!,
          advantages: Float32Array.from(a),
          behaviour: [new Float32Array(4), new Float32Array(4), new Float32Array(4)]
        }]
      }], { seed: 0, step: 0 })
      const expected = a.reduce((sum, adv, i) => {
        const steps = Candidates.stepsIn(space, reference!, leaves[i]!).slice(forced)
        return sum + adv * steps.reduce((x, y) => x + y, 0) / steps.length / 3
      }, 0)
      assert.closeTo(terms.loss, expected, 1e-5)
      assert.closeTo(terms["visits"]!, 3 + 4 + 4 - 3 * forced, 1e-6)
    }
  }).pipe(Effect.scoped, Effect.provide(layer())))
