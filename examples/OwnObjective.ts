/**
 * An objective of your own in a GRPO loop: the log-likelihood of candidates, weighed by their advantages, with a penalty
 * on confident steps; summed with a built-in one.
 *
 * Run it: `node examples/OwnObjective.ts`
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as LeafDecoder from "sidereal/decode/LeafDecoder"
import * as Advantage from "sidereal/grpo/Advantage"
import * as Learner from "sidereal/grpo/PolicyLearner"
import * as Prompts from "sidereal/grpo/Prompts"
import * as Rollouts from "sidereal/grpo/RolloutActor"
import * as AnswerLikelihood from "sidereal/objective/loss/AnswerLikelihood"
import * as Objective from "sidereal/objective/Objective"
import * as Adam from "sidereal/optimizer/Adam"
import { AdamWConfig } from "sidereal/optimizer/AdamW"
import * as Parameters from "sidereal/policy/PolicyParameters"
import * as Published from "sidereal/policy/PublishedWeights"
import * as Reward from "sidereal/reward/RewardActor"
import * as RuleReward from "sidereal/reward/RuleReward"
import * as Sids from "sidereal/sid/Sids"
import * as Testing from "sidereal/testing"
import * as CountingPolicy from "sidereal/testing/CountingPolicy"

/** `confidence` is fed at every step, so that a change of it compiles nothing; terms appear in the log by their names. */
const humble = (confidence: number): Objective.GroupObjective => ({
  name: "humble",
  needs: { behaviour: false, reference: false },
  scalars: { confidence },
  loss: (groups, { confidence }) => {
    const likelihood = Objective.overCandidates(groups.logProbs.mul(groups.advantages.reshape([-1, 1])), groups)
    const sureness = Objective.overSteps(groups.logProbs.exp().square(), groups)
    return { loss: sureness.mul(confidence!).sub(likelihood), terms: { sureness } }
  }
})
const objective = Objective.sum([
  { objective: humble(0.05), weight: 1 },
  { objective: AnswerLikelihood.make(), weight: 0.1 }
])

const index = Testing.index(27)
const sequences = Array.from({ length: 60 }, (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % 27))

const loop = Effect.gen(function*() {
  const actor = yield* Rollouts.RolloutActor
  const rewarder = yield* Reward.RewardActor
  const learner = yield* Learner.PolicyLearner
  const hits: Array<number> = []
  for (let step = 1; step <= 40; step++) {
    const rollouts = yield* actor.generate(Prompts.draw(sequences, 32, [1, step]), step)
    const rewards = yield* rewarder.score(rollouts.map(Rollouts.rewardGroup))
    const groups = Advantage.assign(rollouts, rewards).filter(Advantage.carriesSignal)
    if (groups.length > 0) yield* learner.step(groups, [], step)
    hits.push(rollouts.filter(({ hits }) => hits[0]).length / rollouts.length)
  }
  yield* Effect.sync(() => console.log(`the best candidate is right: ${hits[0]} at step 1, ${hits.at(-1)} at step 40`))
})

const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({ weightDecay: 0, averaging: 0 }))
const actors = Layer.mergeAll(
  Rollouts.RolloutActor.layer({ groupSize: 9, historyExcluded: true }),
  Reward.RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }]),
  Learner.PolicyLearner.layer({ objective, optimizer, learningRate: () => 0.3 })
)
const policy = Layer.mergeAll(Published.PublishedWeights.layer, LeafDecoder.LeafDecoder.layerBeams()).pipe(
  Layer.provideMerge(Parameters.PolicyParameters.layer),
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.merge(Sids.Sids.layer(index), Testing.layerNoTensors))
)
await Effect.runPromise(loop.pipe(Effect.provide(actors.pipe(Layer.provideMerge(policy)))))
