/**
 * Custom rewards, a function and one that awaits a service, with a built-in one; prints the rewards of a group.
 *
 * Run it: `node examples/CustomReward.ts`
 */
import * as Effect from "effect/Effect"
import { Reward } from "sidereal/reward/Reward"
import { RewardActor } from "sidereal/reward/RewardActor"
import * as RuleReward from "sidereal/reward/RuleReward"

const cheap = Reward.layer("cheap", ({ items }) => Array.from(items, (item) => item < 3 ? 1 : 0))
const stock = Reward.layer("stock", ({ items }) => Effect.promise(async () => Array.from(items, (item) => item % 2)))

const rewards = RewardActor.layer([
  { reward: RuleReward.layer, weight: 1 },
  { reward: cheap, weight: 0.5 },
  { reward: stock, weight: 0.1, timeout: "1 second", retries: 2, onFailure: "notApplicable" }
])
const group = {
  user: 0,
  history: Int32Array.of(4),
  target: 2,
  items: Int32Array.of(3, 2, 5),
  hits: [false, true, false]
}

const program = Effect.gen(function*() {
  const [earned] = yield* (yield* RewardActor).score([group])
  yield* Effect.sync(() => console.log(Array.from(earned!.total, (total) => total.toFixed(1)).join(" ")))
})
await Effect.runPromise(program.pipe(Effect.provide(rewards)))
