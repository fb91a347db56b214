/**
 * A tfjs backend that computes nothing: it records the kernels that a program calls as an ONNX graph.
 *
 * tfjs runs its own shape rules and its own autodiff over the recorded tensors, so whatever tfjs can differentiate can
 * be compiled. The lowerings themselves stand in `Lowerings.ts` and `FusedLowerings.ts`.
 */
import * as tf from "@tensorflow/tfjs"
import { type DataType, type TensorProgram, type TensorSpec } from "../../src/tensor/TensorProgram.ts"
import { GraphBuilder } from "./GraphBuilder.ts"
import * as OnnxProto from "./OnnxProto.ts"
import * as SymbolicShape from "./SymbolicShape.ts"

/** The name under which the backend and its kernels are registered with tfjs. */
export const backendName = "sidereal-onnx"

/** A traced tensor: its value in the graph. A `splat` is a scalar constant that stands for a filled tensor. */
export interface Traced {
  readonly value: string
  readonly type: OnnxProto.ElementType
  readonly splat: boolean
  /**
   * Returns the value in 16 bits of an input that is stored so, to be computed after another value where one is given.
   * `value` then widens it once more at every use.
   */
  readonly half?: ((after?: string) => string) | undefined
}

/** The device that a graph is written for: operators that it lacks or gets wrong are replaced by others. */
export type Target = "cpu" | "webgpu"

/** The trace in progress: the graph, and the table of run-time sizes. */
export interface Trace {
  readonly program: string
  readonly target: Target
  readonly graph: GraphBuilder
  readonly symbols: SymbolicShape.SymbolTable
}

/** The failure of a lowering that cannot express its inputs; becomes `UnsupportedKernel`. */
export class LoweringFailure extends Error {
  readonly kernel: string
  constructor(kernel: string, detail: string) {
    super(detail)
    this.kernel = kernel
  }
}

class TracingBackend extends tf.KernelBackend {
  readonly data = new tf.DataStorage<Traced>(this, tf.engine())
  trace: Trace | undefined

  get current(): Trace {
    if (this.trace === undefined) throw new Error("a traced tensor was used outside its trace")
    return this.trace
  }

  override write(values: tf.BackendValues | null, shape: Array<number>, dtype: tf.DataType): object {
    const id = {}
    this.move(id, values, shape, dtype)
    return id
  }

  override move(id: object, values: tf.BackendValues | null, shape: Array<number>, dtype: tf.DataType): void {
    const type = elementType(dtype)
    const array = type === "float32"
      ? Float32Array.from(values as Float32Array)
      : type === "bool"
      ? Uint8Array.from(values as Uint8Array)
      : Int32Array.from(values as Int32Array)
    const { graph, symbols } = this.current
    if (array.some((value) => Number.isInteger(value) && symbols.factor(value).factors.length > 0)) {
      throw new LoweringFailure(
        "constant",
        "a size known only at run time cannot be used as a number; sum ones instead"
      )
    }
    if (shape.every((size) => symbols.factor(size).factors.length === 0)) {
      this.data.set(id, { value: graph.constant(type, shape, array), type, splat: false })
      return
    }
    if (array.some((value) => value !== array[0])) {
      throw new LoweringFailure("constant", "a constant cannot have a size that is known only at run time")
    }
    this.data.set(id, { value: graph.scalar(array[0] ?? 0, type), type, splat: true })
  }

  override readSync(): never {
    throw new LoweringFailure("readSync", "a program body may not read values; it only describes a computation")
  }

  override numDataIds(): number {
    return this.data.numDataIds()
  }

  override incRef(): void {}
  decRef(): void {}
  override refCount(): number {
    return 1
  }
  override disposeData(): boolean {
    return true
  }
  override timerAvailable(): boolean {
    return false
  }
  override floatPrecision(): 32 {
    return 32
  }
  override epsilon(): number {
    return 1e-7
  }
  override memory(): { unreliable: boolean } {
    return { unreliable: true }
  }
}

const backend = new TracingBackend()
tf.registerBackend(backendName, () => backend)

/** Returns the float32 value of a value in 16 bits. */
export const widen = (half: string, shape: ReadonlyArray<number>): string => {
  const { graph } = backend.current
  const brain = graph.separate("BitCast", [half], { type: "bfloat16", shape }, { to: OnnxProto.codeOf("bfloat16") })
  return graph.separate("Cast", [brain], { type: "float32", shape }, { to: OnnxProto.codeOf("float32") })
}

/** Makes a float32 tensor of a value in 16 bits, which is widened at every use. */
export const halfOf = (half: (after?: string) => string, shape: ReadonlyArray<number>): tf.TensorInfo => {
  const dataId = {}
  backend.data.set(dataId, {
    type: "float32",
    splat: false,
    half,
    // A widened matrix that is kept from the forward to the backward pass would cost what 16 bits save.
    get value() {
      return widen(half(), shape)
    }
  })
  return { dataId, shape: [...shape], dtype: "float32" }
}

