/**
 * Known differences between a backend that has a kernel and the oracle: limits of its library, not of a program.
 *
 * The battery of `test/tensor` leaves out these inputs and no others; `docs/kernels.md` lists them.
 */

/** The affected inputs: by element type or size, by a result that is not finite, or by a description. */
export type Where = "bool" | "int32" | "empty" | "not finite" | { readonly inputs: ReadonlyArray<string> }

/** A known difference of one kernel on one backend. */
export interface Difference {
  readonly backend: string
  readonly operations: ReadonlyArray<string>
  readonly what: string
  /** Inputs that are not comparable; absent where all are, within `tolerance`. */
  readonly where?: Where
  /** Accepted relative error in place of the usual 2e-5. */
  readonly tolerance?: number
}

/** The known differences of all backends. */
export const differences: ReadonlyArray<Difference> = [
  {
    backend: "onnx-webgpu",
    operations: ["Log", "Log1p"],
    where: "not finite",
    what: "the logarithm of zero and of negative numbers is undefined in WGSL"
  },
  {
    backend: "onnx-webgpu",
    operations: ["Sin", "Cos", "Tan", "Acos"],
    tolerance: 1e-3,
    what: "WGSL guarantees trigonometry to about 2^-11 only"
  },
  {
    backend: "onnx-webgpu",
    operations: ["Max", "Min", "All", "Any", "Softmax", "LogSoftmax"],
    where: "empty",
    what: "the provider refuses to reduce tensors without elements"
  },
  {
    backend: "tensorflow",
    operations: ["Multiply", "Greater", "GreaterEqual", "Less", "LessEqual", "ZerosLike", "OnesLike"],
    where: "bool",
    what: "TensorFlow has no arithmetic and no order on booleans"
  },
  {
    backend: "tensorflow",
    operations: ["Mod", "FloorDiv"],
    where: "int32",
    what: "TensorFlow fails on an integer division by zero"
  },
  {
    backend: "tensorflow",
    operations: ["FloorDiv"],
    where: { inputs: ["a float32"] },
    what: "a floored quotient of real numbers is real instead of an integer"
  },
  {
    backend: "tensorflow",
    operations: ["GatherV2"],
    where: { inputs: ["x float32 [2, 3, 4]", "x float32 [2, 5, 3], i int32 [3]"] },
    what: "tfjs-node cannot gather along an axis that is counted from the end"
  },
  {
    backend: "tensorflow",
    operations: ["UnsortedSegmentSum"],
    where: { inputs: ["x float32 [5", "x float32 [1]", "x float32 [4", "[N", "x int32 [5"] },
    what: "TensorFlow fails on a segment outside the range, where tfjs drops it; a sum of integers stays int32"
  },
  {
    backend: "tensorflow",
    operations: ["LeakyRelu", "Step", "IsNan", "IsInf", "IsFinite"],
    where: "int32",
    what: "TensorFlow has these for real numbers only"
  },
  { backend: "tensorflow", operations: ["Round"], where: "int32", what: "tfjs-node rounds integers to zero" },
  { backend: "tensorflow", operations: ["Mean"], where: "empty", what: "the mean of nothing is 0 instead of NaN" },
  {
    backend: "tensorflow",
    operations: ["DenseBincount"],
    what: "tfjs-node has no such kernel",
    where: { inputs: [""] }
  }
]
