/**
 * Artefact of the report's reward debugger: groups of some validation users, scored by the policies before and after
 * GRPO.
 */
import * as Effect from "effect/Effect"
import * as History from "../src/catalog/History.ts"
import * as Advantage from "../src/grpo/Advantage.ts"
import { advantageOf } from "../src/grpo/Grpo.ts"
import * as GroupTrace from "../src/grpo/monitoring/GroupTrace.ts"
import { ReferenceModel } from "../src/grpo/ReferenceModel.ts"
import { rewardGroup, RolloutActor } from "../src/grpo/RolloutActor.ts"
import { PolicyModel, type Weights } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import { PublishedWeights } from "../src/policy/PublishedWeights.ts"
import { RewardActor, type Weighted } from "../src/reward/RewardActor.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Artefacts from "./Artefacts.ts"
import * as Note from "./Note.ts"
import { type Prepared } from "./Prepare.ts"
import { Workspace } from "./Workspace.ts"

/** Artefact of a finished GRPO run. */
export const file = { name: "grpo-groups.json", codec: Artefacts.json(GroupTrace.GroupTrace) } as const

/** Number of prompts. */
const count = 6
/** Step in the rollouts' random keys; the steps of training count from 1. */
const step = 0

/** Inputs besides the services of the loop, which hold the trained parameters. */
export interface TraceOptions {
  /** Weights of the policy before training. */
  readonly before: Weights
  /** Step that produced the trained parameters. */
  readonly bestStep: number
  /** Rewards of the loop, in the order of the reward actor's names. */
  readonly rewards: Weighted
}

const trace = Effect.fnUntraced(
  function*({ dataset, split }: Prepared, { before, bestStep, rewards }: TraceOptions) {
    const { settings: { grpo, seed } } = yield* Workspace
    const { space } = yield* Sids
    const policy = yield* PolicyModel
    const rewarder = yield* RewardActor
    const weights = yield* PolicyParameters
    yield* (yield* PublishedWeights).publish(weights.evaluation)
    const prompts = TrainingState.sample(split.validation, count, seed).map((example, ordinal) => ({
      ordinal,
      history: History.of(example),
      target: example.target
    }))
    const rollouts = yield* (yield* RolloutActor).generate(prompts, step)
    const earned = yield* rewarder.score(rollouts.map(rewardGroup))
    const weighted = rewarder.names.map((name, r) => ({ name, weight: rewards[r]!.weight }))
    const { mode = "group" } = advantageOf(grpo)
    const advantages = Advantage.ofRewards(earned, {
      mode,
      weights: Object.fromEntries(weighted.map(({ name, weight }) => [name, weight]))
    })
    const candidates = rollouts.map(({ leaves, prompt }) => ({ prompt: Prompt.ofHistory(prompt.history), leaves }))
    const starts = yield* policy.score(candidates, before)
    const ends = yield* policy.score(candidates, yield* weights.evaluation)
    const references = yield* (yield* ReferenceModel).score(candidates)
    const value: GroupTrace.GroupTrace = {
      step: bestStep,
      objective: grpo.objective.kind,
      rewards: weighted,
      normalise: grpo.normaliseRewards,
      mode,
      temperature: grpo.objective.kind === "distillation" ? grpo.objective.temperature : null,
      softening: grpo.objective.softening,
      groups: rollouts.map((rollout, g) =>
        GroupTrace.group(space, {
          rollout,
          rewards: earned[g]!,
          advantages: advantages[g]!,
          before: starts[g]!,
          after: ends[g]!,
          reference: references[g]!
        }, {
          user: (user) => dataset.userKeys[user]!,
          item: (item) => dataset.items[item]!.title,
          rewards: rewarder.names
        })
      )
    }
    return value
  },
  Effect.scoped
)

/**
 * Draws and scores groups of six validation users, chosen by the seed, with the services of the loop and the trained
 * policy, and keeps them in the run. A failure of rollouts or rewards is only noted, since training is complete.
 */
export const record = Effect.fn("RewardTrace.record")(function*(prepared: Prepared, options: TraceOptions) {
  const { keep } = yield* Workspace
  yield* trace(prepared, options).pipe(
    Effect.flatMap((found) => keep(file.name, found, file.codec)),
    Effect.catchTag(
      ["RewardError", "RolloutError"],
      ({ message }) => Note.print(`grpo: the report will have no reward debugger, because ${message}`)
    )
  )
})
