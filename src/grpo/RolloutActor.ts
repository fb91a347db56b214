/**
 * Service that draws G candidate SIDs per prompt, with their log-probabilities under the policy that drew them.
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

/** Candidates of a prompt in decreasing order of score: plain data, so they may come from another process. */
export interface Rollout {
  readonly prompt: RolloutPrompt
  /** Version of the weights that the candidates were drawn with. */
  readonly version: number
  /** Trie nodes of the candidates, [G]. */
  readonly leaves: Int32Array
  /** Items of the candidates, [G]: the first allowed item with the candidate's SID. */
  readonly items: Int32Array
  /** Whether each candidate's SID is the target's, [G]; all false where the target itself is excluded. */
  readonly hits: ReadonlyArray<boolean>
  /** Natural log-probability of each step of each candidate under the policy that drew it, [G][steps]. */
  readonly behaviour: ReadonlyArray<Float32Array>
}

/** Builds the rollout of a prompt from leaves drawn from `space`. */
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

/** Converts a rollout to the group that rewards score. */
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
 * Responsibilities: draws, for each prompt, G distinct legal SIDs that lead to an item outside the history where the
 * history is excluded; fewer only where the catalogue has fewer. Ordering: rollouts stand in the order of the prompts.
 * Back-pressure: the caller awaits a batch; nothing is queued. Completion means that every candidate is a leaf of the
 * trie and that a whole batch was drawn with one version of the weights. The result is a function of the weights, the
 * prompts and the step, so a batch lost in a crash can be drawn again.
 */
export class RolloutActor extends Context.Service<RolloutActor, {
  /** Draws one rollout per prompt; `step` counts from 1. */
  generate(
    prompts: ReadonlyArray<RolloutPrompt>,
    step: number
  ): Effect.Effect<ReadonlyArray<Rollout>, RolloutError>
}>()("sidereal/grpo/RolloutActor") {
  /** An actor that draws with the decoder and the published weights of this process. */
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
