/**
 * The command `recommend`: titles for a user or a history.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as RankingModels from "../RankingModels.ts"
import * as Root from "./Root.ts"

/** The command `recommend`. */
export const command = Command.make("recommend", {
  user: Root.text("user", "A user of the data"),
  history: Root.text("history", "Titles separated by semicolons, oldest first"),
  count: Flag.Int("count").pipe(
    Flag.withDescription("How many to print, at least 1 (default: 10)"),
    Flag.withDefault(10)
  ),
  model: Flag.Literals("model", RankingModels.names).pipe(
    Flag.withDescription("Model that ranks (default: the best by validation, as `evaluate` chose)"),
    Flag.optional
  )
}, ({ count, history, model, user }) =>
  Effect.gen(function*() {
    const [Recommend, Output] = yield* Packages.load(() =>
      Promise.all([import("../Recommend.ts"), import("../Output.ts")])
    )
    const question = yield* Recommend.check({
      user: Option.getOrUndefined(user),
      history: Option.getOrUndefined(history),
      count,
      model: Option.getOrUndefined(model)
    })
    yield* Root.within(
      Effect.gen(function*() {
        const answer = yield* Recommend.program(question)
        yield* Output.result(answer, Output.describeAnswer(answer))
      }),
      // The run may be in training at the same time.
      { existing: true, readOnly: true }
    )
  })).pipe(
    Command.withDescription("Recommend titles for a user or a history"),
    Command.withExamples(
      [{ command: `sidereal recommend --run runs/mine --history "a title; another title"`, description: "By titles" }]
    )
  )
