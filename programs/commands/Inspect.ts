/**
 * The command `data inspect`: looks at data without a run.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as Note from "../Note.ts"
import * as Root from "./Root.ts"

/** The command `data inspect`. */
export const command = Command.make("inspect", {
  path: Argument.String("path").pipe(Argument.withDescription("File or folder of the data")),
  write: Root.toggle(
    "write",
    "Write the sidereal.json that names files and columns, guessed where it must be, beside the data"
  )
}, ({ path, write }) =>
  Effect.gen(function*() {
    const [Inspect, Inspection, Layers, Output, Settings] = yield* Packages.load(() =>
      Promise.all([
        import("../Inspect.ts"),
        import("../../src/catalog/Inspection.ts"),
        import("../Layers.ts"),
        import("../Output.ts"),
        import("../Settings.ts")
      ])
    )
    const flags = yield* Root.command
    const importing = <A, E, R>(work: Effect.Effect<A, E, R>) =>
      work.pipe(Effect.provide(Layers.importers), Effect.provideService(Note.Quiet, flags.quiet))
    if (write) yield* Output.note(`wrote ${yield* importing(Inspect.write(path))}`)
    const settings = yield* Settings.decodeParts(yield* Root.partsOf({ ...flags, data: Option.some(path) }))
    const found = yield* importing(Inspect.program(path, settings))
    yield* Output.result(found, Inspection.describe(found)).pipe(
      Effect.provideService(Output.AsJson, flags.json)
    )
  })).pipe(
    Command.withDescription("Counts, distributions, texts, repeats, ties, and what a core would drop"),
    Command.withExamples([
      { command: "sidereal data inspect ./my-shop", description: "Look at data before training on them" },
      { command: "sidereal data inspect ./my-shop --write", description: "Write a sidereal.json to start from" }
    ])
  )
