/**
 * Benchmarks of GRPO: one optimizer step on four prompts of the Industrial catalogue with 16 candidates each, through the
 * services of the training loop, against MiniOneRec's own trainer on the same prompts.
 *
 * Both sides search beams under the catalogue, reward by rule and rank, normalise by group, keep groups without signal,
 * score the reference, penalise the divergence (k3, weight 1e-3), clip the gradient at norm 0.3 and step AdamW. Differs
 * from the peer: log-probabilities are normalised over legal children, so a candidate's steps are its codes; the peer's
 * are over all tokens, with a newline and an end after the codes. In the text form both sides train all weights of a
 * model with the same vocabulary, on MiniOneRec's wording for reinforcement learning.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import { LeafDecoder } from "../src/decode/LeafDecoder.ts"
import { ItemEmbeddings } from "../src/embedding/ItemEmbeddings.ts"
import * as Advantage from "../src/grpo/Advantage.ts"
import * as StepRecord from "../src/grpo/monitoring/StepRecord.ts"
import * as PolicyLearner from "../src/grpo/PolicyLearner.ts"
import { type RolloutPrompt } from "../src/grpo/Prompts.ts"
import { ReferenceModel } from "../src/grpo/ReferenceModel.ts"
import * as Rollouts from "../src/grpo/RolloutActor.ts"
import * as GroupRelative from "../src/objective/loss/GroupRelative.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import { AdamWConfig } from "../src/optimizer/AdamW.ts"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import { type PolicyError } from "../src/policy/PolicyError.ts"
import { PolicyModel } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import { PublishedWeights } from "../src/policy/PublishedWeights.ts"
import * as TextPolicy from "../src/policy/text/TextPolicy.ts"
import { TextPolicyConfig } from "../src/policy/text/TextPolicyConfig.ts"
import { type Words } from "../src/policy/text/Words.ts"
import { DecoderConfig } from "../src/policy/transformer/Transformer.ts"
import * as RankingReward from "../src/reward/RankingReward.ts"
import { RewardActor } from "../src/reward/RewardActor.ts"
import * as RuleReward from "../src/reward/RuleReward.ts"
import { type RunEvent } from "../src/run/RunLog.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as ItemTexts from "../src/task/ItemTexts.ts"
import * as Template from "../src/task/Template.ts"
import * as HistoryToSid from "../src/task/template/HistoryToSid.ts"
import { type TensorError } from "../src/tensor/TensorError.ts"
import { type TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Benchmark } from "./Benchmark.ts"
import * as Decode from "./Decode.ts"
import { decoder, shapeOf } from "./Engine.ts"
import * as Scoped from "./Scoped.ts"
import * as TextModel from "./TextModel.ts"

const groupSize = 16

/** Rows of the training file, from 0, that the peer's seeded order of the first 400 gives to its five timed steps, four for each. */
const rows = [
  [391, 89, 151, 185],
  [57, 79, 332, 324],
  [85, 242, 321, 287],
  [173, 145, 316, 106],
  [171, 5, 399, 374]
]

/** One step of the loop in `programs/Grpo.ts` in which every group teaches. */
const stepOn = Effect.fnUntraced(function*(prompts: ReadonlyArray<RolloutPrompt>, step: number) {
  const actor = yield* Rollouts.RolloutActor
  const reference = yield* ReferenceModel
  const learner = yield* PolicyLearner.PolicyLearner
  const rollouts = yield* actor.generate(prompts, step)
  const rewards = yield* (yield* RewardActor).score(rollouts.map(Rollouts.rewardGroup))
  const groups = Advantage.assign(rollouts, rewards)
  const references = yield* reference.score(PolicyLearner.candidates(groups))
  const report = yield* learner.step(groups, references, step)
  return { groups, references, report }
})

const services = Layer.mergeAll(
  Rollouts.RolloutActor.layer({ groupSize, historyExcluded: false }).pipe(Layer.provide(LeafDecoder.layerBeams())),
  RewardActor.layer([{ weight: 1, reward: RuleReward.layer }, { weight: 1, reward: RankingReward.layer }]),
  ReferenceModel.layerFrozen,
  PolicyLearner.PolicyLearner.layer({
    objective: GroupRelative.make({ beta: 1e-3, epsilonLow: Infinity, epsilonHigh: Infinity }),
    optimizer: Adam.adamW(
      new AdamWConfig({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 0.3, averaging: 0 })
    ),
    learningRate: () => 1e-5
  })
).pipe(Layer.provideMerge(PublishedWeights.layer))

type Catalogue = Awaited<ReturnType<typeof Decode.catalogue>>

/** A policy to train, and how to remove what it needed. */
interface Prepared {
  readonly layers: number
  readonly policy: Layer.Layer<PolicyModel, PolicyError | TensorError, Sids | TensorRuntime>
  readonly remove: () => Promise<void>
}

