/**
 * The command `report`: the run as one HTML file.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `report`. */
export const command = Command.make("report", {}, () =>
  Root.within(
    Effect.gen(function*() {
      const [Report, Output] = yield* Packages.load(() => Promise.all([import("../Report.ts"), import("../Output.ts")]))
      const path = yield* Report.program()
      yield* Output.result({ report: path }, path)
    }),
    { existing: true }
  )).pipe(
    Command.withDescription("Write the run's report, one HTML file"),
    Command.withExamples([{ command: "sidereal report --run runs/mine", description: "After sidereal evaluate" }])
  )
