/**
 * The tagged error of the tensor engine, with its reasons.
 */
import * as Schema from "effect/Schema"

/** A tfjs kernel that the backend does not implement. */
export class UnsupportedKernel extends Schema.TaggedError<UnsupportedKernel>()("UnsupportedKernel", {
  kernel: Schema.String,
  backend: Schema.String,
  program: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the ${this.backend} backend has no kernel "${this.kernel}" (program "${this.program}")${
      this.detail === "" ? "" : `: ${this.detail}`
    }; write the expression with supported operations or register a lowering for it`
  }
}

/** Two shapes that disagree. `site` is the input of a run or the line of the model. */
export class ShapeMismatch extends Schema.TaggedError<ShapeMismatch>()("ShapeMismatch", {
  program: Schema.String,
  site: Schema.String,
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message() {
    return `shapes disagree in program "${this.program}" at ${this.site}: expected ${this.expected}, got ${this.actual}`
  }
}

/** A loss, gradient or weight that is NaN or infinite. */
export class NonFinite extends Schema.TaggedError<NonFinite>()("NonFinite", {
  tensor: Schema.String,
  step: Schema.Int,
  value: Schema.String
}) {
  override get message() {
    return `${this.tensor} is ${this.value} at step ${this.step}; lower the learning rate or the clipping norm, ` +
      `or check the input for NaN and infinite values`
  }
}

/** A handle or executable used after its scope was closed. */
export class UseAfterRelease extends Schema.TaggedError<UseAfterRelease>()("UseAfterRelease", {
  handle: Schema.String
}) {
  override get message() {
    return `"${this.handle}" was used after its scope was closed; keep the scope open for as long as the handle is used`
  }
}

/** A backend that is not available on this machine. */
export class BackendUnavailable extends Schema.TaggedError<BackendUnavailable>()("BackendUnavailable", {
  backend: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `the ${this.backend} backend is not available here: ${this.remedy}`
  }
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`

/** A request for more memory than is available, or than one block can hold; nothing was allocated. */
export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", {
  /** Purpose of the memory. */
  purpose: Schema.String,
  /** Requested bytes. */
  wanted: Schema.Finite,
  /** Available bytes. */
  available: Schema.Finite,
  /** Source of the limit: the machine, or the maximum size of one block. */
  limit: Schema.Literals(["machine", "block"])
}) {
  override get message() {
    return `${this.purpose}: ${this.wanted} bytes (${gibibytes(this.wanted)}) are needed, ` + (this.limit === "machine"
      ? `${this.available} (${gibibytes(this.available)}) are available; free memory or make the model smaller`
      : `one block of memory holds ${this.available} (${gibibytes(this.available)}); make the model smaller`)
  }
}

/** A restored state that lacks slots of the optimizer. */
export class OtherOptimizer extends Schema.TaggedError<OtherOptimizer>()("OtherOptimizer", {
  version: Schema.Int,
  missing: Schema.Array(Schema.String),
  found: Schema.Array(Schema.String)
}) {
  override get message() {
    const some = (names: ReadonlyArray<string>) =>
      names.length === 0 ? "none" : `${names.slice(0, 3).join(", ")}${names.length > 3 ? " ..." : ""}`
    return `the optimizer needs the slots ${
      some(this.missing)
    }, which the state restored at step ${this.version} lacks ` +
      `(it has ${
        some(this.found)
      }); continue with the optimizer that saved the state, or restore only its weights at version 0`
  }
}

/** A failure inside the backend, with the backend's message. */
export class BackendFailure extends Schema.TaggedError<BackendFailure>()("BackendFailure", {
  backend: Schema.String,
  program: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `the ${this.backend} backend failed in program "${this.program}": ${
      this.cause instanceof Error ? this.cause.message : String(this.cause)
    }`
  }
}

/** Failure of the tensor engine; `reason` says which. */
export class TensorError extends Schema.TaggedError<TensorError>()("TensorError", {
  reason: Schema.Union([
    UnsupportedKernel,
    ShapeMismatch,
    NonFinite,
    UseAfterRelease,
    BackendUnavailable,
    BackendFailure,
    OutOfMemory,
    OtherOptimizer
  ])
}) {
  override get message() {
    return this.reason.message
  }
}
