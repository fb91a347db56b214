/**
 * What actors of this process cost in time of the processor: the same steps made through a mailbox and by a direct call, in turn.
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

/** A step of the loop: groups, rewards, update. */
const step = Effect.gen(function*() {
  const drawn = yield* (yield* RolloutActor).generate(prompts, 1)
  const rewarded = yield* (yield* RewardActor).score(drawn.map(rewardGroup))
  const groups = Advantage.assign(drawn, rewarded)
  const references = yield* (yield* ReferenceModel).score(PolicyLearner.candidates(groups))
  yield* (yield* PolicyLearner.PolicyLearner).step(groups, references, 1)
})

/** The least of some times: what is left where nobody else wants the processor. */
const least = (values: ReadonlyArray<number>) => Math.min(...values)

describe("actors of one process", () => {
  // The policy that counts comes first: afterwards tfjs is traced.
  for (
    const [name, policy, repeats] of [["a policy that counts", counting, 40], ["a flat policy", flat, 40]] as const
  ) {
    it.live(`take at most 5 % longer than direct calls: ${name}`, () =>
      Effect.gen(function*() {
        const direct = yield* Layer.build(Layer.merge(rollouts, rewards))
        const actors = yield* Layer.build(Layer.merge(InProcess.rollouts(rollouts), InProcess.rewards(rewards)))
        const timed = Effect.fnUntraced(function*(context: typeof direct) {
          // Time of the processor, of all threads: others may use the machine meanwhile.
          const before = process.cpuUsage()
          yield* Effect.provide(step, context)
          const { system, user } = process.cpuUsage(before)
          return (system + user) / 1000
        })
        for (let i = 0; i < 3; i++) yield* Effect.andThen(timed(direct), timed(actors))
        const own: Array<number> = []
        const through: Array<number> = []
        const ratio = () => least(through) / least(own)
        // The least times of a busy machine need more of them.
        for (let i = 0; i < repeats || (i < 5 * repeats && ratio() > 1.05); i++) {
          // Whoever comes second may find a warm cache.
          if (i % 2 === 0) own.push(yield* timed(direct))
          through.push(yield* timed(actors))
          if (i % 2 === 1) own.push(yield* timed(direct))
        }
        process.stdout.write(
          `${name}: direct ${least(own).toFixed(2)} ms, actors ${least(through).toFixed(2)} ms, ${ratio().toFixed(4)}\n`
        )
        assert.isAtMost(ratio(), 1.05)
      }).pipe(
        Effect.scoped,
        Effect.provide(learning.pipe(Layer.provideMerge(PublishedWeights.layer), Layer.provideMerge(policy)))
      ), 300_000)
  }
})
