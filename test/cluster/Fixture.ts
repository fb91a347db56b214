/**
 * GRPO of a policy that counts, in memory: whatever carries the messages, its weights end the same.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Grpo from "../../programs/Grpo.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import { GrpoConfig } from "../../src/grpo/Grpo.ts"
import { PolicyLearner } from "../../src/grpo/PolicyLearner.ts"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"

const items = 20

/** Users who go round the catalogue. */
export const sequences = Array.from(
  { length: 40 },
  (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % items)
)
const validation = sequences.map((all, user) => ({ user, history: all.subarray(0, 5), target: all[5]! }))

/** The data of a run. */
export const data = { sequences, validation, historyExcluded: true }

/** A few steps that change the weights a lot. */
export const config = Schema.decodeSync(GrpoConfig)({
  steps: 6,
  promptsPerStep: 12,
  groupSize: 6,
  stepsPerValidation: 3,
  learningRate: { peak: 0.05, warmupSteps: 1, floor: 1 }
})

/** The policy without parameters: what a process needs that draws. */
export const policy = LeafDecoder.layerBeams().pipe(
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Sids.layer(Testing.index(items)))
)

/** The policy with its parameters, and run services in memory. */
export const trained = PolicyParameters.layer.pipe(
  Layer.provideMerge(policy),
  Layer.provideMerge(Layer.mergeAll(Testing.layerRun, Testing.layerNoTensors))
)

/** Draws in this process. */
export const rollouts = RolloutActor.layer({ groupSize: config.groupSize, historyExcluded: true })

/** Rewards in this process. */
export const rewards = RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }])

/** The services of the loop around the actors given. */
export const learning = <E1 = never, R1 = never, E2 = never, R2 = never>(
  actor: Layer.Layer<RolloutActor, E1, R1>,
  rewarder: Layer.Layer<RewardActor, E2, R2>
) =>
  Layer.mergeAll(
    actor,
    rewarder,
    ReferenceModel.layerFrozen,
    PolicyLearner.layer({
      objective: GroupRelative.make({ beta: config.beta }),
      optimizer: Adam.adamW(config.optimizer),
      learningRate: () => 0.05
    })
  ).pipe(Layer.provideMerge(PublishedWeights.layer))

/** Returns the hash of the weights as they are. */
export const save = Effect.gen(function*() {
  const { weights } = yield* (yield* PolicyParameters).save
  return createHash("sha256").update(Safetensors.encode(weights)).digest("hex")
})

/** Trains with the actors given and returns the hash of the weights that it ends with. */
export const train = <E1 = never, R1 = never, E2 = never, R2 = never>(
  actor: Layer.Layer<RolloutActor, E1, R1>,
  rewarder: Layer.Layer<RewardActor, E2, R2>,
  hooks: Grpo.GrpoHooks = {}
) =>
  Effect.andThen(Grpo.train(config, data, 1, hooks), save).pipe(
    Effect.provide(learning(actor, rewarder).pipe(Layer.provideMerge(trained)))
  )
