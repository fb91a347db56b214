/**
 * The command `data`: imports or generates data.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Packages from "../../src/run/Packages.ts"
import * as Inspect from "./Inspect.ts"
import * as Root from "./Root.ts"

/** The command `data`. */
export const command = Command.make("data", {}, () =>
  Root.within(Effect.gen(function*() {
    const [Prepare, Output] = yield* Packages.load(() => Promise.all([import("../Prepare.ts"), import("../Output.ts")]))
    const { dataset } = yield* Prepare.program()
    yield* Output.result(
      { name: dataset.name, users: dataset.sequences.length, items: dataset.items.length, counts: dataset.counts },
      Output.describeDataset(dataset)
    )
  }))).pipe(
    Command.withDescription("Import or generate the data and count it"),
    Command.withExamples([{
      command: "sidereal data --data ratings.csv --core 5",
      description: "Read a table, keep the 5-core"
    }]),
    Command.withSubcommands([Inspect.command])
  )
