/**
 * Prompts and answers of policies that read and write items without text.
 */
import * as Effect from "effect/Effect"
import { type History } from "../catalog/History.ts"
import { PolicyError, Unsupported } from "./PolicyError.ts"
import { type Prompt, type Segment } from "./Prompt.ts"

/** Returns the history of a prompt; fails for a text prompt, in the name of the family. */
export const history = (family: string, prompt: Prompt): Effect.Effect<History, PolicyError> =>
  prompt._tag === "History" ? Effect.succeed(prompt.history) : Effect.fail(
    new PolicyError({
      reason: new Unsupported({
        family,
        what: `the text prompt of the task "${prompt.task}"`,
        remedy: "pass a history, or use a policy that reads text"
      })
    })
  )

/** Returns the items of a history prompt; fails for a text prompt, in the name of the family. */
export const items = (family: string, prompt: Prompt): Effect.Effect<Int32Array, PolicyError> =>
  Effect.map(history(family, prompt), ({ items }) => items)

/** Returns the items of an answer; fails for text, in the name of the family. */
export const answered = (
  family: string,
  segments: ReadonlyArray<Segment>
): Effect.Effect<ReadonlyArray<number>, PolicyError> =>
  Effect.forEach(segments, (segment) =>
    typeof segment === "object" ? Effect.succeed(segment.item) : Effect.fail(
      new PolicyError({
        reason: new Unsupported({
          family,
          what: `the text "${segment}" as an answer`,
          remedy: "answer with items, or use a policy that writes text"
        })
      })
    ))
