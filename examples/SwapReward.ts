/**
 * A custom reward in the GRPO program: candidates with the target's category receive a partial reward.
 *
 * Run it on a trained run: `node examples/SwapReward.ts runs/generated-shop`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Grpo from "sidereal/programs/Grpo"
import * as Layers from "sidereal/programs/Layers"
import * as Prepare from "sidereal/programs/Prepare"
import { Reward } from "sidereal/reward/Reward"
import * as RuleReward from "sidereal/reward/RuleReward"

const program = Effect.gen(function*() {
  const { dataset } = yield* Prepare.program()
  const shelf = (item: number) => dataset.items[item]!.categories.at(-1)
  const category = Reward.layer(
    "category",
    ({ items, target }) => Array.from(items, (item) => shelf(item) === shelf(target) ? 1 : 0)
  )
  const report = yield* Grpo.program({
    rewards: [{ reward: RuleReward.layer, weight: 1 }, { reward: category, weight: 0.2 }]
  })
  yield* Effect.log(report)
})

program.pipe(
  Effect.provide(Layers.layer({ run: process.argv[2], given: {}, fresh: false, existing: true })),
  NodeRuntime.runMain
)
