/**
 * What a flat policy reads of prompts and answers: items, and no words.
 */
import * as Effect from "effect/Effect"
import { PolicyError, Unsupported } from "../PolicyError.ts"
import { type Prompt, type Segment } from "../Prompt.ts"

/** The name of the family. */
export const family = "flat"

/** Reads the items of a history; fails for a task in words. */
export const items = (prompt: Prompt): Effect.Effect<Int32Array, PolicyError> =>
  prompt._tag === "History" ? Effect.succeed(prompt.history.items) : Effect.fail(
    new PolicyError({
      reason: new Unsupported({
        family,
        what: `the task "${prompt.task}" in words`,
        remedy: "give it a history, or use a policy that reads text"
      })
    })
  )

/** Reads the items of an answer; fails for words. */
export const answered = (segments: ReadonlyArray<Segment>): Effect.Effect<ReadonlyArray<number>, PolicyError> =>
  Effect.forEach(segments, (segment) =>
    typeof segment === "object" ? Effect.succeed(segment.item) : Effect.fail(
      new PolicyError({
        reason: new Unsupported({
          family,
          what: `the words "${segment}" as an answer`,
          remedy: "let it answer with items, or use a policy that writes text"
        })
      })
    ))
