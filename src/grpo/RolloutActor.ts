/**
 * Rollouts: prompts become groups of G candidate SIDs with the log-probabilities they were drawn with.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BeamSearch from "../decode/BeamSearch.ts"
import { PolicyModel } from "../policy/PolicyModel.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** A prompt: what a user did, and what came next. */
export interface Prompt {
  readonly user: number
  readonly history: Int32Array
  readonly target: number
}

/** The candidates of a prompt, best first. */
export interface Rollout {
  readonly prompt: Prompt
  readonly leaves: Int32Array
  /** Log-probability of each code of each candidate under the policy that drew it. */
  readonly behaviour: ReadonlyArray<Float32Array>
}

/**
 * The actor that draws candidates.
 *
 * Responsibilities: for each prompt, G distinct SIDs that are legal and, where the history is excluded, lead to
 * an item that is not in it; fewer only when the catalogue has fewer. Ordering: rollouts stand in the order of the prompts. Back-pressure: the caller awaits a batch;
 * nothing is queued. Completion means that every candidate is a leaf of the trie. Deterministic given the weights, so a
 * batch that a crash lost can be drawn again.
 */
export class RolloutActor extends Context.Service<RolloutActor, {
  generate(prompts: ReadonlyArray<Prompt>): Effect.Effect<ReadonlyArray<Rollout>, TensorError>
}>()("sidereal/grpo/RolloutActor") {
  /** Constrained beam search with the current weights of the policy in this process. */
  static readonly layerBeams = (options: {
    readonly groupSize: number
    readonly batch: number
    readonly historyExcluded: boolean
  }): Layer.Layer<RolloutActor, never, PolicyModel> =>
    Layer.effect(
      RolloutActor,
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        return RolloutActor.of({
          generate: Effect.fn("RolloutActor.generate")(function*(prompts) {
            const histories = prompts.map((prompt) => prompt.history)
            const found = yield* BeamSearch.searchAll(histories, (yield* policy.parameters.weights).feeds, {
              beams: options.groupSize,
              batch: options.batch,
              excluded: options.historyExcluded
                ? histories.map((history) => BeamSearch.leavesOf(policy.index, history))
                : undefined
            }).pipe(Effect.provideService(PolicyModel, policy))
            return found.map((ranked, i) => ({ prompt: prompts[i]!, leaves: ranked.leaves, behaviour: ranked.steps }))
          })
        })
      })
    )
}
