/**
 * Notes for people, on standard error.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Printable from "../src/text/Printable.ts"

/** Whether progress and the results of stages are left out; results of commands, warnings and errors stay. */
export const Quiet = Context.Reference<boolean>("sidereal/programs/Quiet", { defaultValue: () => false })

/** Prints a note on standard error. */
export const print = (text: string) => Console.error(Printable.text(text))

/** Prints the result of a finished stage on standard error, unless quiet. */
export const stage = (text: string) => Effect.flatMap(Quiet, (quiet) => quiet ? Effect.void : print(text))
