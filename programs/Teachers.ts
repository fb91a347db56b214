/**
 * What teaches GRPO: scorers that are fitted to the training sequences of a run.
 */
import * as Effect from "effect/Effect"
import * as ItemKnn from "../src/evaluation/baseline/ItemKnn.ts"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import { type GrpoConfig } from "../src/grpo/Grpo.ts"
import type * as Prepare from "./Prepare.ts"

/** Returns whether rollouts need the teacher; rewards ask for it themselves. */
export const isNeeded = ({ rollout: { priorWeight, teacherItems } }: GrpoConfig): boolean =>
  teacherItems > 0 || priorWeight > 0

/** Fits a teacher. It leaves a user's own sequence out, so that it does not remember the targets that it scores. */
export const make = (
  _kind: GrpoConfig["teacher"],
  { dataset, split }: Prepare.Prepared,
  _seed: number
): Effect.Effect<Scorer> => Effect.sync(() => ItemKnn.fit(split.train, dataset.items.length, { leaveOneOut: true }))
