/**
 * The command `grpo`: fine-tuning by rewards.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Grpo from "../Grpo.ts"
import * as Output from "../Output.ts"
import * as Root from "./Root.ts"

/** The command `grpo`. */
export const command = Command.make("grpo", {}, () =>
  Root.within(Effect.gen(function*() {
    const report = yield* Grpo.program()
    yield* Output.result(
      report,
      `GRPO: ${report.steps} steps, validation NDCG@10 ${report.startNdcg.toFixed(4)} before, best ${
        report.bestNdcg.toFixed(4)
      } after step ${report.bestStep}`
    )
  }))).pipe(
    Command.withDescription("Improve the policy by rewards on constrained beams"),
    Command.withExamples([{
      command: "sidereal grpo --run runs/mine",
      description: "After sidereal sft on the same run"
    }])
  )
