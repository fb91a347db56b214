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
 * The candidates of a prompt: those that the policy drew, best first, then those that joined them. Plain data, that may
 * come from anywhere.
 */
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
  /** Log-probability of each step of each candidate under the policy that drew, at temperature 1, where asked for. */
  readonly behaviour?: ReadonlyArray<Float32Array> | undefined
  /** Steps of every candidate that were given and not drawn: they carry no gradient. @default 0 */
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

/** How candidates are found. */
export interface RolloutOptions {
  /** Candidates that are drawn per prompt, G; others may join them. */
  readonly groupSize: number
  readonly historyExcluded: boolean
  /** Seed of what is drawn. @default 0 */
  readonly seed?: number | undefined
  /** Whether the answer must be in its group; never where it may not be recommended. @default as-drawn */
  readonly answer?: Candidates.Answer | undefined
  /** Share of prompts that are given the first codes of the answer, 0 to 1. @default 0 */
  readonly hintShare?: number | undefined
  /** A model whose best items join the candidates. */
  readonly teacher?: Candidates.Teacher | undefined
  /** Stands beside the policy while candidates are drawn; their log-probabilities remain the policy's own. */
  readonly prior?: Prior | undefined
  /**
   * Whether log-probabilities are told. Candidates that joined cost a forward pass then; an objective that looks at no
   * ratio needs none. @default true
   */
  readonly behaviour?: boolean | undefined
}

/**
 * The actor that draws candidates.
 *
 * Responsibilities: for each prompt, G distinct SIDs that are legal and, where the history is excluded, lead to
 * an item that is not in it; fewer only when the catalogue has fewer, repeated ones only from a decoder that draws with
 * replacement. Ordering: rollouts stand in the order of the prompts. Back-pressure: the caller awaits a batch;
 * nothing is queued. Completion means that every candidate is a leaf of the trie and all of a batch are of one version of
 * the weights. Deterministic given the weights, the step and the prompts' ordinals, so a batch that a crash lost can be
 * drawn again.
 */
export class RolloutActor extends Context.Service<RolloutActor, {
  /** Draws one rollout per prompt; `step` counts from 1. */
  generate(
    prompts: ReadonlyArray<RolloutPrompt>,
    step: number
  ): Effect.Effect<ReadonlyArray<Rollout>, RolloutError>
}>()("sidereal/grpo/RolloutActor") {
  /** Draws with the decoder and the published weights of this process. */
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
