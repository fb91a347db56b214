/**
 * Trial of a policy that is trained further: validation against the policy before, and mixtures of the two.
 *
 * GRPO and its control are tried alike: the same users, beams and rules decide what is kept.
 */
import * as Effect from "effect/Effect"
import { type Example } from "../src/catalog/Split.ts"
import * as Popularity from "../src/evaluation/baseline/Popularity.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import { type GrpoConfig } from "../src/grpo/Grpo.ts"
import * as Mixture from "../src/grpo/Mixture.ts"
import * as Validation from "../src/grpo/monitoring/Validation.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { Progress } from "../src/run/Progress.ts"
import { RunLog } from "../src/run/RunLog.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Note from "./Note.ts"

/** Data of a trial. */
export interface TrialData {
  /** Item numbers of each training user. */
  readonly sequences: ReadonlyArray<Int32Array>
  /** Validation examples, from which `validationUsers` are drawn. */
  readonly validation: ReadonlyArray<Example>
  /** Whether items of the history are excluded from every list. */
  readonly historyExcluded: boolean
  /** Step of the checkpoint before training. @default none */
  readonly origin?: number | undefined
}

/** Returns the users of validation. */
export const usersOf = (
  { validationUsers }: Pick<GrpoConfig, "validationUsers">,
  { validation }: Pick<TrialData, "validation">,
  seed: number
): ReadonlyArray<Example> => TrainingState.sample(validation, validationUsers, seed)

/** Measures the policy of the context, which must be the one before training. `kind` names the phase. */
export const make = Effect.fn("Trial.make")(function*(
  kind: string,
  config: Pick<GrpoConfig, "mixtures" | "validationBeams" | "validationUsers">,
  data: TrialData,
  seed: number
) {
  const store = yield* PolicyParameters
  const log = yield* RunLog
  const progress = yield* Progress
  const { mixtures, validationBeams } = config
  const users = usersOf(config, data, seed)
  const popularity = Popularity.count(data.sequences, (yield* Sids).index.sids.length)
  const rank = Effect.scoped(Effect.flatMap(store.evaluation, (weights) => {
    const validating = progress.part(`${kind} validation`, users.length, "users")
    return PolicyRanking.rankAll(users, weights, {
      beams: validationBeams,
      historyExcluded: data.historyExcluded,
      progress: validating.update
    }).pipe(Effect.ensuring(Effect.sync(() => validating.finish())))
  }))

  // Every validation is compared with the rankings by the policy before training, in a resumed run too.
  const untrained = yield* store.save
  const start = yield* rank
  const before = Validation.of(users, start, start, popularity, seed)
  const measure = Effect.map(rank, (ranked) => Validation.of(users, ranked, start, popularity, seed))
  return {
    /** Validation before training. */
    before,
    /** Validates the parameters as they are. */
    measure,
    /**
     * Chooses between the trained parameters, which the store holds and whose checkpoint is that of `step`, and their
     * means with those before training; keeps a mean that was chosen. Returns undefined if there is nothing to choose.
     */
    settle: Effect.fnUntraced(function*(step: number) {
      if (step === 0 || mixtures.length === 0) return undefined
      const settled = yield* Mixture.settle(store, { before: untrained, shares: mixtures, start: before, measure })
      yield* log.append(Mixture.event(kind, step, settled))
      const { breadth, ndcg, share } = settled.chosen
      if (share < 1) {
        yield* TrainingState.saveMixture(store, kind, { step, share, origin: data.origin })
        yield* Note.stage(
          `${kind}: the mean of the policy before (${1 - share}) and after training (${share}) is kept: NDCG@10 ` +
            `${ndcg.toFixed(4)}; the target is in the list of ${(100 * breadth).toFixed(1)} % of the users, ` +
            `${(100 * before.breadth).toFixed(1)} % before`
        )
      }
      return settled.chosen
    })
  }
})
