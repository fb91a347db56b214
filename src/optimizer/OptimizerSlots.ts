/**
 * State of an optimizer on the host: the number of steps applied, the slots, and the plain data that they are saved as.
 */
import * as ParameterBuffer from "../tensor/ParameterBuffer.ts"
import { OtherOptimizer, TensorError } from "../tensor/TensorError.ts"
import { formatShape, hostFloat32, type HostTensor } from "../tensor/TensorProgram.ts"
import type * as Optimizer from "./Optimizer.ts"

/** Tensors of a saved state, by name. */
export type SavedTensors = ReadonlyMap<string, ParameterBuffer.SavedTensor>

/** State of a store as plain data: all that the next step depends on. */
export interface StoreState {
  /** Number of steps applied. */
  readonly version: number
  /** Every parameter, including frozen ones. */
  readonly weights: SavedTensors
  /** Moving average of each parameter that has one, used in evaluation. */
  readonly average: SavedTensors
  /** Every other slot of the optimizer, by the slot names of its transform. */
  readonly slots: SavedTensors
}

/** Regions of the buffer for both moments of Adam, which the fused kernel reads. */
const moments = ["first", "second"] as const

/** Returns the slot with the average of each parameter; the last one where there are several. */
const averagesOf = (specs: SlotSpecs): ReadonlyMap<string, string> =>
  new Map(Object.entries(specs).flatMap(([slot, { averageOf }]) => averageOf === undefined ? [] : [[averageOf, slot]]))

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

/** Slots by name, with their shapes and initial values. */
export type SlotSpecs = Readonly<Record<string, Optimizer.SlotSpec>>

/** Slots of the current optimizer for the parameters of a buffer. */
export class OptimizerSlots {
  /** Number of steps applied. */
  version = 0
  /** The current optimizer: the last one applied. */
  optimizer: Optimizer.Optimizer | undefined
  /** Slots by name, without the averages. */
  held: ReadonlyMap<string, HostTensor> = new Map()
  /** Slot of the average of each parameter that has one. */
  averages: ReadonlyMap<string, string> = new Map()
  readonly buffer: ParameterBuffer.ParameterBuffer
  readonly #trainable: ReadonlyMap<string, ParameterBuffer.Slot>
  #isRestored = false

  constructor(buffer: ParameterBuffer.ParameterBuffer) {
    this.buffer = buffer
    this.#trainable = new Map(buffer.slots.flatMap((slot) => slot.trainable ? [[slot.name, slot]] : []))
  }

