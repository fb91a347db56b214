/**
 * Converts exceptions thrown by the body of a program to typed errors.
 */
import { BackendFailure, ShapeMismatch, TensorError, UnsupportedKernel } from "./TensorError.ts"

const modelLine = (error: Error): string => {
  const frame = (error.stack ?? "").split("\n").slice(1).find((line) =>
    !line.includes("node_modules") && !line.includes("node:") &&
    !/\/(?:src\/tensor|layers\/onnx|layers\/tfjs)\//.test(line)
  )
  const place = frame?.match(/([^/\\(]+\.[cm]?[jt]s:\d+):\d+\)?$/)?.[1]
  return place ?? "the program body"
}

const shapeWords = /shapes?\b|broadcast|rank|dimension|size\(/i

/** Converts an exception from the body of `program` to a `TensorError`. */
export const toTensorError = (backend: string, program: string, cause: unknown): TensorError => {
  if (cause instanceof TensorError) return cause
  if (!(cause instanceof Error)) return new TensorError({ reason: new BackendFailure({ backend, program, cause }) })
  const kernel = "kernel" in cause && typeof cause.kernel === "string"
    ? cause.kernel
    : cause.message.match(/[Kk]ernel '([^']+)' not registered/)?.[1]
  if (kernel !== undefined) {
    const detail = "kernel" in cause ? `${cause.message} (at ${modelLine(cause)})` : `called at ${modelLine(cause)}`
    return new TensorError({ reason: new UnsupportedKernel({ kernel, backend, program, detail }) })
  }
  if (shapeWords.test(cause.message)) {
    const shapes = [...cause.message.matchAll(/\[?(\d+(?:,\s?\d+)+|\d+)\]?/g)].map((match) => `[${match[1]}]`)
    return new TensorError({
      reason: new ShapeMismatch({
        program,
        site: `${modelLine(cause)} (${cause.message})`,
        expected: shapes[0] ?? "?",
        actual: shapes[1] ?? "?"
      })
    })
  }
  return new TensorError({ reason: new BackendFailure({ backend, program, cause }) })
}
