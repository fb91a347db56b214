/**
 * Parameters of a model with their gradients and optimizer slots, in flat regions of shared memory.
 *
 * Programs read weights from views of it and write gradients into views of it, on this thread or another, so a training
 * step copies nothing. Every region has its own memory, allocated at its first use, so inference allocates no
 * gradients. Parameters with weight decay come first, so that one pass of a kernel covers each group; frozen ones come
 * last and exist in the region of the weights only, in 16 bits where their specification says so.
 */
import * as Half from "../storage/Half.ts"
import * as HostMemory from "./HostMemory.ts"
import { NonFinite, OutOfMemory, ShapeMismatch, TensorError } from "./TensorError.ts"
import { formatShape, hostBfloat16, hostFloat32, type HostTensor, type TensorSpec, widened } from "./TensorProgram.ts"
import * as TrainingKernels from "./TrainingKernels.ts"

/** Specification of one parameter: its shape, initial values, and whether it is trained and decayed. */
export interface ParameterSpec {
  readonly shape: ReadonlyArray<number>
  /** Writes the initial values. */
  readonly initialize: (values: Float32Array) => void
  /** Whether weight decay applies. @default true for two or more axes, so that norms and biases do not decay */
  readonly decay?: boolean | undefined
  /** Whether it has a gradient and slots. @default true */
  readonly trainable?: boolean | undefined
  /** Type in which a frozen parameter is stored; its values are rounded to it. @default float32 */
  readonly storage?: "float32" | "bfloat16" | undefined
  /** Writes the initial bit patterns of a parameter in bfloat16. @default those of `initialize`, rounded */
  readonly initializePatterns?: ((patterns: Uint16Array) => void) | undefined
}

/** Specifications of parameters, by name. */
export type ParameterSpecs = Readonly<Record<string, ParameterSpec>>

/** Names of the flat regions: weights, gradients, first and second moment, moving average of the weights. */
export type Region = "weights" | "gradients" | "first" | "second" | "average"

const regions: ReadonlyArray<Region> = ["weights", "gradients", "first", "second", "average"]

/**
 * Difference in bytes between the start addresses of consecutive regions within their memories. Memories are aligned to
 * large powers of two: if all regions started at 0, all streams of a kernel would map to the same cache lines, which
 * makes a step of AdamW 20 times slower.
 */
const stagger = 65 * 64

/**
 * Position of a parameter in a region; `offset` and `size` are in elements. Parameters in bfloat16 have their own memory,
 * in which their offsets count from 0.
 */
export interface Slot {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly offset: number
  readonly size: number
  readonly trainable: boolean
  readonly storage: "float32" | "bfloat16"
}

