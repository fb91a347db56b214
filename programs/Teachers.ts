/**
 * Teachers of GRPO: scorers that are fitted to the training sequences of a run.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type Example } from "../src/catalog/Split.ts"
import * as ItemKnn from "../src/evaluation/baseline/ItemKnn.ts"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import * as ScorerFusion from "../src/evaluation/baseline/ScorerFusion.ts"
import * as ScorerPrior from "../src/evaluation/baseline/ScorerPrior.ts"
import * as PriorWeight from "../src/evaluation/PriorWeight.ts"
import { type GrpoConfig } from "../src/grpo/Grpo.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { Progress } from "../src/run/Progress.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Note from "./Note.ts"
import type * as Prepare from "./Prepare.ts"
import * as RunSasRec from "./RunSasRec.ts"
import * as Trial from "./Trial.ts"
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
    if (kind === "item-knn") return counts(prepared)
    const sasRec = yield* RunSasRec.train(prepared)
    if (kind === "sasrec") return sasRec
    return ScorerFusion.make([{ scorer: counts(prepared), weight: 0.5 }, { scorer: sasRec, weight: 0.5 }])
  }
)

/**
 * Makes the teacher of another process that trains the run: its counts are fitted here, its SASRec is read from the
 * folder of the run, once that process has trained it.
 */
export const shared = Effect.fn("Teachers.shared")(
  function*(kind: GrpoConfig["teacher"], prepared: Prepare.Prepared) {
    if (kind !== "item-knn" && !(yield* RunSasRec.isTrained)) {
      const { run } = yield* Workspace
      yield* Note.print(`waits for SASRec, the teacher, which \`sidereal grpo\` trains first, in ${run}`)
      yield* RunSasRec.isTrained.pipe(
        Effect.repeat({ schedule: Schedule.spaced("2 seconds"), until: (isTrained) => isTrained })
      )
    }
    return yield* make(kind, prepared)
  }
)

/** The reward that a teacher gives. */
const reward = "collaborative"

/** Returns whether validation chooses how much the teacher counts. */
export const areWeighed = ({ rewards, teacherWeights }: GrpoConfig): boolean =>
  rewards[reward] !== undefined && teacherWeights.length > 0

/** Returns weights of rewards with that of the teacher multiplied. */
export const times = (rewards: GrpoConfig["rewards"], factor: number): GrpoConfig["rewards"] =>
  rewards[reward] === undefined ? rewards : { ...rewards, [reward]: factor * rewards[reward] }

/**
 * Chooses how much a teacher counts: the weight with which it stands beside the policy of the start as a prior with the
 * best NDCG@10 on validation users. What the policy then learns is to decode alone as the two do together.
 */
export const weigh = Effect.fn("Teachers.weigh")(function*(
  teacher: Scorer,
  grpo: GrpoConfig,
  data: { readonly historyExcluded: boolean; readonly validation: ReadonlyArray<Example> },
  seed: number
) {
  const [first, ...others] = grpo.teacherWeights
  const users = Trial.usersOf(grpo, data, seed)
  if (first === undefined || users.length === 0) return 1
  const log = yield* RunLog
  const progress = yield* Progress
  const store = yield* PolicyParameters
  const tracker = progress.start(`weigh ${teacher.name} as teacher`, users.length, "users")
  const { weight, weights } = yield* Effect.scoped(
    Effect.flatMap(
      store.evaluation,
      (own) =>
        PriorWeight.choose(users, own, ScorerPrior.make(teacher, { weight: first }), [first, ...others], {
          beams: grpo.validationBeams,
          historyExcluded: data.historyExcluded,
          progress: (done) => tracker.update(done)
        })
    )
  )
  const alone = weights[0]!.ndcg
  const together = weights.find((one) => one.weight === weight)!.ndcg
  tracker.finish(`weight ${weight}: NDCG@10 ${together.toFixed(4)} together, ${alone.toFixed(4)} without`)
  yield* log.append({
    kind: "grpo.teacher",
    step: 0,
    fields: {
      teacher: teacher.name,
      weight,
      ...Object.fromEntries(weights.map((one) => [`NDCG@10 at ${one.weight}`, one.ndcg]))
    }
  })
  return weight
})
