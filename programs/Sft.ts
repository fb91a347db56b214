/**
 * Supervised fine-tuning as a recipe: data, SIDs, policy, training.
 *
 * Which technology stands behind each service is decided at the edge (`Layers.ts`); the policy family can be swapped by
 * giving another layer.
 */
import * as Effect from "effect/Effect"
import * as Supervised from "../src/sft/Sft.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Trains the policy of the run, or goes on where it stopped. */
export const program = Effect.fn("sft")(function*(policy: Policies.PolicyLayer = Policies.flat) {
  const { settings } = yield* Workspace
  const { split } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()

  return yield* Supervised.train(
    settings.sft,
    { sequences: split.train, validation: split.validation, historyExcluded: settings.evaluation.historyExcluded },
    settings.seed
  ).pipe(Effect.provide(policy(settings, index)))
})
