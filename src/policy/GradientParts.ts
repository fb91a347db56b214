/**
 * Gradients accumulated over the parts of a step.
 */
import * as Effect from "effect/Effect"
import { type Feeds, type MicroBatch, type ParameterStore } from "../optimizer/ParameterStore.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type Executable } from "../tensor/TensorRuntime.ts"
import { ofTensor } from "./PolicyError.ts"
import { type GradientPart, type SupervisedBatch } from "./PolicyModel.ts"
import * as CandidateObjective from "./tree/CandidateObjective.ts"

/**
 * Runs one program over the parts of a step in order, accumulates their gradients in the store, and returns the sums of
 * loss and terms, each part weighted by its share.
 */
export const accumulate = Effect.fnUntraced(
  function*(
    store: ParameterStore,
    executable: Executable<string, string>,
    parts: ReadonlyArray<Required<MicroBatch> & { readonly share: number }>
  ) {
    const outputs = yield* store.differentiate(executable, parts)
    const sums: Record<string, number> = {}
    for (const [i, output] of outputs.entries()) {
      for (const [name, term] of [["loss", output["loss"]!] as const, ...CandidateObjective.termsOf(output)]) {
        sums[name] = (sums[name] ?? 0) + parts[i]!.share * (yield* term.read).data[0]!
      }
    }
    return { loss: 0, ...sums }
  },
  Effect.scoped,
  Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
)

/**
 * Runs one program over supervised batches as `accumulate` does; `feedsOf` builds the feeds of a batch, given its place
 * among the parts, when the program is run with them.
 */
export const accumulateBatches = (
  store: ParameterStore,
  executable: Executable<string, string>,
  parts: ReadonlyArray<GradientPart<SupervisedBatch>>,
  feedsOf: (batch: SupervisedBatch, part: number) => Feeds | Effect.Effect<Feeds, TensorError>
) =>
  accumulate(
    store,
    executable,
    parts.map(({ batch, share = 1 }, part) => ({
      share,
      get feeds() {
        return feedsOf(batch, part)
      }
    }))
  )