const ofSids = async (width: number): Promise<Prepared> => {
  const config = Decode.flat(width)
  return { layers: config.layers, policy: FlatPolicy.layer(config, 1), remove: async () => {} }
}

/** Tokens of texts in the peer's small vocabulary. */
const textTokens = 1023

const ofText = async (width: number, { histories, index }: Catalogue): Promise<Prepared> => {
  const end = "<|endoftext|>"
  const words: Words = {
    ofHistory: (items, item) =>
      Template.fill(HistoryToSid.template, { history: items, item }, ItemTexts.ofItems([]), {
        prompts: "original",
        phase: "rl"
      })!,
    ofItem: () => ""
  }
  const pieces = words.ofHistory(histories[0]!, 0, undefined).prompt.filter((piece) => typeof piece === "string")
  const merges = TextModel.qwen([...pieces, ", "], textTokens)
  const shape = new DecoderConfig({
    ...decoder(shapeOf(width)),
    vocabulary: merges.vocabulary.size + 1,
    attentionBias: true
  })
  const folder = await mkdtemp(join(tmpdir(), "sidereal-text-"))
  await Effect.runPromise(
    TextModel.write(folder, shape, "F32", merges.files([end])).pipe(Effect.provide(NodeServices.layer))
  )
  const config = Schema.decodeSync(TextPolicyConfig)({ folder, train: "all", start: "around-mean" })
  return {
    layers: shape.layers,
    policy: TextPolicy.layer(config, words, 1).pipe(
      Layer.provide([
        ItemEmbeddings.layer({ rows: index.sids.length, width: 0, data: new Float32Array() }),
        NodeServices.layer
      ])
    ),
    remove: () => rm(folder, { recursive: true, force: true })
  }
}

const grpo = (
  name: string,
  width: number,
  policyOf: (width: number, catalogue: Catalogue) => Promise<Prepared>,
  peer: ReadonlyArray<string>
): Benchmark => ({
  name,
  repeats: 4 * rows.length,
  // Node compiles what runs often: after some forty steps of a training of hundreds, times no longer fall.
  warmup: 8 * rows.length,
  peer: {
    script: "grpo_step.py",
    environment: "minionerec",
    args: ["--d", String(width), ...peer, "--repeats", String(rows.length), "--wait", "passive"]
  },
  prepare: async () => {
    const catalogue = await Decode.catalogue("train", 400)
    const { histories, index, source, targets } = catalogue
    const { layers, policy, remove } = await policyOf(width, catalogue)
    const engine = await Scoped.open(
      services.pipe(
        Layer.provideMerge(PolicyParameters.layer),
        Layer.provideMerge(policy),
        Layer.provideMerge(Sids.layer(index)),
        Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
      )
    )
    const batches = rows.map((batch) =>
      batch.map((row, ordinal): RolloutPrompt => ({
        ordinal,
        history: { user: row, items: histories[row]! },
        target: targets[row]!
      }))
    )
    let step = 0
    const next = () => {
      const batch = batches[step % batches.length]!
      step++
      return engine.run(Effect.scoped(stepOn(batch, step)))
    }
    const { positions = () => 0 } = await engine.run(Effect.flatMap(PolicyModel, Effect.succeed))
    const { space } = await engine.run(Effect.flatMap(Sids, Effect.succeed))
    const counted: Array<RunEvent["fields"]> = []
    for (let i = 0; i < batches.length; i++) {
      const { groups, references, report } = await next()
      counted.push(
        StepRecord.of(space, { step, generated: groups, usable: groups, references, report, seconds: {}, positions })
          .fields
      )
    }
    const mean = (field: string) => counted.reduce((sum, fields) => sum + Number(fields[field]), 0) / counted.length
    const prompts = batches.flat()
    return {
      work: {
        d: width,
        layers,
        prompts: rows[0]!.length,
        candidates: groupSize,
        catalogue: index.sids.length,
        source,
        promptTokens: prompts.reduce((sum, { history }) => sum + positions(Prompt.ofHistory(history)), 0) /
          prompts.length,
        positions: mean("positions"),
        positionsReplicated: mean("positionsReplicated")
      },
      amount: rows[0]!.length,
      unit: "prompts/s",
      run: async () => void await next(),
      close: async () => {
        await engine.close()
        await remove()
      }
    }
  }
})

const ids = ["--form", "ids", "--checkpointing", "off"]

/** Benchmarks of GRPO. */
export const benchmarks: ReadonlyArray<Benchmark> = [
  grpo("grpo.step.d128", 128, ofSids, ids),
  grpo("grpo.step.d256", 256, ofSids, ids),
  grpo("grpo.step.d256-text", 256, ofText, ["--form", "text", "--checkpointing", "off"]),
  grpo("grpo.step.d128.as-run", 128, ofSids, ["--form", "text", "--checkpointing", "on"])
]
