/**
 * The command `tokenize`: embeddings to SIDs, or tokenizers side by side.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as QuantizerNames from "../QuantizerNames.ts"
import { SettingsError } from "../SettingsError.ts"
import * as Root from "./Root.ts"

/** The command `tokenize`. */
export const command = Command.make("tokenize", {
  compare: Flag.String("compare").pipe(
    Flag.withDescription(
      `Train several side by side and write a page: some of ${QuantizerNames.names.join(",")}, or all`
    ),
    Flag.optional
  ),
  text: Flag.String("text").pipe(
    Flag.withDescription("The title of a new item, to be given a SID by the run's models; may be given several times"),
    Flag.atLeast(0)
  )
}, ({ compare, text: titles }) =>
  Option.isSome(compare) && titles.length > 0
    ? Effect.fail(
      new SettingsError({
        source: "the command line",
        problems: [
          "compare, text: tokenizers are compared on the run's items alone; give --compare or --text, not both"
        ]
      })
    )
    : Effect.gen(function*() {
      const [Tokenize, Output] = yield* Packages.load(() =>
        Promise.all([import("../Tokenize.ts"), import("../Output.ts")])
      )
      if (Option.isSome(compare)) {
        const [Laboratory, Quantizers] = yield* Packages.load(() =>
          Promise.all([import("../Laboratory.ts"), import("../Quantizers.ts")])
        )
        const chosen = yield* Quantizers.parseNames(compare.value)
        return yield* Root.within(Effect.gen(function*() {
          const found = yield* Laboratory.program(chosen)
          yield* Output.result(found, Output.describeLaboratory(found))
        }))
      }
      yield* Root.within(
        titles.length > 0
          ? Effect.gen(function*() {
            const sids = yield* Tokenize.text(titles)
            yield* Output.result(sids, Output.describeNewSids(sids))
          })
          : Effect.gen(function*() {
            const tokenized = yield* Tokenize.program()
            yield* Output.result(tokenized.diagnosis, Output.describeSids(tokenized))
          })
      )
    })).pipe(
    Command.withDescription("Embeddings to semantic ids, with their diagnostics; or tokenizers compared"),
    Command.withExamples([
      { command: "sidereal tokenize --run runs/mine --json", description: "Diagnostics as JSON" },
      {
        command: "sidereal tokenize --compare rq-kmeans,rq-vae,random --run runs/mine",
        description: "Which tokenizer is best, and why"
      },
      {
        command: "sidereal tokenize --run runs/mine --text \"a new title\"",
        description: "SID and neighbours of a new item"
      }
    ])
  )
