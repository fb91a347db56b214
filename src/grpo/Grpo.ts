/**
 * GRPO (Shao et al. 2024) on constrained beams, as MiniOneRec does it.
 *
 * Differs from the paper: candidates come from beam search, not from sampling; one optimizer step per batch of prompts,
 * so the ratio is 1 and needs no clipping. Differs from MiniOneRec: log-probabilities are normalised over the legal
 * children of the trie; a group without any difference in reward is left out of the step instead of contributing its
 * divergence alone; G candidates are one tree, computed once. The divergence is k3, `exp(r - l) - (r - l) - 1`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Example } from "../catalog/Split.ts"
import * as PolicyRanking from "../evaluation/PolicyRanking.ts"
import * as Protocol from "../evaluation/Protocol.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import * as LearningRate from "../optimizer/LearningRate.ts"
import { PolicyModel, type ScoredGroup } from "../policy/PolicyModel.ts"
import { RewardActor, type RewardError, type RewardGroup } from "../reward/Reward.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { Progress } from "../run/Progress.ts"
import { type RunError } from "../run/RunError.ts"
import { RunLog } from "../run/RunLog.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Trie from "../sid/trie/Trie.ts"
import * as Random from "../statistics/Random.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as TrainingState from "../training/TrainingState.ts"
import * as Advantage from "./Advantage.ts"
import { PolicyLearner } from "./PolicyLearner.ts"
import { ReferenceModel } from "./ReferenceModel.ts"
import { type Prompt, type Rollout, RolloutActor } from "./RolloutActor.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Settings of a GRPO run. */
export class GrpoConfig extends Schema.Class<GrpoConfig>("sidereal/grpo/GrpoConfig")({
  /** Optimizer steps. @default 60 */
  steps: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(60))),
  /** Prompts of a step; with G = 16 a step sees 1,024 candidates. @default 64 */
  promptsPerStep: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(64))),
  /** Candidates per prompt, G. @default 16 */
  groupSize: Schema.Int.check(Schema.isGreaterThanOrEqualTo(2)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(16))
  ),
  /** Weight of the divergence from the reference. @default 0.2 */
  beta: NonNegative.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.2))),
  /** Weights of the rewards by name. @default rule 1, ranking 1 */
  rewards: Schema.Record(Schema.String, Schema.Finite).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ rule: 1, ranking: 1 }))
  ),
  /** Steps between validations. @default 20 */
  stepsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  /** Users drawn for validation. @default 1000 */
  validationUsers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000))),
  /** Beams in validation. @default 20 */
  validationBeams: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  /** @default peak 3e-5, warm-up 5 steps, floor 0.1 */
  learningRate: LearningRate.LearningRateConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ peak: 3e-5, warmupSteps: 5, floor: 0.1 }))
  ),
  /** @default no decay, averaging 0.9 */
  optimizer: AdamW.AdamWConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ weightDecay: 0, averaging: 0.9 }))
  )
}) {}

/** What GRPO needs of the data. */
export interface GrpoData {
  readonly sequences: ReadonlyArray<Int32Array>
  readonly validation: ReadonlyArray<Example>
  /** Whether the history is left out of every list, as in the evaluation: a target that stands in it is no hit. */
  readonly historyExcluded: boolean
  /** The step of the supervised checkpoint that the policy holds: training that began from another begins anew. */
  readonly origin?: number | undefined
}

/** What came of it. */
export interface GrpoReport {
  readonly steps: number
  readonly startNdcg: number
  readonly bestNdcg: number
  readonly bestStep: number
}

/** Marks the checkpoints of this phase. */
export const kind = "grpo"

/** The prompts of a step: users and positions drawn from (seed, step); the target is what the user did there. */
export const promptsOf = (
  sequences: ReadonlyArray<Int32Array>,
  count: number,
  seed: number,
  step: number
): ReadonlyArray<Prompt> => {
  const users = sequences.flatMap((items, user) => items.length >= 2 ? [user] : [])
  const next = Random.uniform(seed, 0x6790, step)
  if (users.length === 0) return []
  return Array.from({ length: count }, () => {
    const user = users[Math.floor(next() * users.length)]!
    const items = sequences[user]!
    const at = 1 + Math.floor(next() * (items.length - 1))
    return { user, history: items.subarray(0, at), target: items[at]! }
  })
}

/** Improves the policy of the context; afterwards its weights and average are those of the best validation. */
export const train: (
  config: GrpoConfig,
  data: GrpoData,
  seed: number
) => Effect.Effect<
  GrpoReport,
  TensorError | RewardError | RunError,
  PolicyModel | RolloutActor | RewardActor | ReferenceModel | PolicyLearner | Checkpointer | RunLog | Progress
