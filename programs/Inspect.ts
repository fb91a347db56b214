/**
 * Inspection of data without a run.
 */
import * as Effect from "effect/Effect"
import * as Import from "../src/catalog/Import.ts"
import * as Inspection from "../src/catalog/Inspection.ts"
import * as Durable from "../src/run/Durable.ts"
import * as Prepare from "./Prepare.ts"
import { type Settings } from "./Settings.ts"

/** Computes the statistics of the data at a path, imported with the settings. */
export const program = Effect.fn("inspect")(function*(path: string, settings: Settings) {
  return Inspection.inspect(yield* Prepare.load(path, settings))
})

/** Writes the proposed `sidereal.json` beside the data; returns its path and content. An existing one is kept. */
export const write = Effect.fn("inspect.write")(function*(path: string) {
  const { file, text } = yield* Import.propose(path)
  yield* Durable.write(file, text)
  return `${file}:\n${text.trimEnd()}`
})
