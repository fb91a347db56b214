/**
 * What teaches GRPO: scorers that are fitted to the training sequences of a run.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ItemKnn from "../src/evaluation/baseline/ItemKnn.ts"
import * as SasRec from "../src/evaluation/baseline/sasrec/SasRec.ts"
import { SasRecConfig } from "../src/evaluation/baseline/sasrec/SasRecConfig.ts"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import * as ScorerFusion from "../src/evaluation/baseline/ScorerFusion.ts"
import { type GrpoConfig } from "../src/grpo/Grpo.ts"
import type * as Prepare from "./Prepare.ts"
import { Workspace } from "./Workspace.ts"

/** Returns whether rollouts need the teacher; rewards ask for it themselves. */
export const isNeeded = ({ rollout: { priorWeight, teacherItems } }: GrpoConfig): boolean =>
  teacherItems > 0 || priorWeight > 0

/** Fits item-to-item counts that leave a user's own sequence out, so that they do not remember the targets they score. */
export const counts = ({ dataset, split }: Prepare.Prepared): Scorer =>
  ItemKnn.fit(split.train, dataset.items.length, { leaveOneOut: true })

/**
 * Fits a teacher. SASRec is trained once and kept in the checkpoints of the run; unlike the counts it has seen the targets
 * that it scores.
 */
export const make = Effect.fn("Teachers.make")(
  function*(kind: GrpoConfig["teacher"], prepared: Prepare.Prepared) {
    const { settings } = yield* Workspace
    const { dataset, split } = prepared
    if (kind === "item-knn") return counts(prepared)
    const sasRec = yield* SasRec.resume(
      split.train,
      split.validation,
      dataset.items.length,
      Schema.decodeSync(SasRecConfig)({}),
      settings.seed,
      { historyExcluded: settings.evaluation.historyExcluded }
    )
    if (kind === "sasrec") return sasRec
    return ScorerFusion.make([{ scorer: counts(prepared), weight: 0.5 }, { scorer: sasRec, weight: 0.5 }])
  }
)
