/**
 * The command `evaluate`: policies and baselines on the same users.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `evaluate`. */
export const command = Command.make("evaluate", {}, () =>
  Root.within(
    Effect.gen(function*() {
      const [Evaluate, Output] = yield* Packages.load(() =>
        Promise.all([import("../Evaluate.ts"), import("../Output.ts")])
      )
      const record = yield* Evaluate.program()
      yield* Output.result(record, Output.describeRecord(record))
    }),
    { existing: true }
  )).pipe(
    Command.withDescription("Compare the run's policies with the baselines on the same users"),
    Command.withExamples([{
      command: "sidereal evaluate --run runs/mine --json",
      description: "The evaluation record"
    }])
  )
