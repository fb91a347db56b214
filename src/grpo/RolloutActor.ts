/**
 * Rollouts: prompts become groups of G candidate SIDs with the log-probabilities they were drawn with.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LeafDecoder } from "../decode/LeafDecoder.ts"
import * as Protocol from "../evaluation/Protocol.ts"
import { PolicyModel } from "../policy/PolicyModel.ts"
import * as Prompt from "../policy/Prompt.ts"
import { PublishedWeights } from "../policy/PublishedWeights.ts"
import { type RewardGroup } from "../reward/Reward.ts"
import { Sids } from "../sid/Sids.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import { type RolloutPrompt } from "./Prompts.ts"
import { RolloutError } from "./RolloutError.ts"

/** The candidates of a prompt, best first: plain data, that may come from anywhere. */
export interface Rollout {
  readonly prompt: RolloutPrompt
  /** Version of the weights that drew it. */
  readonly version: number
  /** Trie nodes [G]. */
  readonly leaves: Int32Array
  /** One item per candidate: the first with its SID that may be recommended. */
  readonly items: Int32Array
  /** Whether the candidate's SID is the target's; never where the target itself may not be recommended. */
  readonly hits: ReadonlyArray<boolean>
  /** Log-probability of each step of each candidate under the policy that drew it. */
  readonly behaviour: ReadonlyArray<Float32Array>
}

/** Makes the rollout of leaves that were drawn from a space. */
export const rollout = (
  space: LeafSpace.LeafSpace,
  prompt: RolloutPrompt,
  drawn: Pick<Rollout, "version" | "leaves" | "behaviour">
): Rollout => {
  const target = space.leaf(prompt.target)
  return {
    ...drawn,
    prompt,
    items: drawn.leaves.map((leaf) => space.items(leaf)[0]!),
    hits: Array.from(drawn.leaves, (leaf) => leaf === target)
  }
}

/** Shows a rollout to rewards. */
export const rewardGroup = ({ hits, items, prompt: { history, target } }: Rollout): RewardGroup => ({
  user: history.user,
  history: history.items,
  target,
  items,
  hits
})

/**
 * The actor that draws candidates.
 *
 * Responsibilities: for each prompt, G distinct SIDs that are legal and, where the history is excluded, lead to
 * an item that is not in it; fewer only when the catalogue has fewer. Ordering: rollouts stand in the order of the prompts. Back-pressure: the caller awaits a batch;
 * nothing is queued. Completion means that every candidate is a leaf of the trie and all of a batch are of one version of
 * the weights. Deterministic given the weights and the step, so a batch that a crash lost can be drawn again.
 */
export class RolloutActor extends Context.Service<RolloutActor, {
  generate(
    prompts: ReadonlyArray<RolloutPrompt>,
    step: number
  ): Effect.Effect<ReadonlyArray<Rollout>, RolloutError>
}>()("sidereal/grpo/RolloutActor") {
  /** Draws with the decoder and the published weights of this process. */
  static readonly layer = (options: {
    readonly groupSize: number
    readonly historyExcluded: boolean
  }): Layer.Layer<RolloutActor, never, PolicyModel | LeafDecoder | PublishedWeights | Sids> =>
    Layer.effect(
      RolloutActor,
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const decoder = yield* LeafDecoder
        const published = yield* PublishedWeights
        const { space: whole } = yield* Sids
        return RolloutActor.of({
          generate: Effect.fn("RolloutActor.generate")(function*(prompts, step) {
            const weights = yield* published.current
            const spaces = prompts.map(({ history }) =>
              LeafSpace.without(whole, Protocol.excludedItems(history.items, options.historyExcluded))
            )
            const found = yield* decoder.decode(
              prompts.map(({ history, ordinal }, i) => ({
                prompt: Prompt.ofHistory(history),
                count: options.groupSize,
                space: spaces[i]!,
                key: [step, ordinal]
              })),
              weights
            ).pipe(
              Effect.provideService(PolicyModel, policy),
              Effect.mapError((reason) => new RolloutError({ reason }))
            )
            return prompts.map((prompt, i) =>
              rollout(spaces[i]!, prompt, {
                version: weights.version,
                leaves: found[i]!.leaves,
                behaviour: found[i]!.steps
              })
            )
          }, Effect.scoped)
        })
      })
    )
}