/**
 * Returns an input in 16 bits, read only after another value is there: nothing else keeps the runtime from widening all
 * matrices before the first product. The order hangs on the input's shape, to which 0 times a size of the other value is
 * added; reshaping copies nothing.
 */
export const halfInput = (input: string, shape: ReadonlyArray<number>) => (after?: string): string => {
  if (after === undefined) return input
  const { graph } = backend.current
  const one = { type: "int64", shape: [1] } as const
  const size = graph.one("Shape", [after], one, { start: 0, end: 1 })
  const nothing = graph.one("Mul", [size, graph.integers([0])], one)
  const same = graph.one("Add", [graph.integers(shape), nothing], { type: "int64", shape: [shape.length] })
  return graph.separate("Reshape", [input, same], { type: "uint16", shape }, {})
}

/** Returns the element type of a tfjs type. */
export const elementType = (dtype: tf.DataType): "float32" | "int32" | "bool" => {
  if (dtype === "float32" || dtype === "int32" || dtype === "bool") return dtype
  throw new LoweringFailure("dtype", `element type ${dtype} has no place in a program`)
}

/** Returns the trace in progress. */
export const current = (): Trace => backend.current

/** Returns the traced value behind a tensor. */
export const traced = (tensor: tf.TensorInfo): Traced => backend.data.get(tensor.dataId)

/** Makes a tensor for a value of the graph. */
export const tensorOf = (
  value: string,
  shape: ReadonlyArray<number>,
  type: OnnxProto.ElementType,
  splat = false
): tf.TensorInfo => {
  const dataId = {}
  backend.data.set(dataId, { value, type, splat })
  return { dataId, shape: [...shape], dtype: type === "int64" ? "int32" : type as tf.DataType }
}

/** Returns the graph name of a program's input; it differs from that of an output of the same name. */
export const inputName = (name: string): string => `in.${name}`
/** Returns the graph name of a program's output; a weight and its gradient may share a name. */
export const outputName = (name: string): string => `out.${name}`

/** A traced program: its graph and its outputs. */
export interface TracedProgram {
  readonly graph: OnnxProto.Graph
  readonly outputs: ReadonlyMap<string, TracedOutput>
}

/** Type and shape of an output; axes are constants times run-time sizes. */
export interface TracedOutput {
  readonly type: DataType
  readonly axes: ReadonlyArray<SymbolicShape.Axis>
}

/**
 * Calls the body of a program once with traced tensors and returns the graph it described. With `halves`, inputs in
 * bfloat16 are inputs of the graph in 16 bits, otherwise in float32.
 *
 * Throws what tfjs or a lowering throws; the runtime turns it into a typed error.
 */
export const trace = <I extends string, O extends string>(
  program: TensorProgram<I, O>,
  target: Target,
  materialize: (tensor: tf.TensorInfo) => string,
  halves = false
): TracedProgram => {
  const typeOf = ({ dtype }: TensorSpec): OnnxProto.ElementType =>
    dtype === "bfloat16" ? halves ? "uint16" : "float32" : dtype
  const specs = Object.entries(program.inputs) as Array<[I, TensorProgram<I, O>["inputs"][I]]>
  const symbols = SymbolicShape.make(Object.fromEntries(specs.map(([name, spec]) => [inputName(name), spec])))
  const graph = new GraphBuilder()
  const before = tf.getBackend()
  backend.trace = { program: program.name, target, graph, symbols }
  void tf.setBackend(backendName)
  const engine = tf.engine()
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 60
  engine.startScope(program.name)
  try {
    const tensors = Object.fromEntries(specs.map(([name, spec]) => {
      const shape = spec.shape.map(symbols.stand)
      const type = typeOf(spec)
      const value = graph.input(inputName(name), type, shape)
      const info = type === "uint16" ? halfOf(halfInput(value, shape), shape) : tensorOf(value, shape, type)
      return [name, engine.makeTensorFromTensorInfo(info)]
    })) as Record<I, tf.Tensor>
    const results = program.body(tensors) as Record<O, tf.Tensor>
    const outputs = Object.entries<tf.Tensor>(results).map(([name, tensor]) => {
      const axes = tensor.shape.map(symbols.outputAxis)
      const type = elementType(tensor.dtype)
      return {
        value: materialize(tensor),
        name,
        traced: { type, axes },
        info: { name: outputName(name), type, shape: axes.map(SymbolicShape.axisName) }
      }
    })
    const inputs = specs.map(([name, spec]) => ({
      name: inputName(name),
      type: typeOf(spec),
      shape: spec.shape.map((dimension) => typeof dimension === "number" ? dimension : dimension.replaceAll(" ", ""))
    }))
    return {
      graph: graph.finish(program.name, inputs, outputs),
      outputs: new Map(outputs.map(({ name, traced }) => [name, traced]))
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    engine.endScope()
    backend.trace = undefined
    if (before !== undefined && before !== "" && before !== backendName) void tf.setBackend(before)
  }
}
