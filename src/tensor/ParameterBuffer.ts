/**
 * The weights of a model with their gradients and optimizer slots, in one flat block of shared memory.
 *
 * Programs are fed views of it and write gradients into views of it, on this thread or another, so a training step
 * copies nothing. Parameters whose weights decay stand first, so that one pass of a kernel covers each group.
 */
import { NonFinite, ShapeMismatch, TensorError } from "./TensorError.ts"
import { formatShape, hostFloat32, type HostTensor } from "./TensorProgram.ts"
import * as TrainingKernels from "./TrainingKernels.ts"

/** One parameter: its shape, how it starts, and whether weight decay applies. */
export interface ParameterSpec {
  readonly shape: ReadonlyArray<number>
  /** Writes the initial values. */
  readonly initialize: (values: Float32Array) => void
  /** @default true for two and more axes: norms and biases do not decay. */
  readonly decay?: boolean | undefined
}

/** Parameters by name. */
export type ParameterSpecs = Readonly<Record<string, ParameterSpec>>

/** Flat regions, all of the same length: weights, gradients, first and second moment, moving average of the weights. */
export type Region = "weights" | "gradients" | "first" | "second" | "average"

const regions: ReadonlyArray<Region> = ["weights", "gradients", "first", "second", "average"]

/** Where a parameter lies, in elements from the start of a region. */
export interface Slot {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly offset: number
  readonly size: number
}

/** A buffer. */
export interface ParameterBuffer {
  readonly slots: ReadonlyArray<Slot>
  /** Elements in a region, padding included. */
  readonly length: number
  /** The first elements of a region decay, the rest does not. */
  readonly decaying: number
  /** Trainable values, padding not counted. */
  readonly count: number
  readonly kernels: TrainingKernels.TrainingKernels
  /** Byte address of a region. */
  address(region: Region): number
  /** A whole region. */
  flat(region: Region): Float32Array
  /** A parameter's values in a region. */
  view(region: Region, name: string): Float32Array
  /** All parameters of a region, as a program is fed with them; the same objects every time. */
  tensors(region: Region): Readonly<Record<string, HostTensor>>
  /** All views of a region, as a program writes into them. */
  views(region: Region): Readonly<Record<string, Float32Array>>
}

const align = (size: number) => Math.ceil(size / 4) * 4

/** Lays out and initializes the parameters; the average starts equal to the weights. */
export const make = (specs: ParameterSpecs): ParameterBuffer => {
  const entries = Object.entries(specs)
  const decays = (spec: ParameterSpec) => spec.decay ?? spec.shape.length > 1
  const slots: Array<Slot> = []
  let offset = 0
  let decaying = 0
  for (const wanted of [true, false]) {
    for (const [name, spec] of entries) {
      if (decays(spec) !== wanted) continue
      const size = spec.shape.reduce((a, b) => a * b, 1)
      slots.push({ name, shape: spec.shape, offset, size })
      offset += align(size)
    }
    if (wanted) decaying = offset
  }
  const length = offset
  const { kernels, memory } = TrainingKernels.make(regions.length * length * 4)
  const address = (region: Region) => regions.indexOf(region) * length * 4
  const flats = new Map(regions.map((region) => [region, new Float32Array(memory.buffer, address(region), length)]))
  const views = new Map(regions.map((region) => [
    region,
    Object.fromEntries(slots.map((slot) => [
      slot.name,
      new Float32Array(memory.buffer, address(region) + slot.offset * 4, slot.size)
    ]))
  ]))
  const tensors = new Map(regions.map((region) => [
    region,
    Object.fromEntries(slots.map((slot) => [slot.name, hostFloat32(views.get(region)![slot.name]!, ...slot.shape)]))
  ]))
  const buffer: ParameterBuffer = {
    slots,
    length,
    decaying,
    count: slots.reduce((sum, slot) => sum + slot.size, 0),
    kernels,
    address,
    flat: (region) => flats.get(region)!,
    view: (region, name) => {
      const found = views.get(region)![name]
      if (found === undefined) {
        throw new RangeError(`no parameter "${name}"; there are ${slots.map((slot) => slot.name).join(", ")}`)
      }
      return found
    },
    tensors: (region) => tensors.get(region)!,
    views: (region) => views.get(region)!
  }
  for (const [name, spec] of entries) spec.initialize(buffer.view("weights", name))
  buffer.flat("average").set(buffer.flat("weights"))
  return buffer
}

/** Replaces the values of a region; every parameter must be there with its shape and finite. */
export const load = (
  buffer: ParameterBuffer,
  region: Region,
  values: ReadonlyMap<string, { readonly shape: ReadonlyArray<number>; readonly data: ArrayLike<number> }>
): TensorError | undefined => {
  for (const slot of buffer.slots) {
    const value = values.get(slot.name)
    const actual = value === undefined ? "nothing" : formatShape(value.shape)
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
    for (let i = 0; i < value.data.length; i++) {
      if (Number.isFinite(value.data[i])) continue
      return new TensorError({
        reason: new NonFinite({ tensor: `${slot.name}[${i}]`, step: 0, value: String(value.data[i]) })
      })
    }
  }
  for (const slot of buffer.slots) buffer.view(region, slot.name).set(values.get(slot.name)!.data)
  return undefined
}

/** A copy of a region by parameter name, as a checkpoint keeps it. */
export const snapshot = (
  buffer: ParameterBuffer,
  region: Region
): Map<string, { readonly dtype: "F32"; readonly shape: ReadonlyArray<number>; readonly data: Float32Array }> =>
  new Map(buffer.slots.map((slot) => [slot.name, {
    dtype: "F32" as const,
    shape: slot.shape,
    data: buffer.view(region, slot.name).slice()
  }]))
