/**
 * Settings file of `--config`.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Durable from "../src/run/Durable.ts"
import { SettingsError } from "./SettingsError.ts"

const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g
const deepest = 64

/** Finds content that JSON allows and settings forbid: a repeated key of an object, and too deeply nested objects. */
const faults = (json: string): ReadonlyArray<string> => {
  /** Keys read so far of each object around the current place, and the latest key; a list has none. */
  const around: Array<{ readonly keys: Set<string>; key: string }> = []
  const found: Array<string> = []
  let text = ""
  for (const [token] of json.matchAll(tokens)) {
    const inner = around.at(-1)
    if (token === "{" || token === "[") around.push({ keys: new Set(), key: "" })
    else if (token === "}" || token === "]") around.pop()
    else if (token === ":" && inner !== undefined) {
      inner.key = JSON.parse(text) as string
      if (inner.keys.has(inner.key)) {
        const path = around.map(({ key }) => key).filter((key) => key !== "").join(".")
        found.push(`${path}: it stands twice; settings are given once`)
      }
      inner.keys.add(inner.key)
    }
    if (around.length > deepest) return [`(whole file): Expected settings, got values more than ${deepest} deep`]
    text = token
  }
  return found
}

/** Reads settings; fails with the reason if the file cannot be read, is not JSON, or contains a setting twice. */
export const read = Effect.fn("ConfigFile.read")(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const bad = (...problems: ReadonlyArray<string>) => new SettingsError({ source: path, problems })
  if (path === "") return yield* new SettingsError({ source: "--config", problems: ["the path is empty"] })
  const content = yield* fs.readFileString(path).pipe(
    Effect.mapError((error) => bad(`it cannot be read: ${Durable.wordsOf(error)}`))
  )
  const json = content.replace(/^\uFEFF/, "")
  const settings = yield* Effect.try({
    try: () => JSON.parse(json) as unknown,
    catch: (cause) => bad(`it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
  })
  const problems = faults(json)
  return problems.length === 0 ? settings : yield* bad(...problems)
})