/** A tensor of a saved state. */
export interface SavedTensor {
  readonly dtype: "F32"
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** A buffer; every method that needs a region throws `TensorError` where memory for it is not available. */
export interface ParameterBuffer {
  /** Every parameter, frozen ones last. */
  readonly slots: ReadonlyArray<Slot>
  /** Number of elements of the weights in float32, with padding. */
  readonly length: number
  /** Number of elements of the weights in bfloat16. */
  readonly halves: number
  /** Number of elements of every other region, which correspond to the first elements of the weights. */
  readonly trainable: number
  /** Number of first elements of a region to which weight decay applies. */
  readonly decaying: number
  /** Number of trainable values, without padding. */
  readonly count: number
  /** Returns an error when memory for the missing regions and `more` bytes (default 0) is not available. */
  shortage(regions: ReadonlyArray<Region>, more?: number): TensorError | undefined
  /** Returns the kernels with up to four regions as memories 0 to 3. */
  kernels(first: Region, ...others: ReadonlyArray<Region>): TrainingKernels.TrainingKernels
  /** Returns the byte address of a region in its memory. */
  address(region: Region): number
  /** Returns a whole region. */
  flat(region: Region): Float32Array
  /**
   * Returns a view of a parameter's values in a region; throws a RangeError for an unknown name, and for a parameter in
   * bfloat16, of which only `tensors` holds the bit patterns.
   */
  view(region: Region, name: string): Float32Array
  /**
   * Returns all parameters of a region as feeds of a program; every call returns the same objects. In "average", a
   * frozen parameter is represented by its weights.
   */
  tensors(region: Region): Readonly<Record<string, HostTensor>>
  /** Returns the views of all parameters in float32 in a region, into which programs write. */
  views(region: Region): Readonly<Record<string, Float32Array>>
}

const align = (size: number) => Math.ceil(size / 4) * 4

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

/** Writes the initial values of a parameter in bfloat16. */
const initializeHalf = ({ initialize, initializePatterns }: ParameterSpec, patterns: Uint16Array): void => {
  if (initializePatterns !== undefined) return initializePatterns(patterns)
  const values = new Float32Array(patterns.length)
  initialize(values)
  Half.writeBfloat16(values, patterns)
}

interface Made {
  readonly memory: TrainingKernels.Memory
  readonly flat: Float32Array
  readonly views: Readonly<Record<string, Float32Array>>
  readonly tensors: Readonly<Record<string, HostTensor>>
}

/** Returns the inputs of a program for parameters: each of its shape, in the type in which it is stored. */
export const inputs = (slots: ReadonlyArray<Pick<Slot, "name" | "shape" | "storage">>): Record<string, TensorSpec> =>
  Object.fromEntries(slots.map(({ name, shape, storage }) => [name, { dtype: storage, shape }]))

/**
 * Lays out the parameters; throws a RangeError for a trainable parameter in bfloat16. The weights are initialised, and the average starts as a copy of them, at their first use.
 */
export const make = (
  specs: ParameterSpecs,
  available: () => number = HostMemory.measure
): ParameterBuffer => {
  const entries = Object.entries(specs)
  const isTrainable = (spec: ParameterSpec) => spec.trainable ?? true
  const decays = (spec: ParameterSpec) => isTrainable(spec) && (spec.decay ?? spec.shape.length > 1)
  const isHalf = (spec: ParameterSpec) => spec.storage === "bfloat16"
  const wrong = entries.find(([, spec]) => isHalf(spec) && isTrainable(spec))
  if (wrong !== undefined) {
    throw new RangeError(`the parameter "${wrong[0]}" is in bfloat16; train it in float32, or freeze it`)
  }
  const slots: Array<Slot> = []
  const lengths = { float32: 0, bfloat16: 0 }
  const place = (belongs: (spec: ParameterSpec) => boolean): number => {
    for (const [name, spec] of entries) {
      if (!belongs(spec)) continue
      const size = sizeOf(spec.shape)
      const storage = spec.storage ?? "float32"
      slots.push({ name, shape: spec.shape, offset: lengths[storage], size, trainable: isTrainable(spec), storage })
      lengths[storage] += align(size)
    }
    return lengths.float32
  }
  const decaying = place(decays)
  const trainable = place((spec) => isTrainable(spec) && !decays(spec))
  const length = place((spec) => !isTrainable(spec) && !isHalf(spec))
  place(isHalf)
  const halves = lengths.bfloat16

  const made = new Map<Region, Made>()
  const kernels = new Map<string, TrainingKernels.TrainingKernels>()
  const address = (region: Region) => regions.indexOf(region) * stagger
  const lengthOf = (region: Region) => region === "weights" ? length : trainable
  const bytesOf = (region: Region) => lengthOf(region) * 4 + (region === "weights" ? halves * 2 : 0)
  const slotsOf = (region: Region) =>
    slots.filter(({ storage, trainable }) => storage === "float32" && (region === "weights" || trainable))

  const shortage = (regions: ReadonlyArray<Region>, more = 0): TensorError | undefined => {
    const missing = regions.filter((region) => !made.has(region))
    const largest = Math.max(0, ...missing.map((region) => address(region) + lengthOf(region) * 4))
    const purpose = `${missing.join(", ")}${more === 0 ? "" : " and more"} of ${length + halves} parameters`
    return largest > TrainingKernels.mostBytes
      ? new TensorError({
        reason: new OutOfMemory({
          purpose,
          wanted: largest,
          available: TrainingKernels.mostBytes,
          limit: "block"
        })
      })
      : HostMemory.check(purpose, missing.reduce((sum, region) => sum + bytesOf(region), more), available)
  }

  const of = (region: Region): Made => {
    const known = made.get(region)
    if (known !== undefined) return known
    const short = shortage([region])
    if (short !== undefined) throw short
    const start = address(region)
    const memory = TrainingKernels.memory(start + lengthOf(region) * 4)
    const flat = new Float32Array(memory.buffer, start, lengthOf(region))
    const own = slotsOf(region)
    const views = Object.fromEntries(
      own.map(({ name, offset, size }) => [name, new Float32Array(memory.buffer, start + offset * 4, size)])
    )
    const tensors: Record<string, HostTensor> = Object.fromEntries(
      own.map(({ name, shape }) => [name, hostFloat32(views[name]!, ...shape)])
    )
    if (region === "average") flat.set(of("weights").flat.subarray(0, trainable))
    if (region === "weights") {
      const shared = new SharedArrayBuffer(halves * 2)
      for (const { name, offset, shape, size, storage } of slots) {
        if (storage === "float32") continue
        const patterns = new Uint16Array(shared, offset * 2, size)
        tensors[name] = hostBfloat16(patterns, ...shape)
      }
      for (const [name, spec] of entries) {
        if (!isHalf(spec)) spec.initialize(views[name]!)
        else initializeHalf(spec, tensors[name]!.data as Uint16Array)
      }
    }
    const result: Made = {
      memory,
      flat,
      views,
      tensors: region === "average" ? { ...of("weights").tensors, ...tensors } : tensors
    }
    made.set(region, result)
    return result
  }

  const buffer: ParameterBuffer = {
    slots,
    length,
    halves,
    trainable,
    decaying,
    count: slots.reduce((sum, slot) => slot.trainable ? sum + slot.size : sum, 0),
    shortage,
    kernels: (first, ...others) => {
      const key = [first, ...others].join()
      const known = kernels.get(key)
      if (known !== undefined) return known
      const over = TrainingKernels.over(of(first).memory, ...others.map((region) => of(region).memory))
      kernels.set(key, over)
      return over
    },
    address,
    flat: (region) => of(region).flat,
    view: (region, name) => {
      const found = of(region).views[name]
      if (found === undefined) {
        if (slots.some((slot) => slot.name === name && slot.storage === "bfloat16")) {
          throw new RangeError(
            `the parameter "${name}" is in bfloat16; take its bit patterns from tensors("${region}")`
          )
        }
        throw new RangeError(
          `no parameter "${name}" in the ${region}; known: ${slotsOf(region).map((slot) => slot.name).join(", ")}`
        )
      }
      return found
    },
    tensors: (region) => of(region).tensors,
    views: (region) => of(region).views
  }
  return buffer
}

/** Values of parameters by name. */
type Values = ReadonlyMap<string, { readonly shape: ReadonlyArray<number>; readonly data: ArrayLike<number> }>

/** Returns an error unless every parameter is present in `values` with its shape and finite values. */
export const mismatch = (
  slots: ReadonlyArray<Pick<Slot, "name" | "shape">>,
  values: Values
): TensorError | undefined => {
  for (const slot of slots) {
    const value = values.get(slot.name)
    const actual = value === undefined ? "nothing" : formatShape(value.shape)
    const data = value?.data ?? []
    if (value === undefined || actual !== formatShape(slot.shape)) {
      return new TensorError({
        reason: new ShapeMismatch({
          program: "load weights",
          site: `parameter "${slot.name}"`,
          expected: formatShape(slot.shape),
          actual
        })
      })
    }
    for (let i = 0; i < data.length; i++) {
      if (Number.isFinite(data[i])) continue
      return new TensorError({
        reason: new NonFinite({ tensor: `${slot.name}[${i}]`, step: 0, value: String(data[i]) })
      })
    }
  }
  return undefined
}

const inRegion = (buffer: ParameterBuffer, region: Region) =>
  buffer.slots.filter(({ trainable }) => region === "weights" || trainable)

/** Writes values of a region that are known to match its parameters; those in bfloat16 are rounded. */
export const write = (buffer: ParameterBuffer, region: Region, values: Values): void => {
  const tensors = buffer.tensors(region)
  for (const { name, storage } of inRegion(buffer, region)) {
    const { data } = values.get(name)!
    if (storage === "float32") buffer.view(region, name).set(data)
    else Half.writeBfloat16(Float32Array.from(data), tensors[name]!.data as Uint16Array)
  }
}

/** Replaces the values of a region, or returns the error of `mismatch`. */
export const load = (buffer: ParameterBuffer, region: Region, values: Values): TensorError | undefined => {
  const error = mismatch(inRegion(buffer, region), values)
  if (error === undefined) write(buffer, region, values)
  return error
}

/** Returns a saved tensor in float32 of one in bfloat16: it is widened when its data are read, and forgotten again. */
const narrow = (tensor: HostTensor): SavedTensor => {
  let wide: WeakRef<Float32Array> | undefined
  return {
    dtype: "F32",
    shape: tensor.shape,
    get data() {
      const known = wide?.deref()
      if (known !== undefined) return known
      const made = widened(tensor).data as Float32Array
      wide = new WeakRef(made)
      return made
    }
  }
}

/**
 * Returns a region in float32, by parameter name, for a checkpoint: views of it, which change with it. Parameters in
 * bfloat16, which no step changes, are widened one at a time as they are read.
 */
export const saved = (buffer: ParameterBuffer, region: Region): Map<string, SavedTensor> => {
  const tensors = buffer.tensors(region)
  return new Map(
    inRegion(buffer, region).map(({ name, shape, storage }) => [
      name,
      storage === "float32"
        ? { dtype: "F32" as const, shape, data: buffer.view(region, name) }
        : narrow(tensors[name]!)
    ])
  )
}

/** Copies a region in float32, by parameter name, as `saved` returns it; those in bfloat16 are not copied. */
export const snapshot = (buffer: ParameterBuffer, region: Region): Map<string, SavedTensor> => {
  const own = saved(buffer, region)
  for (const { name, storage } of inRegion(buffer, region)) {
    if (storage === "bfloat16") continue
    const { data, dtype, shape } = own.get(name)!
    own.set(name, { dtype, shape, data: data.slice() })
  }
  return own
}
