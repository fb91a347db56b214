/**
 * One optimizer step from scored groups.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Adam from "../optimizer/Adam.ts"
import { type AdamWConfig } from "../optimizer/AdamW.ts"
import { PolicyModel, type ScoredGroup } from "../policy/PolicyModel.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"

/** What a step did. */
export interface LearnerReport {
  /** Version of the weights after the step. */
  readonly version: number
  readonly loss: number
  readonly kl: number
  readonly gradientNorm: number
}

/**
 * The learner.
 *
 * Responsibilities: the only writer of the policy's weights. Ordering: steps are applied in the
 * order of the calls, one at a time. Completion means that the weights of the policy are the new ones. A step that fails
 * changes nothing. A crash loses the steps since the last checkpoint.
 */
export class PolicyLearner extends Context.Service<PolicyLearner, {
  step(groups: ReadonlyArray<ScoredGroup>, learningRate: number): Effect.Effect<LearnerReport, TensorError>
}>()("sidereal/grpo/PolicyLearner") {
  /** A learner in this process with weight `beta` on the divergence from the reference. */
  static readonly layer = (options: {
    readonly beta: number
    readonly optimizer: AdamWConfig
  }): Layer.Layer<PolicyLearner, never, PolicyModel> =>
    Layer.effect(
      PolicyLearner,
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const optimizer = Adam.adamW(options.optimizer)
        return PolicyLearner.of({
          step: Effect.fn("PolicyLearner.step")(function*(groups, learningRate) {
            const { kl, loss } = yield* policy.improve(groups, options.beta)
            if (!Number.isFinite(loss)) {
              const step = yield* policy.parameters.version
              return yield* new TensorError({
                reason: new NonFinite({ tensor: "policy-gradient loss", step, value: String(loss) })
              })
            }
            const applied = yield* policy.parameters.apply(optimizer, learningRate)
            return { version: yield* policy.parameters.version, loss, kl, gradientNorm: applied.gradientNorm }
          })
        })
      })
    )
}
