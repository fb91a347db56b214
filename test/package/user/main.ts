/**
 * SFT, then GRPO with a reward of one's own, of a policy on onnxruntime that runs on a worker thread.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { LeafDecoder } from "sidereal/decode/LeafDecoder"
import { GrpoConfig } from "sidereal/grpo/Grpo"
import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
import * as FlatPolicy from "sidereal/policy/flat/FlatPolicy"
import { PolicyParameters } from "sidereal/policy/PolicyParameters"
import * as Grpo from "sidereal/programs/Grpo"
import * as Sft from "sidereal/programs/Sft"
import * as RuleReward from "sidereal/reward/RuleReward"
import { SftConfig } from "sidereal/sft/Sft"
import { Sids } from "sidereal/sid/Sids"
import * as Testing from "sidereal/testing"
import { data, index } from "./Catalogue.ts"
import * as Nearness from "./Nearness.ts"

const policy = Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({
  width: 16,
  layers: 1,
  heads: 2,
  keyValueHeads: 2,
  feedForward: 32,
  historyItems: 6,
  dropout: 0
})
const sft = Schema.decodeSync(SftConfig)({ epochs: 8, learningRate: { peak: 0.01, warmupSteps: 2 } })
const grpo = Schema.decodeSync(GrpoConfig)({
  steps: 4,
  promptsPerStep: 16,
  groupSize: 9,
  stepsPerValidation: 2,
  objective: { kind: "grpo" },
  learningRate: { peak: 0.001, warmupSteps: 1 }
})
const rewards = [{ reward: RuleReward.layer, weight: 1 }, { reward: Nearness.layer, weight: 0.5 }]

const program = Effect.gen(function*() {
  const supervised = yield* Sft.train(sft, data, 1)
  const report = yield* Grpo.train(grpo, data, 1).pipe(Effect.provide(Grpo.actors(grpo, rewards, data)))
  yield* Effect.sync(() => console.log(JSON.stringify({ sft: supervised.bestNdcg, steps: report.steps })))
})

const services = Layer.merge(PolicyParameters.layer, LeafDecoder.layerBeams()).pipe(
  Layer.provideMerge(FlatPolicy.layer(policy, 1)),
  Layer.provideMerge(
    Layer.mergeAll(Sids.layer(index), Testing.layerRun, OnnxRuntime.layerCpu({ threads: 1, worker: true }))
  )
)
await Effect.runPromise(program.pipe(Effect.provide(services)))
