/**
 * The weights of a model while it is trained: where they lie, how their gradients are taken, how a step changes them.
 *
 * On a runtime over host memory everything lies in the flat `ParameterBuffer`, programs read and write it in place, and
 * AdamW is one pass of a kernel. On a resident runtime weights, gradients and slots stay on the device, the optimizer is
 * a traced program, and the buffer is a copy that `pull` renews (for a checkpoint) and `push` sends (after one was
 * loaded).
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as ParameterBuffer from "../tensor/ParameterBuffer.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import { hostFloat32, type HostTensor, type TensorProgram } from "../tensor/TensorProgram.ts"
import { type Executable, type Feed, type TensorHandle, TensorRuntime } from "../tensor/TensorRuntime.ts"
import * as AdamW from "./AdamW.ts"
import type * as Optimizer from "./Optimizer.ts"
import * as OptimizerProgram from "./OptimizerProgram.ts"

/** Weights by name, as programs are fed with them. */
export type Feeds = Readonly<Record<string, Feed>>

/** Part of a batch: what the program is fed beside the weights, and its share in the gradient. */
export interface MicroBatch {
  readonly feeds: Feeds
  /** @default 1 */
  readonly share?: number | undefined
}

/** The parameters of one model in training. */
export interface ParameterStore {
  /** The host's copy; the parameters themselves unless the runtime is resident. */
  readonly buffer: ParameterBuffer.ParameterBuffer
  /** The current weights. */
  readonly weights: Effect.Effect<Feeds>
  /**
   * The weights of a region as they are now, in the caller's Scope; a frozen copy stays what it is when training goes
   * on.
   */
  feeds(
    region: "weights" | "average",
    options?: { readonly frozen?: boolean }
  ): Effect.Effect<Feeds, TensorError, Scope.Scope>
  /**
   * Runs a program that returns a gradient for every parameter, under its name, and other outputs; keeps the sum of the
   * gradients by share and gives the other outputs of every run.
   */
  differentiate(
    executable: Executable<string, string>,
    batches: ReadonlyArray<MicroBatch>
  ): Effect.Effect<ReadonlyArray<Readonly<Record<string, TensorHandle>>>, TensorError, Scope.Scope>
  /** Applies step number `step` (from 1); the weights are untouched when the gradient is not finite. */
  apply(
    optimizer: Optimizer.Optimizer,
    step: number,
    learningRate: number
  ): Effect.Effect<AdamW.StepReport, TensorError>
  /** Renews the host's copy. */
  readonly pull: Effect.Effect<void, TensorError>
  /** Takes the host's copy for the parameters. */
  readonly push: Effect.Effect<void, TensorError>
}

const regions = ["first", "second", "average"] as const

/** The region of the buffer that a slot has its place in. */
const regionOf = (
  buffer: ParameterBuffer.ParameterBuffer,
  slot: string
): readonly [ParameterBuffer.Region, string] | undefined => {
  for (const region of regions) {
    const parameter = slot.slice(region.length + 1)
    if (slot.startsWith(`${region}.`) && buffer.slots.some(({ name }) => name === parameter)) return [region, parameter]
  }
  return undefined
}

const parametersOf = (buffer: ParameterBuffer.ParameterBuffer): ReadonlyArray<Optimizer.Parameter> =>
  buffer.slots.map(({ name, offset, shape }) => ({ name, shape, decay: offset < buffer.decaying }))

const notFinite = (step: number, value: number, tensor = "gradient of all parameters") =>
  new TensorError({ reason: new NonFinite({ tensor, step, value: String(value) }) })

/** One batch that is all of the gradient needs no sum. */
const isWhole = (batches: ReadonlyArray<MicroBatch>) => batches.length === 1 && (batches[0]!.share ?? 1) === 1

