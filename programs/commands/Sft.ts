/**
 * The command `sft`: supervised fine-tuning.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

const show = Effect.fnUntraced(function*(count: number) {
  const [Sft, Output, Show] = yield* Packages.load(() =>
    Promise.all([import("../Sft.ts"), import("../Output.ts"), import("../../src/task/Show.ts")])
  )
  const examples = yield* Sft.show(count)
  if (yield* Output.AsJson) return yield* Output.result(examples, "")
  const noColour = yield* Config.String("NO_COLOR").pipe(Config.withDefault(undefined))
  const colour = Show.takesColour(process.stdout, noColour)
  // The spans are escaped one by one, since the escapes of colours must stay.
  for (const { spans, task, user } of examples) {
    const name = user === undefined ? task : `${task} of user ${user}`
    yield* Console.log(`${Show.caption(name, spans)}\n${Show.render(spans, { colour })}\n`)
  }
})

const count = (value: number) => value.toLocaleString("en-US")

const parametersOf = ({ parameters, trained }: { readonly parameters: number; readonly trained: number }) =>
  `${count(parameters)} parameters${trained === parameters ? "" : `, ${count(trained)} trained`}`

/** The command `sft`. */
export const command = Command.make("sft", {
  show: Flag.Int("show").pipe(
    Flag.withDescription("Print this many training examples, their targets marked, and train nothing"),
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(0))),
    Flag.optional
  )
}, ({ show: shown }) =>
  Root.within(Effect.gen(function*() {
    if (Option.isSome(shown)) return yield* show(shown.value)
    const [Sft, Output] = yield* Packages.load(() => Promise.all([import("../Sft.ts"), import("../Output.ts")]))
    const report = yield* Sft.program()
    yield* Output.result(
      report,
      `SFT of the ${report.family} policy (${parametersOf(report)}): ${report.steps} steps, ${report.epochs} epochs, ` +
        `best validation NDCG@10 ${report.bestNdcg.toFixed(4)} after epoch ${report.bestEpoch}`
    )
  }))).pipe(
    Command.withDescription("Train the policy on histories, or on the tasks of a text policy, or resume the training"),
    Command.withExamples([{
      command: "sidereal sft --run runs/mine --config settings.json",
      description: "Train with your settings"
    }, {
      command: "sidereal sft --run runs/mine --show 5",
      description: "Look at five training examples"
    }])
  )
