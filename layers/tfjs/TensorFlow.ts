/**
 * The eager tensor runtime on TensorFlow's C library, through the optional peer dependency `@tensorflow/tfjs-node-gpu`
 * or `@tensorflow/tfjs-node`.
 *
 * The package is looked for beside this project and in the folder that `TFJS_NODE_HOME` names. Both share tfjs's engine
 * with this project, so tensors and gradients cross between them.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createRequire } from "node:module"
import { join } from "node:path"
import * as nodeUtil from "node:util"
import "../../src/tensor/Autodiff.ts"
import { BackendUnavailable, TensorError } from "../../src/tensor/TensorError.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as Eager from "./Eager.ts"

const packages = ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"] as const

/** Two functions of `node:util` that tfjs-node 4.22 calls: Node 23 removed one and warns of the other. */
const restoreUtil = (): void => {
  const util = createRequire(import.meta.url)("node:util") as Record<string, unknown>
  util["isNullOrUndefined"] ??= (value: unknown) => value === null || value === undefined
  util["isArray"] = Array.isArray
}

/**
 * The package brings a copy of tfjs that shares our registry and puts its own kernels and gradients in the place of
 * those that this project has registered or mended; they are put back.
 */
const keepingRegistry = (work: () => void): void => {
  const kernels = tf.engine().backendNames().flatMap((backend) => tf.getKernelsForBackend(backend))
  const gradients = [...new Set(kernels.map(({ kernelName }) => kernelName))]
    .flatMap((name) => tf.getGradient(name) ?? [])
  work()
  for (const kernel of kernels) {
    tf.unregisterKernel(kernel.kernelName, kernel.backendName)
    tf.registerKernel(kernel)
  }
  for (const gradient of gradients) tf.registerGradient(gradient)
}

const load = (): void => {
  if (tf.findBackend("tensorflow") !== null) return
  restoreUtil()
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2"
  const home = process.env["TFJS_NODE_HOME"]
  const requires = [
    createRequire(import.meta.url),
    ...(home === undefined ? [] : [createRequire(join(home, "package.json"))])
  ]
  const problems: Array<string> = []
  // tfjs warns of every kernel that is registered twice.
  tf.enableProdMode()
  for (const require of requires) {
    for (const name of packages) {
      try {
        require.resolve(name)
      } catch {
        continue
      }
      try {
        keepingRegistry(() => void require(name))
        if (tf.findBackend("tensorflow") !== null) return
      } catch (cause) {
        problems.push(`${name}: ${cause instanceof Error ? cause.message.split("\n")[0] : nodeUtil.inspect(cause)}`)
      }
    }
  }
  throw new TensorError({
    reason: new BackendUnavailable({
      backend: "tensorflow",
      remedy: `install ${packages.join(" or ")} beside this package, or name its folder in TFJS_NODE_HOME, ` +
        `or use --device cpu${problems.length === 0 ? "" : ` (${problems.join("; ")})`}`
    })
  })
}

/** Provides the TensorFlow runtime, where its package is found. */
export const layer: Layer.Layer<TensorRuntime, TensorError> = Layer.effect(
  TensorRuntime,
  Effect.try({
    try: load,
    catch: (cause) =>
      cause instanceof TensorError
        ? cause
        : new TensorError({
          reason: new BackendUnavailable({ backend: "tensorflow", remedy: `it could not be loaded: ${String(cause)}` })
        })
  }).pipe(Effect.andThen(Eager.make({ name: "tensorflow", backend: "tensorflow", resident: true })))
)
