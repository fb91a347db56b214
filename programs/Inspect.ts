/**
 * Looks at data without beginning a run.
 */
import * as Effect from "effect/Effect"
import * as Inspection from "../src/catalog/Inspection.ts"
import * as Prepare from "./Prepare.ts"
import { type Settings } from "./Settings.ts"

/** The figures of the data at a path, as the settings would import them. */
export const program = Effect.fn("inspect")(function*(path: string, settings: Settings) {
  return Inspection.inspect(yield* Prepare.load(path, settings))
})
