/**
 * Optimizer steps of the policy on groups with advantages.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type GroupObjective, type Needs } from "../objective/Objective.ts"
import type * as Optimizer from "../optimizer/Optimizer.ts"
import { type PolicyError } from "../policy/PolicyError.ts"
import { type CandidateGroup, PolicyModel, type ScoredGroup, type TreeLogProbs } from "../policy/PolicyModel.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import * as Prompt from "../policy/Prompt.ts"
import { PublishedWeights } from "../policy/PublishedWeights.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import { type AdvantageGroup } from "./Advantage.ts"
import { LearnerError } from "./LearnerError.ts"

/** Report of the optimizer steps of one batch. */
export interface LearnerReport {
  /** Version of the weights after the batch. */
  readonly version: number
  /** Learning rate of the last optimizer step. */
  readonly learningRate: number
  /** Mean over the optimizer steps of the gradient's L2 norm before clipping. */
  readonly gradientNorm: number
  /** Loss and terms of the objective by name, means over the optimizer steps. */
  readonly terms: Readonly<Record<string, number>>
}

/** Returns the prompts and candidates of groups in the format that `PolicyModel.score` reads. */
export const candidates = (groups: ReadonlyArray<AdvantageGroup>): ReadonlyArray<CandidateGroup> =>
  groups.map(({ rollout: { leaves, prompt } }) => ({ prompt: Prompt.ofHistory(prompt.history), leaves }))

/** Options of a learner. */
export interface LearnerOptions {
  readonly objective: GroupObjective
  readonly optimizer: Optimizer.Optimizer
  /** Learning rate of an optimizer step, by its number over all batches, from 1. */
  readonly learningRate: (step: number) => number
  /**
   * Passes over each batch. From the second optimizer step on the policy differs from the one that drew the batch, and
   * clipping takes effect. @default 1
   */
  readonly innerSteps?: number | undefined
  /**
   * Parts into which a batch is cut, in the order of its groups; each pass has one optimizer step per part.
   * @default 1
   */
  readonly minibatches?: number | undefined
}

/** Returns the optimizer steps per batch that a schedule counts; a batch with fewer groups than parts takes fewer. */
export const stepsPerBatch = (
  { innerSteps = 1, minibatches = 1 }: Pick<LearnerOptions, "innerSteps" | "minibatches">
): number => innerSteps * minibatches

/** Cuts a batch into at most `count` parts of nearly equal size. */
const cut = <A>(batch: ReadonlyArray<A>, count: number): ReadonlyArray<ReadonlyArray<A>> => {
  const parts = Math.min(count, batch.length)
  return Array.from(
    { length: parts },
    (_, m) => batch.slice(Math.floor(m * batch.length / parts), Math.floor((m + 1) * batch.length / parts))
  )
}

/**
 * Learner of the policy.
 *
 * Responsibilities: is the only writer of the policy's weights and publishes their new version once per batch.
 * Ordering: the caller awaits each batch before the next. Completion means that the new weights are published. A batch
 * that fails publishes nothing; its finished optimizer steps stay in the parameters, and a run resumes from its last
 * checkpoint. A crash loses the batches since then.
 */
export class PolicyLearner extends Context.Service<PolicyLearner, {
  /** Log-probabilities that the objective reads; others may be omitted. */
  readonly needs: Needs
  /**
   * Applies the optimizer steps of batch number `step`, from 1, which determines the learning rate. `references` are
   * the log-probabilities of the groups under the reference, in their order; empty if the objective needs none.
   */
  step(
    groups: ReadonlyArray<AdvantageGroup>,
    references: ReadonlyArray<TreeLogProbs>,
    step: number
  ): Effect.Effect<LearnerReport, LearnerError>
}>()("sidereal/grpo/PolicyLearner") {
  /** Provides the learner in this process. */
  static readonly layer = (
    options: LearnerOptions
  ): Layer.Layer<PolicyLearner, PolicyError, PolicyModel | PolicyParameters | PublishedWeights> =>
    Layer.effect(
      PolicyLearner,
      Effect.gen(function*() {
        const { innerSteps = 1, learningRate, minibatches = 1, objective, optimizer } = options
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        const published = yield* PublishedWeights
        const gradient = yield* policy.groupGradient(objective)
        return PolicyLearner.of({
          needs: objective.needs,
          step: Effect.fn("PolicyLearner.step")(function*(groups, references, step) {
            const batch = candidates(groups).map((candidate, g): ScoredGroup => ({
              ...candidate,
              advantages: groups[g]!.advantages,
              behaviour: groups[g]!.rollout.behaviour,
              forced: groups[g]!.rollout.forced,
              reference: references[g],
              answer: groups[g]!.rollout.hits
            }))
            const parts = cut(batch, minibatches)
            const count = innerSteps * parts.length
            const terms: Record<string, number> = {}
            let gradientNorm = 0
            let rate = 0
            for (let i = 0; i < count; i++) {
              const found = yield* gradient.accumulate(store, [{ batch: parts[i % parts.length]! }], { seed: 0, step })
              if (!Number.isFinite(found.loss)) {
                const reason = new NonFinite({ tensor: "policy-gradient loss", step, value: String(found.loss) })
                return yield* new TensorError({ reason })
              }
              for (const [name, term] of Object.entries(found)) terms[name] = (terms[name] ?? 0) + term / count
              rate = learningRate((step - 1) * stepsPerBatch(options) + i + 1)
              gradientNorm += (yield* store.apply(optimizer, rate)).gradientNorm / count
            }
            yield* published.publish(store.snapshot("weights"))
            return { version: yield* store.version, learningRate: rate, gradientNorm, terms }
          }, Effect.mapError((reason) => new LearnerError({ reason })))
        })
      })
    )
}
