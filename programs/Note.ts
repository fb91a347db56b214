/**
 * Notes for people, on standard error.
 */
import * as Console from "effect/Console"
import * as Printable from "../src/text/Printable.ts"

/** Prints a note on standard error. */
export const print = (text: string) => Console.error(Printable.text(text))
