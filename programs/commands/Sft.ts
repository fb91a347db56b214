/**
 * The command `sft`: supervised fine-tuning.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `sft`. */
export const command = Command.make("sft", {}, () =>
  Root.within(Effect.gen(function*() {
    const [Sft, Output] = yield* Packages.load(() => Promise.all([import("../Sft.ts"), import("../Output.ts")]))
    const report = yield* Sft.program()
    yield* Output.result(
      report,
      `SFT: ${report.steps} steps, ${report.epochs} epochs, best validation NDCG@10 ${
        report.bestNdcg.toFixed(4)
      } after epoch ${report.bestEpoch}`
    )
  }))).pipe(
    Command.withDescription("Train the policy on histories, or resume the training"),
    Command.withExamples([{
      command: "sidereal sft --run runs/mine --config settings.json",
      description: "Train with your settings"
    }])
  )
