/**
 * Command lines run in the process of a test.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { cli } from "../../programs/Commands.ts"

/** How a command ended. */
export interface Outcome {
  /** Empty when the command ended well. */
  readonly failure: string
  readonly tag: string
  readonly out: string
  readonly notes: string
}

/** Runs a command line in this process. */
export const sidereal = (...args: ReadonlyArray<string>): Promise<Outcome> => {
  const out: Array<string> = []
  const notes: Array<string> = []
  const heard: Console.Console = Object.assign(Object.create(console), {
    log: (text: string) => out.push(text),
    error: (text: string) => notes.push(text)
  })
  return Command.runWith(cli, { version: "test" })(args).pipe(
    Effect.provideService(Console.Console, heard),
    Effect.provide(NodeServices.layer),
    Effect.match({
      onSuccess: () => ({ failure: "", tag: "" }),
      onFailure: (error) => {
        const reason = "reason" in error ? error.reason as { readonly _tag: string } : error
        return { failure: error.message, tag: reason._tag }
      }
    }),
    Effect.map((ended) => ({ ...ended, out: out.join("\n"), notes: notes.join("\n") })),
    Effect.runPromise
  )
}

/** Runs a command that must end well. */
export const good = async (...args: ReadonlyArray<string>): Promise<Outcome> => {
  const outcome = await sidereal(...args)
  assert.strictEqual(outcome.failure, "", args.join(" "))
  return outcome
}

/** Runs a command that must fail with the tag of an error or its reason; returns the message. */
export const refused = async (tag: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const { failure, tag: found } = await sidereal(...args)
  assert.strictEqual(found, tag, `${args.join(" ")}: ${failure}`)
  return failure
}
