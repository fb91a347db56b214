/**
 * One step of the policy from groups with advantages.
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

/** What a step did. */
export interface LearnerReport {
  /** Version of the weights after it. */
  readonly version: number
  readonly learningRate: number
  readonly gradientNorm: number
  /** The loss and the terms of the objective. */
  readonly terms: Readonly<Record<string, number>>
}

const noSteps = new Float32Array(0)

/** Returns the candidates of groups, as policies score them. */
export const candidates = (groups: ReadonlyArray<AdvantageGroup>): ReadonlyArray<CandidateGroup> =>
  groups.map(({ rollout: { leaves, prompt } }) => ({ prompt: Prompt.ofHistory(prompt.history), leaves }))

/**
 * The learner.
 *
 * Responsibilities: the only writer of the policy's weights, whose new version it publishes. Ordering: steps are applied
 * in the order of the calls, one at a time. Completion means that the next rollout is drawn with the new weights. A step
 * that fails changes nothing. A crash loses the steps since the last checkpoint.
 */
export class PolicyLearner extends Context.Service<PolicyLearner, {
  /** Step number `step`, from 1, sets the learning rate; the references are those of the groups, in their order. */
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
    /** The learning rate of a step, from 1. */
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
              // Steps of unknown probability are NaN: an objective that looks at them fails, others do not see them.
              behaviour: groups[g]!.rollout.behaviour ?? Array.from(candidate.leaves, () => noSteps),
              forced: groups[g]!.rollout.forced,
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
