/**
 * The command `embed`: item texts to embeddings.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `embed`. */
export const command = Command.make("embed", {}, () =>
  Root.within(Effect.gen(function*() {
    const [Prepare, Tokenize, Output] = yield* Packages.load(() =>
      Promise.all([import("../Prepare.ts"), import("../Tokenize.ts"), import("../Output.ts")])
    )
    const { matrix, version } = yield* Tokenize.embed(yield* Prepare.program())
    yield* Output.result(
      { version, rows: matrix.rows, width: matrix.width },
      `${matrix.rows} embeddings of ${matrix.width} components, version ${version.slice(0, 12)}`
    )
  }))).pipe(
    Command.withDescription("Item texts to embeddings"),
    Command.withExamples([{ command: "sidereal embed --run runs/mine", description: "Embed the items of a run" }])
  )
