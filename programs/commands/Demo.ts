/**
 * The command `demo`: the whole pipeline.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `demo`. */
export const command = Command.make("demo", {}, () =>
  Root.within(Effect.gen(function*() {
    const [Demo, Output, { Workspace }] = yield* Packages.load(() =>
      Promise.all([import("../Demo.ts"), import("../Output.ts"), import("../Workspace.ts")])
    )
    const { file, run } = yield* Workspace
    const done = yield* Demo.program()
    yield* Output.result(
      done.record,
      [
        Output.describeRecord(done.record),
        "",
        `Report: ${done.report}`,
        `Try: npx sidereal recommend --run ${run} --user ${
          done.record.dataset === "generated-shop" ? "user-1" : "USER"
        }`
      ].join("\n")
    )
    yield* Effect.logDebug(file("manifest.json"))
  }))).pipe(
    Command.withDescription("Everything: data, SIDs, SFT, GRPO, evaluation, report"),
    Command.withExamples(
      [{
        command: "sidereal demo --data ./my-shop --run runs/mine",
        description: "The whole pipeline on your own tables"
      }]
    )
  )
