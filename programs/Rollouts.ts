/**
 * Rollout actor of a configuration, in this process.
 */
import * as Layer from "effect/Layer"
import * as DecoderConfig from "../src/decode/DecoderConfig.ts"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import * as ScorerPrior from "../src/evaluation/baseline/ScorerPrior.ts"
import { type GrpoConfig } from "../src/grpo/Grpo.ts"
import { RolloutActor } from "../src/grpo/RolloutActor.ts"
import * as ObjectiveConfig from "../src/objective/ObjectiveConfig.ts"

/** Options of the actor in addition to the configuration. */
export interface ActorOptions {
  /** Whether items of the history may not be recommended. */
  readonly historyExcluded: boolean
  /** Seed of every random draw. @default 0 */
  readonly seed?: number | undefined
  /** Teacher; required if the configuration adds its items to the candidates or uses it as a prior. @default none */
  readonly teacher?: Scorer | undefined
}

/** Provides the actor with a decoder of its own. */
export const layer = (
  { beta, groupSize, objective, rollout }: GrpoConfig,
  { historyExcluded, seed, teacher }: ActorOptions
) => {
  const { answer, decoder, hintShare, priorWeight, teacherItems } = rollout
  return RolloutActor.layer({
    groupSize,
    historyExcluded,
    seed,
    answer,
    hintShare,
    teacher: teacher === undefined || teacherItems === 0 ? undefined : { scorer: teacher, count: teacherItems },
    prior: teacher === undefined || priorWeight === 0 ? undefined : ScorerPrior.make(teacher, { weight: priorWeight }),
    behaviour: ObjectiveConfig.make(objective, beta).needs.behaviour
  }).pipe(Layer.provide(DecoderConfig.layer(decoder)))
}
