/**
 * SFT, then GRPO with a reward of your own and a stop rule of your own, in memory, without a run directory.
 *
 * Run it: `node examples/SftThenGrpo.ts`
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as LeafDecoder from "sidereal/decode/LeafDecoder"
import { GrpoConfig } from "sidereal/grpo/Grpo"
import * as Parameters from "sidereal/policy/PolicyParameters"
import * as Grpo from "sidereal/programs/Grpo"
import * as Sft from "sidereal/programs/Sft"
import { Reward } from "sidereal/reward/Reward"
import * as RuleReward from "sidereal/reward/RuleReward"
import { SftConfig } from "sidereal/sft/Sft"
import * as Sids from "sidereal/sid/Sids"
import * as Testing from "sidereal/testing"
import * as CountingPolicy from "sidereal/testing/CountingPolicy"

/** 60 users who take one item after the other, of 27 items in all; the last item of each is for validation. */
const items = 27
const all = Array.from({ length: 60 }, (_, user) => Int32Array.from({ length: 7 }, (_, i) => (user + i) % items))
const sequences = all.map((taken) => taken.subarray(0, 6))
const validation = all.map((taken, user) => ({ user, history: taken.subarray(0, 6), target: taken[6]! }))
const data = { sequences, validation, historyExcluded: true }

const optimizer = { averaging: 0, weightDecay: 0 }
const sft = Schema.decodeSync(SftConfig)({ epochs: 1, learningRate: { peak: 0.02, warmupSteps: 1 }, optimizer })
const grpo = Schema.decodeSync(GrpoConfig)({
  steps: 100,
  promptsPerStep: 32,
  groupSize: 9,
  stepsPerValidation: 5,
  objective: { kind: "grpo" },
  learningRate: { peak: 0.1, warmupSteps: 1 },
  optimizer
})

/** The nearer a candidate is to what came next, the more it earns. */
const near = Reward.layer("near", ({ items, target }) => Array.from(items, (item) => -Math.abs(item - target) / 27))
const rewards = [{ reward: RuleReward.layer, weight: 1 }, { reward: near, weight: 0.5 }]

const program = Effect.gen(function*() {
  const supervised = yield* Sft.train(sft, data, 1)
  const stop: Grpo.GrpoHooks["stop"] = ({ best }) => best > 0.9
  const report = yield* Grpo.train(grpo, data, 1, { stop }).pipe(Effect.provide(Grpo.actors(grpo, rewards, data)))
  const [before, after] = [supervised.bestNdcg.toFixed(2), report.bestNdcg.toFixed(2)]
  yield* Effect.sync(() => console.log(`NDCG@10 ${before} by SFT, ${after} by GRPO, stopped at step ${report.steps}`))
})

const policy = Layer.merge(Parameters.PolicyParameters.layer, LeafDecoder.LeafDecoder.layerBeams()).pipe(
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.mergeAll(Sids.Sids.layer(Testing.index(items)), Testing.layerRun, Testing.layerNoTensors))
)
await Effect.runPromise(program.pipe(Effect.provide(policy)))