> = Effect.fn("Grpo.train")(function*(config, data, seed) {
  const policy = yield* PolicyModel
  const rollouts = yield* RolloutActor
  const rewards = yield* RewardActor
  const reference = yield* ReferenceModel
  const learner = yield* PolicyLearner
  const checkpointer = yield* Checkpointer
  const log = yield* RunLog
  const progress = yield* Progress
  const { index, parameters } = policy
  const validation = TrainingState.sample(data.validation, config.validationUsers, seed)
  const validate = parameters.evaluation.pipe(
    Effect.flatMap(({ feeds }) =>
      PolicyRanking.rankAll(validation, feeds, {
        beams: config.validationBeams,
        batch: 32,
        historyExcluded: data.historyExcluded
      })
    ),
    Effect.map((ranked) => PolicyRanking.meanNdcg(ranked, 10)),
    Effect.scoped
  )

  const state = yield* TrainingState.resume(parameters, kind, config.optimizer, data.origin)
  let { best, bestEpoch: bestStep, start: startNdcg, step } = state
  const keep = (score: number) => {
    const improved = score > best
    if (improved) {
      best = score
      bestStep = step
    }
    return log.append({ kind: "grpo.validation", step, fields: { "NDCG@10": score } }).pipe(
      Effect.andThen(
        TrainingState.save(
          parameters,
          kind,
          { ...state, best, bestEpoch: bestStep, step, start: startNdcg, asked: config.steps },
          improved
        )
      )
    )
  }
  if (step === 0) {
    startNdcg = yield* validate
    yield* keep(startNdcg)
  }

  const tracker = progress.start("grpo", config.steps, "steps", step)
  while (step < config.steps) {
    const prompts = promptsOf(data.sequences, config.promptsPerStep, seed, step)
    const groups = yield* rollouts.generate(prompts)
    const earned = yield* rewards.score(groups.map((group) => rewardGroup(index, group, data.historyExcluded)))
    const advantages = earned.map(({ total }) => Advantage.normalise(total))
    const active = groups.flatMap((group, g) => Advantage.isFlat(advantages[g]!) ? [] : [{ group, g }])
    const learningRate = LearningRate.at(config.learningRate, step, config.steps)
    step++
    const candidates = active.map(({ group }) => ({ history: group.prompt.history, leaves: group.leaves }))
    const fields: Record<string, number> = {
      learningRate,
      reward: mean(earned.map(({ total }) => mean(total))),
      hitShare: active.length / Math.max(1, groups.length),
      ...Object.fromEntries(rewards.names.map((name) => [
        `reward.${name}`,
        mean(earned.map(({ parts }) => mean(parts[name]!)))
      ]))
    }
    if (active.length > 0) {
      const held = yield* reference.score(candidates)
      const scored = active.map(({ g, group }, i): ScoredGroup => ({
        ...candidates[i]!,
        advantages: advantages[g]!,
        behaviour: group.behaviour,
        reference: held[i]!
      }))
      const report = yield* learner.step(scored, learningRate)
      Object.assign(fields, { loss: report.loss, kl: report.kl, gradientNorm: report.gradientNorm })
    }
    yield* log.append({ kind: "grpo.step", step, fields })
    tracker.update(
      step,
      `reward ${fields["reward"]!.toFixed(3)}, hits in ${active.length}/${groups.length} groups, best NDCG@10 ${
        best.toFixed(4)
      }`
    )
    if (step % config.stepsPerValidation === 0 || step === config.steps) yield* keep(yield* validate)
  }
  tracker.finish(`NDCG@10 ${startNdcg.toFixed(4)} before, best ${best.toFixed(4)} after step ${bestStep}`)
  yield* TrainingState.loadBest(parameters, checkpointer, kind, config.optimizer)
  return { steps: step, startNdcg, bestNdcg: best, bestStep }
})

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

/** What rewards see of a rollout. */
export const rewardGroup = (index: SidIndex, { leaves, prompt }: Rollout, historyExcluded: boolean): RewardGroup => {
  const excluded = Protocol.excludedItems(prompt.history, historyExcluded)
  const target = excluded.has(prompt.target) ? -1 : index.leafOf[prompt.target]!
  return {
    user: prompt.user,
    history: prompt.history,
    target: prompt.target,
    items: Int32Array.from(leaves, (leaf) => Trie.items(index.trie, leaf).find((item) => !excluded.has(item))!),
    hits: Array.from(leaves, (leaf) => leaf === target)
  }
}
