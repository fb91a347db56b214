/**
 * The one error of the tensor engine, with the reason inside.
 */
import * as Schema from "effect/Schema"

/** A tfjs kernel that the chosen backend cannot run. */
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

/** Two shapes that should agree and do not. `site` says where: an input of a run, or a line of the model. */
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
      `or look for such values in the input`
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

/** A backend that is not on this machine. */
export class BackendUnavailable extends Schema.TaggedError<BackendUnavailable>()("BackendUnavailable", {
  backend: Schema.String,
  mend: Schema.String
}) {
  override get message() {
    return `the ${this.backend} backend is not available here: ${this.mend}`
  }
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`

/** More memory than the machine has left, or than one block of memory can hold; nothing of it was taken. */
export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", {
  /** What the memory is for. */
  purpose: Schema.String,
  /** Bytes. */
  wanted: Schema.Finite,
  /** Bytes. */
  available: Schema.Finite,
  /** What sets the limit: the machine, or one block of memory. */
  limit: Schema.Literals(["machine", "block"])
}) {
  override get message() {
    return `${this.purpose}: ${this.wanted} bytes (${gibibytes(this.wanted)}) are needed, ` + (this.limit === "machine"
      ? `${this.available} (${gibibytes(this.available)}) are available; free memory or make the model smaller`
      : `one block of memory holds ${this.available} (${gibibytes(this.available)}); make the model smaller`)
  }
}

/** A state whose slots are not those of the optimizer that goes on from it. */
export class OtherOptimizer extends Schema.TaggedError<OtherOptimizer>()("OtherOptimizer", {
  version: Schema.Int,
  missing: Schema.Array(Schema.String),
  found: Schema.Array(Schema.String)
}) {
  override get message() {
    const some = (names: ReadonlyArray<string>) =>
      names.length === 0 ? "none" : `${names.slice(0, 3).join(", ")}${names.length > 3 ? " ..." : ""}`
    return `the optimizer keeps ${some(this.missing)}, which the state restored at step ${this.version} lacks ` +
      `(it has ${
        some(this.found)
      }); go on with the optimizer that the state is of, or restore its weights alone at version 0`
  }
}

/** A failure inside the backend itself, with its own words. */
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

/** Every way in which the tensor engine fails. */
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
