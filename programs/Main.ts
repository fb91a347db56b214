/**
 * Runs the command line: exit status 0 done, 1 failed with an error, 2 usage (settings that cannot be used among it),
 * 130 interrupted. Results are all that standard output ever sees.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Runtime from "effect/Runtime"
import packageJson from "../package.json" with { type: "json" }
import { MissingPackage } from "../src/run/Packages.ts"
import * as Printable from "../src/text/Printable.ts"
import { cli } from "./Commands.ts"
import * as Telemetry from "./Telemetry.ts"

class Failed extends Error {
  override readonly [Runtime.errorExitCode]: number
  override readonly [Runtime.errorReported] = false
  constructor(status: number) {
    super("failed")
    this[Runtime.errorExitCode] = status
  }
}

/** Prints an error on standard error and returns the exit status of the process. */
const told = (error: { readonly _tag: string; readonly message: string }): number => {
  if (error._tag === "ShowHelp") return 2
  process.stderr.write(`error: ${Printable.text(error.message)}\n`)
  return error._tag === "SettingsError" ? 2 : 1
}

const internal = (cause: Cause.Cause<never>): number => {
  const defect = Cause.squash(cause)
  if (defect instanceof MissingPackage) return told(defect)
  process.stderr.write(
    `error: internal: ${Printable.text(defect instanceof Error ? defect.stack ?? defect.message : String(defect))}\n`
  )
  return 1
}

/** Prints requested help on standard output, and help after wrong usage on standard error. */
const presenter: typeof CliOutput.defaultPresenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.flatMap(Console.Console, (console) =>
        CliOutput.defaultPresenter.present(event).pipe(
          Effect.provideService(
            Console.Console,
            Object.assign(Object.create(console), { log: console.error.bind(console) })
          )
        ))
      : CliOutput.defaultPresenter.present(event)
}

// A closed reader of standard error, which carries progress only, does not end the process.
process.stderr.on("error", () => {})

// A reader that closes the pipe ends the process normally; any other write failure means that results are lost.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return
  process.stderr.write(`error: cannot write to standard output: ${error.message}\n`)
  process.exitCode = 1
})

Command.runWith(cli, { version: packageJson.version })(process.argv.slice(2)).pipe(
  Effect.provide(Telemetry.layer),
  Effect.catch((error) => Effect.suspend(() => Effect.fail(new Failed(told(error))))),
  Effect.catchCauseIf(
    (cause) => Cause.hasDies(cause) && !Cause.hasInterrupts(cause),
    (cause) => Effect.suspend(() => Effect.fail(new Failed(internal(cause as Cause.Cause<never>))))
  ),
  Effect.provideService(CliOutput.Presenter, presenter),
  Effect.provide(Layer.merge(NodeServices.layer, Layer.succeed(Logger.LogToStderr, true))),
  NodeRuntime.runMain
)
