/**
 * The command `control`: supervised training for as long as GRPO trained.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `control`. */
export const command = Command.make("control", {
  seconds: Flag.Finite("seconds").pipe(
    Flag.withDescription("Seconds of training, validation apart (default: those of the run's GRPO)"),
    Flag.withSchema(Schema.Finite.check(Schema.isGreaterThan(0))),
    Flag.optional
  )
}, ({ seconds }) =>
  Root.within(
    Effect.gen(function*() {
      const [Control, Output] = yield* Packages.load(() =>
        Promise.all([import("../Control.ts"), import("../Output.ts")])
      )
      const report = yield* Control.program({ seconds: Option.getOrUndefined(seconds) })
      yield* Output.result(
        report,
        `SFT continued: ${report.steps} steps in ${report.seconds.toFixed(1)} s, validation NDCG@10 ${
          report.startNdcg.toFixed(4)
        } before, best ${report.bestNdcg.toFixed(4)} after step ${report.bestStep}`
      )
    }),
    { existing: true }
  )).pipe(
    Command.withDescription("Train SFT's policy further for as long as GRPO trained, as a control of GRPO"),
    Command.withExamples([{
      command: "sidereal control --run runs/mine",
      description: "After sidereal grpo; evaluate then has the row `sft continued`"
    }])
  )