/** Parameters made from their specs, on the runtime of the context. */
export const make: (
  specs: ParameterBuffer.ParameterSpecs
) => Effect.Effect<ParameterStore, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("ParameterStore.make")(
  function*(specs) {
    const runtime = yield* TensorRuntime
    const scope = yield* Effect.scope
    const buffer = ParameterBuffer.make(specs)
    const parameters = parametersOf(buffer)
    const names = parameters.map(({ name }) => name)
    const slots = new Map<string, HostTensor>()
    const programs = new Map<Optimizer.Optimizer | string, Executable<string, string>>()

    const compiled = Effect.fnUntraced(function*(key: Optimizer.Optimizer | string, program: () => TensorProgram) {
      const known = programs.get(key)
      if (known !== undefined) return known
      const executable = yield* runtime.compile(program()).pipe(Scope.provide(scope))
      programs.set(key, executable)
      return executable
    })

    /** The slot's values on the host: in the buffer, or beside it, begun when they are not there. */
    const slotOf = (slot: string, { shape, start }: Optimizer.SlotSpec): HostTensor => {
      const region = regionOf(buffer, slot)
      if (region !== undefined) return hostFloat32(buffer.view(...region), ...shape)
      const known = slots.get(slot)
      if (known !== undefined) return known
      const data = typeof start === "number"
        ? new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(start)
        : buffer.view("weights", start.weight).slice()
      const made = hostFloat32(data, ...shape)
      slots.set(slot, made)
      return made
    }

    const scalarFeeds = (transform: Optimizer.Transform, step: number, rate: number): Feeds =>
      Object.fromEntries(
        Object.entries(transform.scalars(step, rate)).map(([name, value]) => [
          OptimizerProgram.scalarName(name),
          hostFloat32(Float32Array.of(value))
        ])
      )

    const rename = (feeds: Feeds, key: (name: string) => string): Feeds =>
      Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [key(name), feed]))

    const pick = (all: Feeds): Feeds => Object.fromEntries(names.map((name) => [name, all[name]!]))

    const onHost = (): ParameterStore => {
      let total = new Float32Array(0)
      return {
        buffer,
        weights: Effect.sync(() => buffer.tensors("weights")),
        feeds: (region, options) =>
          Effect.sync(() =>
            options?.frozen === true
              ? Object.fromEntries(
                buffer.slots.map(({ name, shape }) => [name, hostFloat32(buffer.view(region, name).slice(), ...shape)])
              )
              : buffer.tensors(region)
          ),
        differentiate: Effect.fn("ParameterStore.differentiate")(function*(executable, batches) {
          const run = (feeds: Feeds) =>
            executable.run({ ...buffer.tensors("weights"), ...feeds }, buffer.views("gradients"))
          if (isWhole(batches)) return [yield* run(batches[0]!.feeds)]
          const gradients = buffer.flat("gradients")
          if (total.length < buffer.length) total = new Float32Array(buffer.length)
          total.fill(0)
          const outputs: Array<Readonly<Record<string, TensorHandle>>> = []
          for (const { feeds, share = 1 } of batches) {
            outputs.push(yield* run(feeds))
            for (let i = 0; i < buffer.length; i++) total[i]! += share * gradients[i]!
          }
          gradients.set(total)
          return outputs
        }),
        apply: Effect.fn("ParameterStore.apply")(function*(optimizer, step, learningRate) {
          if (optimizer.fused !== undefined) {
            const report = AdamW.apply(buffer, optimizer.fused, step, learningRate)
            return report instanceof TensorError ? yield* report : report
          }
          const { transform } = optimizer
          const specs = transform.init(parameters)
          const executable = yield* compiled(optimizer, () => OptimizerProgram.make(transform, parameters))
          const held = Object.fromEntries(
            Object.entries(specs).map(([slot, spec]) => [OptimizerProgram.slotName(slot), slotOf(slot, spec)])
          )
          const outputs = yield* executable.run({
            ...rename(buffer.tensors("weights"), OptimizerProgram.weightName),
            ...rename(buffer.tensors("gradients"), OptimizerProgram.gradientName),
            ...held,
            ...scalarFeeds(transform, step, learningRate)
          })
          const gradientNorm = (yield* outputs[OptimizerProgram.normName]!.read).data[0]!
          if (!Number.isFinite(gradientNorm)) return yield* notFinite(step, gradientNorm)
          for (const name of names) {
            const next = yield* outputs[OptimizerProgram.weightName(name)]!.read
            buffer.view("weights", name).set(next.data)
          }
          for (const [name, { data }] of Object.entries(held)) data.set((yield* outputs[name]!.read).data)
          return { gradientNorm }
        }, Effect.scoped),
        pull: Effect.void,
        push: Effect.void
      }
    }

    /** Handles of one generation of a set of tensors, released when the next one replaces them. */
    const generation = () => {
      let open: Scope.Closeable | undefined
      return Effect.fnUntraced(function*<A, E>(make: Effect.Effect<A, E, Scope.Scope>) {
        const next = yield* Scope.make()
        const made = yield* make.pipe(
          Scope.provide(next),
          Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(next, exit))
        )
        if (open !== undefined) yield* Scope.close(open, Exit.void)
        open = next
        return made
      })
    }

    const onDevice = Effect.gen(function*() {
      const renewState = generation()
      const renewGradients = generation()
      yield* Effect.addFinalizer(() =>
        Effect.gen(function*() {
          yield* renewState(Effect.void)
          yield* renewGradients(Effect.void)
        })
      )
      let weights: Readonly<Record<string, TensorHandle>> = {}
      let state: Readonly<Record<string, TensorHandle>> = {}
      let gradients: Readonly<Record<string, TensorHandle>> = {}
      let stateOf: Optimizer.Optimizer | undefined

      const place = Effect.suspend(() => runtime.place(buffer.tensors("weights")))
      const start = Effect.gen(function*() {
        weights = yield* renewState(place)
        state = {}
        stateOf = undefined
      })
      yield* start

      const pull = Effect.gen(function*() {
        for (const name of names) buffer.view("weights", name).set((yield* weights[name]!.read).data)
        for (const [slot, handle] of Object.entries(state)) {
          const host = slotOf(slot, { shape: handle.shape, start: 0 })
          host.data.set((yield* handle.read).data)
        }
      })

      /** Slots of an optimizer on the device; the first step with it brings them from the host. */
      const hold = Effect.fnUntraced(function*(optimizer: Optimizer.Optimizer) {
        if (stateOf === optimizer) return
        yield* pull
        const specs = optimizer.transform.init(parameters)
        const next = yield* renewState(Effect.gen(function*() {
          return {
            weights: yield* place,
            slots: yield* runtime.place(
              Object.fromEntries(Object.entries(specs).map(([slot, spec]) => [slot, slotOf(slot, spec)]))
            )
          }
        }))
        weights = next.weights
        state = next.slots
        stateOf = optimizer
      })

      const sum: Effect.Effect<Executable<string, string>, TensorError> = compiled("sum", () => ({
        name: "optimizer.sum",
        inputs: Object.fromEntries([
          ["share", { dtype: "float32", shape: [] }],
          ...parameters.flatMap(({ name, shape }) => [
            [`total/${name}`, { dtype: "float32", shape }],
            [`gradient/${name}`, { dtype: "float32", shape }]
          ])
        ]),
        body: (inputs) =>
          Object.fromEntries(
            names.map((name) => [
              name,
              inputs[`total/${name}`]!.add(inputs[`gradient/${name}`]!.mul(inputs["share"]!))
            ])
          )
      }))

      const store: ParameterStore = {
        buffer,
        weights: Effect.sync(() => weights),
        feeds: Effect.fnUntraced(function*(region, options) {
          const average = Object.fromEntries(
            Object.entries(state).flatMap(([slot, handle]) =>
              slot.startsWith("average.") ? [[slot.slice("average.".length), handle] as const] : []
            )
          )
          const live = region === "weights" ? weights : average
          if (options?.frozen !== true && names.every((name) => name in live)) return live
          if (options?.frozen === true) yield* pull
          return yield* runtime.place(buffer.tensors(region))
        }),
        differentiate: Effect.fn("ParameterStore.differentiate")(function*(executable, batches) {
          if (isWhole(batches)) {
            gradients = yield* renewGradients(executable.run({ ...weights, ...batches[0]!.feeds }))
            return [gradients]
          }
          gradients = yield* renewGradients(runtime.place(
            Object.fromEntries(
              buffer.slots.map(({ name, shape, size }) => [name, hostFloat32(new Float32Array(size), ...shape)])
            )
          ))
          const add = yield* sum
          const outputs: Array<Readonly<Record<string, TensorHandle>>> = []
          for (const { feeds, share = 1 } of batches) {
            const result = yield* executable.run({ ...weights, ...feeds })
            gradients = yield* renewGradients(add.run({
              share: hostFloat32(Float32Array.of(share)),
              ...rename(gradients, (name) => `total/${name}`),
              ...Object.fromEntries(names.map((name) => [`gradient/${name}`, result[name]!]))
            }))
            outputs.push(result)
          }
          return outputs
        }),
        apply: Effect.fn("ParameterStore.apply")(function*(optimizer, step, learningRate) {
          yield* hold(optimizer)
          const { transform } = optimizer
          const executable = yield* compiled(optimizer, () => OptimizerProgram.make(transform, parameters))
          const next = yield* renewState(Effect.gen(function*() {
            const outputs = yield* executable.run({
              ...rename(weights, OptimizerProgram.weightName),
              ...rename(pick(gradients), OptimizerProgram.gradientName),
              ...rename(state, OptimizerProgram.slotName),
              ...scalarFeeds(transform, step, learningRate)
            })
            const gradientNorm = (yield* outputs[OptimizerProgram.normName]!.read).data[0]!
            if (!Number.isFinite(gradientNorm)) return yield* notFinite(step, gradientNorm)
            return { outputs, gradientNorm }
          }))
          weights = Object.fromEntries(names.map((name) => [name, next.outputs[OptimizerProgram.weightName(name)]!]))
          state = Object.fromEntries(
            Object.keys(state).map((slot) => [slot, next.outputs[OptimizerProgram.slotName(slot)]!])
          )
          return { gradientNorm: next.gradientNorm }
        }),
        pull,
        push: start
      }
      return store
    })

    return runtime.resident ? yield* onDevice.pipe(Scope.provide(scope)) : onHost()
  }
)
