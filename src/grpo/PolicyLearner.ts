/**
 * Service that trains the policy on groups with advantages.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type GroupObjective } from "../objective/Objective.ts"
import type * as Optimizer from "../optimizer/Optimizer.ts"
import { type PolicyError } from "../policy/PolicyError.ts"
import { type CandidateGroup, PolicyModel, type ScoredGroup, type TreeLogProbs } from "../policy/PolicyModel.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import * as Prompt from "../policy/Prompt.ts"
import { PublishedWeights } from "../policy/PublishedWeights.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import { type AdvantageGroup } from "./Advantage.ts"
import { LearnerError } from "./LearnerError.ts"

/** Report of one step. */
export interface LearnerReport {
  /** Version of the weights after the step. */
  readonly version: number
  readonly learningRate: number
  /** Euclidean norm of the gradient, before clipping. */
  readonly gradientNorm: number
  /** Loss and terms of the objective, by name. */
  readonly terms: Readonly<Record<string, number>>
}

/** Returns the prompts and candidates of groups in the format that `PolicyModel.score` reads. */
export const candidates = (groups: ReadonlyArray<AdvantageGroup>): ReadonlyArray<CandidateGroup> =>
  groups.map(({ rollout: { leaves, prompt } }) => ({ prompt: Prompt.ofHistory(prompt.history), leaves }))

/**
 * The learner.
 *
 * Responsibilities: is the only writer of the policy's weights and publishes each new version. Ordering: steps are
 * applied in the order of the calls, one at a time. Completion means that the next rollout is drawn with the new
 * weights. A step that fails changes nothing. A crash loses the steps since the last checkpoint.
 */
export class PolicyLearner extends Context.Service<PolicyLearner, {
  /**
   * Takes one optimizer step on `groups`. `references` holds the log-probabilities of each group's tree under the
   * reference, in the order of the groups; `step` counts from 1 and selects the learning rate.
   */
  step(
    groups: ReadonlyArray<AdvantageGroup>,
    references: ReadonlyArray<TreeLogProbs>,
    step: number
  ): Effect.Effect<LearnerReport, LearnerError>
}>()("sidereal/grpo/PolicyLearner") {
  /** A learner in this process. */
  static readonly layer = (options: {
    readonly objective: GroupObjective
    readonly optimizer: Optimizer.Optimizer
    /** Returns the learning rate of a step; steps count from 1. */
    readonly learningRate: (step: number) => number
  }): Layer.Layer<PolicyLearner, PolicyError, PolicyModel | PolicyParameters | PublishedWeights> =>
    Layer.effect(
      PolicyLearner,
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        const published = yield* PublishedWeights
        const gradient = yield* policy.groupGradient(options.objective)
        return PolicyLearner.of({
          step: Effect.fn("PolicyLearner.step")(function*(groups, references, step) {
            const batch = candidates(groups).map((candidate, g): ScoredGroup => ({
              ...candidate,
              advantages: groups[g]!.advantages,
              behaviour: groups[g]!.rollout.behaviour,
              reference: references[g]!
            }))
            const terms = yield* gradient.accumulate(store, [{ batch }], { seed: 0, step })
            if (!Number.isFinite(terms.loss)) {
              const reason = new NonFinite({ tensor: "policy-gradient loss", step, value: String(terms.loss) })
              return yield* new TensorError({ reason })
            }
            const learningRate = options.learningRate(step)
            const { gradientNorm } = yield* store.apply(options.optimizer, learningRate)
            yield* published.publish(store.snapshot("weights"))
            return { version: yield* store.version, learningRate, gradientNorm, terms }
          }, Effect.mapError((reason) => new LearnerError({ reason })))
        })
      })
    )
}
