/**
 * Optional packages: what an installation without them says when a part needs one.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Commands that install what `npm install NAME` would not. */
const commands: Readonly<Record<string, string>> = {
  // Its install script downloads CUDA libraries unless it is told not to, and fails where it cannot.
  "onnxruntime-node": "ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node",
  "@lancedb/lancedb": "npm install @lancedb/lancedb apache-arrow",
  "apache-arrow": "npm install @lancedb/lancedb apache-arrow"
}

/** A package that is not installed. */
export class MissingPackage extends Schema.TaggedError<MissingPackage>()("MissingPackage", {
  /** Name of the package in the npm registry. */
  name: Schema.String,
  /** Command that installs it. */
  command: Schema.String
}) {
  override get message() {
    return `the package ${this.name} is not installed; run \`${this.command}\``
  }
}

/** Returns `MissingPackage` if a failed import lacked a package, else its cause. */
export const explain = (cause: unknown): Error => {
  const error = cause instanceof Error ? cause : new Error(String(cause))
  const { code } = error as NodeJS.ErrnoException
  if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") return error
  const name = /^Cannot find (?:package|module) '((?:@[^/']+\/)?[^@./'][^/']*)/.exec(error.message)?.[1]
  return name === undefined ? error : new MissingPackage({ name, command: commands[name] ?? `npm install ${name}` })
}

/** Imports a module; fails with `MissingPackage` if it needs a package that is not installed. */
export const load = <M>(module: () => Promise<M>): Effect.Effect<M, MissingPackage> =>
  Effect.promise(() =>
    module().catch((cause: unknown) => {
      const error = explain(cause)
      if (error instanceof MissingPackage) return error
      throw error
    })
  ).pipe(Effect.flatMap((loaded) => loaded instanceof MissingPackage ? Effect.fail(loaded) : Effect.succeed(loaded)))

/** Returns a function that loads a package at its first call and throws `MissingPackage` where it is not installed. */
export const required = <M>(name: string, require: NodeJS.Require): () => M => {
  let loaded: M | undefined
  return () => {
    try {
      return loaded ??= require(name) as M
    } catch (cause) {
      throw explain(cause)
    }
  }
}