  /** Returns the region and the parameter of a slot that is one of Adam's moments, else undefined. */
  #momentOf(slot: string, shape: ReadonlyArray<number>): readonly [ParameterBuffer.Region, string] | undefined {
    for (const region of moments) {
      const parameter = this.#trainable.get(slot.slice(region.length + 1))
      if (parameter === undefined || slot !== `${region}.${parameter.name}`) continue
      if (formatShape(parameter.shape) === formatShape(shape)) return [region, parameter.name]
    }
    return undefined
  }

  /** Returns an error when the slots and regions do not fit into the available memory. */
  shortage(specs: SlotSpecs, ...regions: ReadonlyArray<ParameterBuffer.Region>): TensorError | undefined {
    const averages = averagesOf(specs)
    const wanted = new Set(regions)
    let own = 0
    for (const [slot, { averageOf, shape }] of Object.entries(specs)) {
      if (averageOf !== undefined && averages.get(averageOf) === slot) wanted.add("average")
      else {
        const moment = this.#momentOf(slot, shape)
        if (moment !== undefined) wanted.add(moment[0])
        else if (!this.held.has(slot)) own += sizeOf(shape) * 4
      }
    }
    return this.buffer.shortage([...wanted], own)
  }

  /** Returns the tensor of a slot: a region of the buffer, the tensor already held, or new zeros. */
  #place(slot: string, shape: ReadonlyArray<number>): HostTensor {
    const moment = this.#momentOf(slot, shape)
    if (moment !== undefined) return hostFloat32(this.buffer.view(...moment), ...shape)
    const known = this.held.get(slot)
    return known !== undefined && formatShape(known.shape) === formatShape(shape)
      ? known
      : hostFloat32(new Float32Array(new SharedArrayBuffer(sizeOf(shape) * 4)), ...shape)
  }

  /**
   * Makes `optimizer` the current one and initialises its missing slots. Returns an error when the slots do not fit
   * into memory, or when slots are missing from a restored state.
   */
  adopt(optimizer: Optimizer.Optimizer, specs: SlotSpecs): TensorError | undefined {
    if (this.optimizer === optimizer) return undefined
    const { buffer, held } = this
    const averages = averagesOf(specs)
    const isAverage = (slot: string, { averageOf }: Optimizer.SlotSpec) =>
      averageOf !== undefined && averages.get(averageOf) === slot
    const isThere = (slot: string, spec: Optimizer.SlotSpec) =>
      isAverage(slot, spec)
        ? this.averages.has(spec.averageOf!)
        : held.has(slot) && formatShape(held.get(slot)!.shape) === formatShape(spec.shape)
    const missing = Object.entries(specs).flatMap(([slot, spec]) => isThere(slot, spec) ? [] : [slot])
    if (this.#isRestored && this.version > 0 && missing.length > 0) {
      const found = [...held.keys(), ...this.averages.values()]
      return new TensorError({ reason: new OtherOptimizer({ version: this.version, missing, found }) })
    }
    const short = this.shortage(specs)
    if (short !== undefined) return short
    const next = new Map(held)
    const fresh = new Set(missing)
    for (const [slot, spec] of Object.entries(specs)) {
      const { shape, start } = spec
      const isNew = fresh.has(slot)
      let data: HostTensor["data"]
      if (isAverage(slot, spec)) data = buffer.view("average", spec.averageOf!)
      else {
        const tensor = isNew ? this.#place(slot, shape) : held.get(slot)!
        next.set(slot, tensor)
        data = tensor.data
      }
      if (!isNew) continue
      if (typeof start === "number") data.fill(start)
      else data.set(buffer.view("weights", start.weight))
    }
    this.held = next
    this.averages = averages
    this.optimizer = optimizer
    this.#isRestored = false
    return undefined
  }

  /** Returns the tensors of the current optimizer by slot. */
  tensors(specs: SlotSpecs): Record<string, HostTensor> {
    return Object.fromEntries(
      Object.entries(specs).map(([slot, { averageOf, shape }]) => [
        slot,
        this.held.get(slot) ?? hostFloat32(this.buffer.view("average", averageOf!), ...shape)
      ])
    )
  }

  /** Tensors for evaluation: the moving average of each parameter that has one, else its weights. */
  get evaluation(): Readonly<Record<string, HostTensor>> {
    const { averages, buffer } = this
    const weights = buffer.tensors("weights")
    if (averages.size === 0) return weights
    const average = buffer.tensors("average")
    if (buffer.slots.every(({ name, trainable }) => !trainable || averages.has(name))) return average
    return Object.fromEntries(
      buffer.slots.map(({ name }) => [name, averages.has(name) ? average[name]! : weights[name]!])
    )
  }

  /** Returns the state as views of its memory, which the next step changes. */
  get state(): StoreState {
    const { averages, buffer } = this
    const average = averages.size === 0 ? {} : buffer.tensors("average")
    const view = (name: string, { data, shape }: HostTensor) =>
      [name, { dtype: "F32" as const, shape, data: data as Float32Array }] as const
    return {
      version: this.version,
      weights: ParameterBuffer.saved(buffer, "weights"),
      average: new Map([...averages.keys()].map((name) => view(name, average[name]!))),
      slots: new Map([...this.held].map(([slot, tensor]) => view(slot, tensor)))
    }
  }

  /** Copies the state, or returns an error when the copy does not fit into memory. */
  save(): StoreState | TensorError {
    const { averages, buffer } = this
    const weights = 4 * buffer.length
    const bytes = [...this.held.values()].reduce((sum, { data }) => sum + data.byteLength, weights)
    const short = buffer.shortage([], bytes + (averages.size === 0 ? 0 : 4 * buffer.trainable))
    if (short !== undefined) return short
    const { average, slots, version } = this.state
    const copies = (tensors: SavedTensors): SavedTensors =>
      new Map([...tensors].map(([name, { data, dtype, shape }]) => [name, { dtype, shape, data: data.slice() }]))
    return {
      version,
      weights: ParameterBuffer.snapshot(buffer, "weights"),
      average: copies(average),
      slots: copies(slots)
    }
  }

  /**
   * Restores a state, or returns an error, and changes nothing, when it does not match the parameters or the memory.
   */
  restore({ average, slots, version, weights }: StoreState): TensorError | undefined {
    const { buffer } = this
    const averaged = buffer.slots.filter(({ name, trainable }) => trainable && average.has(name))
    const error = ParameterBuffer.mismatch(buffer.slots, weights) ?? ParameterBuffer.mismatch(averaged, average)
    if (error !== undefined) return error
    const specs = Object.fromEntries([...slots].map(([slot, { shape }]) => [slot, { shape, start: 0 }]))
    const short = this.shortage(specs, ...(averaged.length > 0 ? ["average" as const] : []))
    if (short !== undefined) return short
    ParameterBuffer.write(buffer, "weights", weights)
    for (const { name } of averaged) buffer.view("average", name).set(average.get(name)!.data)
    this.held = new Map([...slots].map(([slot, { data, shape }]) => {
      const tensor = this.#place(slot, shape)
      tensor.data.set(data)
      return [slot, tensor]
    }))
    this.averages = new Map(averaged.map(({ name }) => [name, `average.${name}`]))
    this.optimizer = undefined
    this.version = version
    this.#isRestored = true
    return undefined
  }
}
