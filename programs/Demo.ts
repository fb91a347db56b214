/**
 * Demo of the whole pipeline: data, SIDs, SFT, GRPO, evaluation, report.
 */
import * as Effect from "effect/Effect"
import * as Evaluate from "./Evaluate.ts"
import * as Grpo from "./Grpo.ts"
import * as Note from "./Note.ts"
import * as Output from "./Output.ts"
import * as Prepare from "./Prepare.ts"
import * as Report from "./Report.ts"
import * as Sft from "./Sft.ts"
import * as Tokenize from "./Tokenize.ts"

/** Runs every stage that the run has not finished, and prints the results of each as notes. */
export const program = Effect.fn("demo")(function*() {
  const { dataset } = yield* Prepare.program()
  yield* Note.stage(Output.describeDataset(dataset))
  yield* Note.stage(Output.describeSids(yield* Tokenize.program()))
  const sft = yield* Sft.program()
  const grpo = yield* Grpo.program()
  const record = yield* Evaluate.program()
  const report = yield* Report.program()
  return { record, sft, grpo, report }
})
