#!/usr/bin/env node
/**
 * The entry point: exit status 0 done, 1 failed with a typed error, 2 usage, 130 interrupted.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Runtime from "effect/Runtime"
import packageJson from "../package.json" with { type: "json" }
import { cli } from "./Commands.ts"

class Failed extends Error {
  override readonly [Runtime.errorExitCode]: number
  override readonly [Runtime.errorReported] = false
  constructor(status: number) {
    super("failed")
    this[Runtime.errorExitCode] = status
  }
}

const isUsage = (error: { readonly _tag?: string }) => error._tag === "ShowHelp"

Command.runWith(cli, { version: packageJson.version })(process.argv.slice(2)).pipe(
  Effect.catch((error) =>
    Effect.sync(() => {
      if (!isUsage(error)) process.stderr.write(`error: ${error.message}\n`)
    }).pipe(Effect.andThen(Effect.fail(new Failed(isUsage(error) ? 2 : 1))))
  ),
  Effect.provide(Layer.merge(NodeServices.layer, Layer.succeed(Logger.LogToStderr, true))),
  NodeRuntime.runMain
)
