/**
 * What the mailboxes of this process's actors add to a step, in time of the processor: calls that are answered at once
 * with the groups of a real step, against the time of the whole step by direct calls. The difference of two whole steps
 * would be lost in the noise of a shared machine.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as InProcess from "../../layers/cluster/InProcess.ts"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Advantage from "../../src/grpo/Advantage.ts"
import * as PolicyLearner from "../../src/grpo/PolicyLearner.ts"
import { type RolloutPrompt } from "../../src/grpo/Prompts.ts"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import { rewardGroup, RolloutActor } from "../../src/grpo/RolloutActor.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { layerOn } from "../policy/Fixture.ts"

const items = 500
const groupSize = 16

const prompts: ReadonlyArray<RolloutPrompt> = Array.from({ length: 64 }, (_, ordinal) => ({
  ordinal,
  history: { user: ordinal, items: Int32Array.from({ length: 10 }, (_, i) => (ordinal * 7 + i * 13) % items) },
  target: (ordinal * 31) % items
}))

const rollouts = RolloutActor.layer({ groupSize, historyExcluded: true })
const rewards = RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }])

const flat = LeafDecoder.layerBeams().pipe(
  Layer.provideMerge(
    layerOn(
      Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ width: 64, layers: 2, heads: 4, keyValueHeads: 4 }),
      Testing.index(items)
    )
  ),
  Layer.provide(OnnxRuntime.layerCpu({ threads: 1 }))
)
const counting = LeafDecoder.layerBeams().pipe(
  Layer.provideMerge(PolicyParameters.layer),
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.merge(Sids.layer(Testing.index(items)), Testing.layerNoTensors))
)

const learning = Layer.merge(
  ReferenceModel.layerFrozen,
  PolicyLearner.PolicyLearner.layer({
    objective: GroupRelative.make({ beta: 0.1 }),
    optimizer: Adam.adamW(Schema.decodeSync(AdamW.AdamWConfig)({})),
    learningRate: () => 1e-3
  })
)

/** Lower quartile of some times in milliseconds: other work on the machine and collections lengthen the later ones. */
const quartile = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 2]!

/** Time of the processor in milliseconds, of all threads: others may use the machine meanwhile. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = process.cpuUsage()
    const result = yield* effect
    const { system, user } = process.cpuUsage(before)
    return { result, time: (system + user) / 1000 }
  })

/** Draws the groups and scores them. */
const draw = Effect.gen(function*() {
  const drawn = yield* (yield* RolloutActor).generate(prompts, 1)
  return { drawn, rewarded: yield* (yield* RewardActor).score(drawn.map(rewardGroup)) }
})

/** A step of the loop: groups, rewards, update. */
const step = Effect.gen(function*() {
  const { drawn, rewarded } = yield* draw
  const groups = Advantage.assign(drawn, rewarded)
  const references = yield* (yield* ReferenceModel).score(PolicyLearner.candidates(groups))
  yield* (yield* PolicyLearner.PolicyLearner).step(groups, references, 1)
})

describe("actors of one process", () => {
  // The policy that counts comes first: afterwards tfjs is traced.
  for (const [name, policy] of [["a policy that counts", counting], ["a flat policy", flat]] as const) {
    it.live(`add at most 5 % to a step: ${name}`, () =>
      Effect.gen(function*() {
        const direct = yield* Layer.build(Layer.merge(rollouts, rewards))
        const { drawn, rewarded } = yield* Effect.provide(draw, direct)
        const instantRollouts = Layer.effect(
          RolloutActor,
          Effect.map(PublishedWeights, ({ current }) =>
            RolloutActor.of({
              generate: () =>
                Effect.scoped(current).pipe(
                  Effect.map(({ version }) => drawn.map((group) => ({ ...group, version }))),
                  Effect.orDie
                )
            }))
        )
        const instantRewards = Layer.succeed(
          RewardActor,
          RewardActor.of({ names: ["rule"], score: () => Effect.succeed(rewarded) })
        )
        const actors = yield* Layer.build(
          Layer.merge(InProcess.rollouts(instantRollouts), InProcess.rewards(instantRewards))
        )
        const steps: Array<number> = []
        const calls: Array<number> = []
        for (let i = 0; i < 40; i++) {
          steps.push((yield* Effect.provide(timed(step), direct)).time)
          calls.push((yield* Effect.provide(timed(draw), actors)).time)
        }
        process.stdout.write(
          `${name}: a step ${quartile(steps).toFixed(2)} ms, mailboxes ${quartile(calls).toFixed(2)} ms\n`
        )
        assert.isAtMost(quartile(calls), 0.05 * quartile(steps))
      }).pipe(
        Effect.scoped,
        Effect.provide(learning.pipe(Layer.provideMerge(PublishedWeights.layer), Layer.provideMerge(policy)))
      ), 300_000)
  }
})
