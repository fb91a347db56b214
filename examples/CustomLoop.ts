/**
 * A custom training loop: GRPO in memory, without a run directory, on a counting policy; prints the hits of steps.
 *
 * Run it: `node examples/CustomLoop.ts`
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as LeafDecoder from "sidereal/decode/LeafDecoder"
import * as Advantage from "sidereal/grpo/Advantage"
import * as Learner from "sidereal/grpo/PolicyLearner"
import * as Prompts from "sidereal/grpo/Prompts"
import * as Reference from "sidereal/grpo/ReferenceModel"
import * as Rollouts from "sidereal/grpo/RolloutActor"
import * as GroupRelative from "sidereal/objective/loss/GroupRelative"
import * as Adam from "sidereal/optimizer/Adam"
import { AdamWConfig } from "sidereal/optimizer/AdamW"
import * as Parameters from "sidereal/policy/PolicyParameters"
import * as Published from "sidereal/policy/PublishedWeights"
import * as Reward from "sidereal/reward/RewardActor"
import * as RuleReward from "sidereal/reward/RuleReward"
import * as Sids from "sidereal/sid/Sids"
import * as Testing from "sidereal/testing"
import * as CountingPolicy from "sidereal/testing/CountingPolicy"

/** 60 users with histories of consecutive items, of 27 items in all. */
const index = Testing.index(27)
const sequences = Array.from({ length: 60 }, (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % 27))

const loop = Effect.gen(function*() {
  const actor = yield* Rollouts.RolloutActor
  const rewarder = yield* Reward.RewardActor
  const reference = yield* Reference.ReferenceModel
  const learner = yield* Learner.PolicyLearner
  for (let step = 1; step <= 40; step++) {
    const rollouts = yield* actor.generate(Prompts.draw(sequences, 32, [1, step]), step)
    const rewards = yield* rewarder.score(rollouts.map(Rollouts.rewardGroup))
    const groups = Advantage.assign(rollouts, rewards).filter(Advantage.carriesSignal)
    if (groups.length > 0) yield* learner.step(groups, yield* reference.score(Learner.candidates(groups)), step)
    const hits = rollouts.filter(({ hits }) => hits[0]).length / rollouts.length
    if (step % 10 === 0) yield* Effect.sync(() => console.log(`step ${step}: the best candidate is right ${hits}`))
  }
})

const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({ weightDecay: 0, averaging: 0 }))
const actors = Layer.mergeAll(
  Rollouts.RolloutActor.layer({ groupSize: 9, historyExcluded: true }),
  Reward.RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }]),
  Reference.ReferenceModel.layerFrozen,
  Learner.PolicyLearner.layer({ objective: GroupRelative.make({ beta: 0 }), optimizer, learningRate: () => 0.3 })
)
const policy = Layer.mergeAll(Published.PublishedWeights.layer, LeafDecoder.LeafDecoder.layerBeams()).pipe(
  Layer.provideMerge(Parameters.PolicyParameters.layer),
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.merge(Sids.Sids.layer(index), Testing.layerNoTensors))
)
await Effect.runPromise(loop.pipe(Effect.provide(actors.pipe(Layer.provideMerge(policy)))))
