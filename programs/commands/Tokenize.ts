/**
 * The command `tokenize`: embeddings to SIDs, or tokenizers side by side.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Laboratory from "../Laboratory.ts"
import * as Output from "../Output.ts"
import * as Quantizers from "../Quantizers.ts"
import * as Tokenize from "../Tokenize.ts"
import * as Root from "./Root.ts"

/** The command `tokenize`. */
export const command = Command.make("tokenize", {
  compare: Flag.String("compare").pipe(
    Flag.withDescription(`Train several side by side and write a page: some of ${Quantizers.names.join(",")}, or all`),
    Flag.optional
  )
}, ({ compare }) =>
  Option.match(compare, {
    onNone: () =>
      Root.within(Effect.gen(function*() {
        const tokenized = yield* Tokenize.program()
        yield* Output.result(tokenized.diagnosis, Output.describeSids(tokenized))
      })),
    onSome: (text) =>
      Effect.flatMap(Quantizers.parseNames(text), (names) =>
        Root.within(Effect.gen(function*() {
          const found = yield* Laboratory.program(names)
          yield* Output.result(found, Output.describeLaboratory(found))
        })))
  })).pipe(
    Command.withDescription("Embeddings to semantic ids, with their diagnostics; or tokenizers compared"),
    Command.withExamples([
      { command: "sidereal tokenize --run runs/mine --json", description: "Diagnostics as JSON" },
      {
        command: "sidereal tokenize --compare rq-kmeans,rq-vae,random --run runs/mine",
        description: "Which tokenizer is best, and why"
      }
    ])
  )
