/**
 * The command `bench`: benchmarks and their tables.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Bench from "../Bench.ts"
import * as Root from "./Root.ts"

/** The command `bench`. */
export const command = Command.make("bench", {
  names: Argument.String("name").pipe(
    Argument.withDescription(
      "Benchmarks by name or by its beginning; `profile [d256]`, `growth`, `items`, `text.big` and `sft.packed` are tables"
    ),
    Argument.variadic()
  ),
  peers: Root.text("peers", "Folder of the peers' scripts: time them in turn"),
  shapes: Root.toggle("shapes", "With profile: one line per operator and shapes"),
  out: Root.text("out", "With growth or items: folder for the charts")
}, ({ names, out, peers, shapes }) =>
  Effect.gen(function*() {
    const { data, json } = yield* Root.command
    const option = (name: string, value: Option.Option<string>) =>
      Option.isSome(value) ? [`--${name}`, value.value] : []
    const status = yield* Bench.program([
      ...names,
      ...(json ? ["--json"] : []),
      ...(shapes ? ["--shapes"] : []),
      ...option("peers", peers),
      ...option("out", out),
      ...option("data", data)
    ])
    if (status !== 0) return yield* new Bench.BenchError({ status })
  })).pipe(
    Command.withDescription("Time the engine, decoding and SIDs; see where a step spends its time"),
    Command.withExamples([{ command: "sidereal bench profile d256", description: "Milliseconds by operator" }])
  )
