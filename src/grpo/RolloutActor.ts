/**
 * Service that draws G candidate SIDs per prompt, with their log-probabilities under the policy that drew them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LeafDecoder } from "../decode/LeafDecoder.ts"
import { type Prior } from "../decode/Prior.ts"
import * as Protocol from "../evaluation/Protocol.ts"
import { PolicyModel } from "../policy/PolicyModel.ts"
import * as Prompt from "../policy/Prompt.ts"
import { PublishedWeights } from "../policy/PublishedWeights.ts"
import { type RewardGroup } from "../reward/Reward.ts"
import { Sids } from "../sid/Sids.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import { type RolloutPrompt } from "./Prompts.ts"
import * as Candidates from "./rollout/Candidates.ts"
import * as PrefixHint from "./rollout/PrefixHint.ts"
import { RolloutError } from "./RolloutError.ts"

/**
 * Candidates of a prompt: those drawn from the policy, best first, then those added to them. Plain data that may come
 * from another process.
 */
export interface Rollout {
  readonly prompt: RolloutPrompt
  /** Version of the weights that drew the candidates. */
  readonly version: number
  /** Trie nodes of the candidates, [G]. */
  readonly leaves: Int32Array
  /** Item numbers of the candidates, [G]: the first allowed item with the candidate's SID. */
  readonly items: Int32Array
  /** Whether each candidate's SID is the target's, [G]; all false where the target itself is excluded. */
  readonly hits: ReadonlyArray<boolean>
  /**
   * Natural log-probability of each step of each candidate under the policy that drew it, at temperature 1, [G][steps].
   * @default not computed
   */
  readonly behaviour?: ReadonlyArray<Float32Array> | undefined
  /** First steps of every candidate that a hint set and that carry no gradient. @default 0 */
  readonly forced?: number | undefined
}

/** Builds the rollout of a prompt from leaves drawn from `space`. */
export const rollout = (
  space: LeafSpace.LeafSpace,
  prompt: RolloutPrompt,
  drawn: Pick<Rollout, "version" | "leaves" | "behaviour" | "forced">
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

/** Options of the candidates. */
export interface RolloutOptions {
  /** Candidates drawn per prompt; the teacher's items and the answer may be added to them. */
  readonly groupSize: number
  /** Whether items of the history may not be recommended. */
  readonly historyExcluded: boolean
  /** Seed of every random draw. @default 0 */
  readonly seed?: number | undefined
  /** Treatment of a group without its answer, if the answer may be recommended. @default as-drawn */
  readonly answer?: Candidates.Answer | undefined
  /**
   * Share of prompts whose candidates must begin with the first codes of the answer, 0 to 1 (`PrefixHint`).
   * @default 0
   */
  readonly hintShare?: number | undefined
  /** Scorer whose best items are added to the candidates. @default none */
  readonly teacher?: Candidates.Teacher | undefined
  /** Prior added to the scores of the decoder; `behaviour` stays the policy's own. @default none */
  readonly prior?: Prior | undefined
  /**
   * Whether `behaviour` is computed, which costs a forward pass for added candidates; objectives without importance
   * ratios do not need it. @default true
   */
  readonly behaviour?: boolean | undefined
}

/**
 * Actor that draws candidates.
 *
 * Responsibilities: draws for each prompt G distinct SIDs of the trie, if the history is excluded only SIDs of items
 * outside it; fewer only if the catalogue has fewer, and repeated ones only from a decoder that draws with replacement.
 * Ordering: rollouts are in the order of the prompts. Back-pressure: the caller awaits a batch; nothing is queued.
 * Completion means that every candidate is a leaf of the trie and that one version of the weights drew the whole batch.
 * Deterministic given the weights, the step and the prompts with their ordinals, so that a batch lost by a crash can be
 * drawn again.
 */
export class RolloutActor extends Context.Service<RolloutActor, {
  /** Draws one rollout per prompt; `step` counts from 1. */
  generate(
    prompts: ReadonlyArray<RolloutPrompt>,
    step: number
  ): Effect.Effect<ReadonlyArray<Rollout>, RolloutError>
}>()("sidereal/grpo/RolloutActor") {
  /** Provides an actor that uses the decoder and the published weights of this process. */
  static readonly layer = (
    { answer = "as-drawn", behaviour: told = true, hintShare = 0, prior, seed = 0, teacher, ...options }: RolloutOptions
  ): Layer.Layer<RolloutActor, never, PolicyModel | LeafDecoder | PublishedWeights | Sids> =>
    Layer.effect(
      RolloutActor,
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const decoder = yield* LeafDecoder
        const published = yield* PublishedWeights
        const { space: whole } = yield* Sids
        return RolloutActor.of({
          generate: Effect.fn("RolloutActor.generate")(
            function*(prompts, step) {
              const weights = yield* published.current
              const hints = prompts.map(({ history, ordinal, target }) =>
                PrefixHint.draw(
                  LeafSpace.without(whole, Protocol.excludedItems(history.items, options.historyExcluded)),
                  target,
                  hintShare,
                  [seed, step, ordinal]
                )
              )
              const found = yield* decoder.decode(
                prompts.map(({ history, ordinal }, i) => ({
                  prompt: Prompt.ofHistory(history),
                  count: options.groupSize,
                  space: hints[i]!.space,
                  prior,
                  key: [seed, step, ordinal]
                })),
                weights
              ).pipe(Effect.provideService(PolicyModel, policy))
              const taught = teacher === undefined ? undefined : yield* Candidates.taught(
                teacher,
                prompts.map(({ history }) => history),
                hints.map(({ space }) => space)
              )
              const joined = prompts.map(({ target }, i) =>
                Candidates.join(hints[i]!.space, found[i]!.leaves, { target, answer, taught: taught?.[i] ?? [] })
              )
              const later = joined.flatMap(({ added }, i) =>
                told && added.length > 0 ? [{ i, prompt: Prompt.ofHistory(prompts[i]!.history), leaves: added }] : []
              )
              const trees = later.length === 0 ? [] : yield* policy.score(later, weights)
              const treeOf = new Map(later.map(({ i }, at) => [i, trees[at]!]))
              return prompts.map((prompt, i) => {
                const { added, kept } = joined[i]!
                const { forced, space } = hints[i]!
                const { leaves, steps } = found[i]!
                return rollout(space, prompt, {
                  version: weights.version,
                  leaves: Int32Array.from([...leaves.subarray(0, kept), ...added]),
                  forced,
                  behaviour: told
                    ? [
                      ...steps.slice(0, kept),
                      ...Array.from(added, (leaf) => Candidates.stepsIn(space, treeOf.get(i)!, leaf))
                    ]
                    : undefined
                })
              })
            },
            Effect.mapError((reason) => new RolloutError({ reason })),
            Effect.scoped
          )
        })
      })
    )
}
