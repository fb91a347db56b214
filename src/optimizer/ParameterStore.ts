/**
 * Store of a model's parameters in training: it holds weights, gradients and slots, and applies optimizer steps.
 *
 * On a runtime over host memory all data is in the flat `ParameterBuffer`, programs read and write it in place, and
 * AdamW is one pass of a kernel. On a resident runtime weights, gradients and slots stay on the device, the optimizer
 * is a traced program, and the buffer is a host copy that `pull` updates from the device and `push` sends to it.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as ScopedRef from "effect/ScopedRef"
import * as HostMemory from "../tensor/HostMemory.ts"
import * as ParameterBuffer from "../tensor/ParameterBuffer.ts"
import * as ProgramCache from "../tensor/ProgramCache.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import { hostFloat32, type HostTensor, type TensorProgram } from "../tensor/TensorProgram.ts"
import { type Executable, type Feed, type TensorHandle, TensorRuntime } from "../tensor/TensorRuntime.ts"
import * as AdamW from "./AdamW.ts"
import type * as Optimizer from "./Optimizer.ts"
import * as OptimizerProgram from "./OptimizerProgram.ts"
import { OptimizerSlots, type SlotSpecs, type StoreState } from "./OptimizerSlots.ts"

/** Counter of the optimizer steps applied to weights. */
export const steps: Metric.Counter<number> = Metric.counter("sidereal.optimizer.steps", {
  description: "Optimizer steps applied to weights",
  incremental: true
})

const counted = Effect.tap(Metric.update(steps, 1))

/** Feeds of a program by input name. */
export type Feeds = Readonly<Record<string, Feed>>

/** Weights of one version. */
export interface Weights {
  /** Number of steps applied to them. */
  readonly version: number
  readonly feeds: Feeds
}

/** Part of a batch: the feeds of the program besides the weights, and the part's share in the gradient. */
export interface MicroBatch {
  /** Feeds, or the effect that computes them when the program is run with them. */
  readonly feeds: Feeds | Effect.Effect<Feeds, TensorError>
  /** Factor of the part's gradient in the sum. @default 1 */
  readonly share?: number | undefined
}

/** Parameters of one model in training. */
export interface ParameterStore {
  /** Parameters on the host: the parameters themselves, or a copy of them where the runtime is resident. */
  readonly buffer: ParameterBuffer.ParameterBuffer
  /** Number of steps applied. */
  readonly version: Effect.Effect<number>
  /** Current weights, valid until the next step. */
  readonly weights: Effect.Effect<Weights>
  /**
   * Weights for evaluation, valid until the next step: the average of each parameter that has one, else its weights.
   */
  readonly evaluation: Effect.Effect<Weights, TensorError, Scope.Scope>
  /**
   * Copies the weights, or with "average" those of `evaluation`, into shared memory. The copy does not change until the
   * Scope closes, and worker threads can read it without another copy; later copies use its memory again.
   */
  snapshot(region: "weights" | "average"): Effect.Effect<Weights, TensorError, Scope.Scope>
  /**
   * Runs a program, whose outputs include a gradient for every trainable parameter under its name, on every batch.
   * Stores the sum of share x gradient and returns the outputs of every run.
   */
  differentiate(
    executable: Executable<string, string>,
    batches: ReadonlyArray<MicroBatch>
  ): Effect.Effect<ReadonlyArray<Readonly<Record<string, TensorHandle>>>, TensorError, Scope.Scope>
  /**
   * Applies the next step; weights and version are unchanged when the gradient is not finite. After `restore`, all
   * slots of the optimizer must be in the restored state.
   */
  apply(optimizer: Optimizer.Optimizer, learningRate: number): Effect.Effect<AdamW.StepReport, TensorError>
  /** Copies the state that the next step depends on. */
  readonly save: Effect.Effect<StoreState, TensorError>
  /** The state that the next step depends on, as views of the host's memory: the next step, or `restore`, changes them. */
  readonly state: Effect.Effect<StoreState, TensorError>
  /** Restores a state; fails and changes nothing when it does not match the parameters. */
  restore(state: StoreState): Effect.Effect<void, TensorError>
  /** Updates the host's copy from the device; does nothing on host memory. */
  readonly pull: Effect.Effect<void, TensorError>
  /** Sends the host's copy to the device; does nothing on host memory. */
  readonly push: Effect.Effect<void, TensorError>
}

/** Options of a store. */
export interface StoreOptions {
  /** Optimizer to be applied: if its training memory is not available, `make` fails before allocating. @default none */
  readonly optimizer?: Optimizer.Optimizer | undefined
}

const parametersOf = (buffer: ParameterBuffer.ParameterBuffer): ReadonlyArray<Optimizer.Parameter> =>
  buffer.slots.filter(({ trainable }) => trainable)
    .map(({ name, offset, shape }) => ({ name, shape, decay: offset < buffer.decaying }))

const notFinite = (step: number, value: number, tensor = "gradient of all parameters") =>
  new TensorError({ reason: new NonFinite({ tensor, step, value: String(value) }) })

const computed = ({ feeds }: MicroBatch): Effect.Effect<Feeds, TensorError> =>
  Effect.isEffect(feeds) ? feeds : Effect.succeed(feeds as Feeds)

/** Returns whether one batch with share 1 is the whole gradient, so that no sum is needed. */
const isWhole = (batches: ReadonlyArray<MicroBatch>) => batches.length === 1 && (batches[0]!.share ?? 1) === 1

/** Fails with the error, if there is one. */
const orFail = (error: TensorError | undefined): Effect.Effect<void, TensorError> =>
  error === undefined ? Effect.void : Effect.fail(error)

const scalarFeeds = (transform: Optimizer.Transform, step: number, rate: number): Feeds =>
  Object.fromEntries(
    Object.entries(transform.scalars(step, rate)).map(([name, value]) => [
      OptimizerProgram.scalarName(name),
      hostFloat32(Float32Array.of(value))
    ])
  )

type Handles = Readonly<Record<string, TensorHandle>>

/** Weights on a device before an optimizer has slots there. */
const unslotted = (weights: Handles): { readonly weights: Handles; readonly state: Handles } => ({ weights, state: {} })

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

const rename = (feeds: Feeds, key: (name: string) => string): Feeds =>
  Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [key(name), feed]))

/** Makes a store with the initial values of the specs, on the runtime of the context. */
export const make: (
  specs: ParameterBuffer.ParameterSpecs,
  options?: StoreOptions
) => Effect.Effect<ParameterStore, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("ParameterStore.make")(
  function*(specs, options = {}) {
    const runtime = yield* TensorRuntime
    const scope = yield* Effect.scope
    const buffer = ParameterBuffer.make(specs, yield* HostMemory.Available)
    const parameters = parametersOf(buffer)
    const names = parameters.map(({ name }) => name)
    const slots = new OptimizerSlots(buffer)
    yield* orFail(
      options.optimizer === undefined
        ? buffer.shortage(["weights"])
        : slots.shortage(options.optimizer.transform.init(parameters), "weights", "gradients")
    )
    buffer.flat("weights")

    const sum: TensorProgram = {
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
          names.map((name) => [name, inputs[`total/${name}`]!.add(inputs[`gradient/${name}`]!.mul(inputs["share"]!))])
        )
    }
    const compiled = yield* ProgramCache.make(
      runtime,
      (key: Optimizer.Optimizer | "sum") => key === "sum" ? sum : OptimizerProgram.make(key.transform, parameters)
    )

    const versioned = (feeds: Feeds): Weights => ({ version: slots.version, feeds })
    const version = Effect.sync(() => slots.version)

    const [inHalves, inFloats] = [
      buffer.slots.filter(({ storage }) => storage === "bfloat16"),
      buffer.slots.filter(({ storage }) => storage === "float32")
    ]
    /** Blocks of released snapshots: filling one again takes a fifth of the time that a new one takes. */
    const idle: Array<Readonly<Record<string, HostTensor>>> = []
    const block = (): Readonly<Record<string, HostTensor>> => {
      const memory = new SharedArrayBuffer(buffer.length * 4)
      return Object.fromEntries(
        inFloats.map(({ name, offset, shape, size }) => [
          name,
          Object.freeze(hostFloat32(new Float32Array(memory, offset * 4, size), ...shape))
        ])
      )
    }
    /**
     * Copies tensors into one block of shared memory, which is used again after the Scope has closed. Those in bfloat16,
     * which no step changes, are not copied.
     */
    const copied = (tensors: Readonly<Record<string, HostTensor>>) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const own = idle.pop() ?? block()
          for (const { name } of inFloats) own[name]!.data.set(tensors[name]!.data)
          return own
        }),
        (own) => Effect.sync(() => void idle.push(own))
      ).pipe(Effect.map((own) =>
        Object.freeze({ ...own, ...Object.fromEntries(inHalves.map(({ name }) => [name, tensors[name]!])) })
      ))
    const room = Effect.suspend(() => idle.length > 0 ? Effect.void : orFail(buffer.shortage([], buffer.length * 4)))

    const saved = Effect.suspend(() => {
      const state = slots.save()
      return state instanceof TensorError ? Effect.fail(state) : Effect.succeed(state)
    })

    /** Returns the feeds of the trainable parameters. */
    const pick = (all: Feeds): Feeds => Object.fromEntries(names.map((name) => [name, all[name]!]))

    const onHost = (): ParameterStore => {
      let total = new Float32Array(0)
      let specs: SlotSpecs = {}
      return {
        buffer,
        version,
        weights: Effect.sync(() => versioned(buffer.tensors("weights"))),
        evaluation: Effect.sync(() => versioned(slots.evaluation)),
        snapshot: (region) =>
          Effect.andThen(
            room,
            Effect.suspend(() => copied(region === "weights" ? buffer.tensors("weights") : slots.evaluation)).pipe(
              Effect.map(versioned)
            )
          ),
        differentiate: Effect.fn("ParameterStore.differentiate")(function*(executable, batches) {
          const isOne = isWhole(batches)
          const missing = isOne || total.length >= buffer.trainable ? 0 : buffer.trainable
          yield* orFail(buffer.shortage(["gradients"], missing * 4))
          const run = (batch: MicroBatch) =>
            Effect.flatMap(
              computed(batch),
              (feeds) => executable.run({ ...buffer.tensors("weights"), ...feeds }, buffer.views("gradients"))
            )
          if (isOne) return [yield* run(batches[0]!)]
          const gradients = buffer.flat("gradients")
          if (missing > 0) total = new Float32Array(missing)
          total.fill(0)
          const outputs: Array<Readonly<Record<string, TensorHandle>>> = []
          for (const batch of batches) {
            const { share = 1 } = batch
            outputs.push(yield* run(batch))
            for (let i = 0; i < gradients.length; i++) total[i]! += share * gradients[i]!
          }
          gradients.set(total)
          return outputs
        }),
        apply: Effect.fn("ParameterStore.apply")(
          function*(optimizer, learningRate) {
            const { fused, transform } = optimizer
            const step = slots.version + 1
            if (slots.optimizer !== optimizer) {
              specs = transform.init(parameters)
              yield* orFail(slots.adopt(optimizer, specs))
            }
            if (fused !== undefined) {
              const report = AdamW.apply(buffer, fused, step, learningRate)
              if (report instanceof TensorError) return yield* report
              slots.version = step
              return report
            }
            const executable = yield* compiled(optimizer)
            const held = Object.fromEntries(
              Object.entries(slots.tensors(specs)).map(([slot, tensor]) => [OptimizerProgram.slotName(slot), tensor])
            )
            const outputs = yield* executable.run({
              ...rename(pick(buffer.tensors("weights")), OptimizerProgram.weightName),
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
            slots.version = step
            return { gradientNorm }
          },
          Effect.scoped,
          counted
        ),
        save: saved,
        state: Effect.sync(() => slots.state),
        restore: (state) => Effect.suspend(() => orFail(slots.restore(state))),
        pull: Effect.void,
        push: Effect.void
      }
    }

    const onDevice = Effect.gen(function*() {
      let specs: SlotSpecs = {}

      const frozen = buffer.slots.flatMap(({ name, trainable }) => trainable ? [] : [name])
      const place = (chosen: ReadonlyArray<string>) =>
        Effect.suspend(() => {
          const all = buffer.tensors("weights")
          return runtime.place(Object.fromEntries(chosen.map((name) => [name, all[name]!])))
        })
      // Handles live until the next ones of their kind are there, which may be computed from them.
      const fixed = yield* ScopedRef.fromAcquire(place(frozen))
      const trained = yield* ScopedRef.fromAcquire(Effect.map(place(names), unslotted))
      const gradients = yield* ScopedRef.make((): Handles => ({}))
      const start = Effect.gen(function*() {
        yield* ScopedRef.set(fixed, place(frozen))
        yield* ScopedRef.set(trained, Effect.map(place(names), unslotted))
        slots.optimizer = undefined
      })
      const weightsNow = () => ({ ...ScopedRef.getUnsafe(fixed), ...ScopedRef.getUnsafe(trained).weights })

      const pull = Effect.gen(function*() {
        const { state, weights } = ScopedRef.getUnsafe(trained)
        for (const name of names) buffer.view("weights", name).set((yield* weights[name]!.read).data)
        if (slots.optimizer === undefined) return
        for (const [slot, { data }] of Object.entries(slots.tensors(specs))) {
          data.set((yield* state[slot]!.read).data)
        }
      })

      /** Places the slots of an optimizer on the device before its first step. */
      const hold = Effect.fnUntraced(function*(optimizer: Optimizer.Optimizer) {
        if (slots.optimizer === optimizer) return
        yield* pull
        const wanted = optimizer.transform.init(parameters)
        yield* orFail(slots.adopt(optimizer, wanted))
        specs = wanted
        yield* ScopedRef.set(
          trained,
          Effect.gen(function*() {
            return { weights: yield* place(names), state: yield* runtime.place(slots.tensors(specs)) }
          })
        ).pipe(Effect.onError(() => Effect.sync(() => (slots.optimizer = undefined))))
      })

      const evaluation = Effect.suspend((): Effect.Effect<Feeds, TensorError, Scope.Scope> => {
        const { averages, optimizer } = slots
        const weights = weightsNow()
        const { state } = ScopedRef.getUnsafe(trained)
        if (averages.size === 0) return Effect.succeed(weights)
        if (optimizer === undefined) return runtime.place(slots.evaluation)
        return Effect.succeed(
          Object.fromEntries(
            Object.entries(weights).map(([name, own]) => {
              const average = averages.get(name)
              return [name, average === undefined ? own : state[average]!]
            })
          )
        )
      })

      const store: ParameterStore = {
        buffer,
        version,
        weights: Effect.sync(() => versioned(weightsNow())),
        evaluation: Effect.map(evaluation, versioned),
        snapshot: Effect.fnUntraced(function*(region) {
          yield* pull
          yield* room
          return versioned(
            yield* runtime.place(yield* copied(region === "weights" ? buffer.tensors("weights") : slots.evaluation))
          )
        }),
        differentiate: Effect.fn("ParameterStore.differentiate")(function*(executable, batches) {
          const weights = weightsNow()
          if (isWhole(batches)) {
            const feeds = yield* computed(batches[0]!)
            yield* ScopedRef.set(gradients, executable.run({ ...weights, ...feeds }))
            return [ScopedRef.getUnsafe(gradients)]
          }
          yield* ScopedRef.set(
            gradients,
            runtime.place(
              Object.fromEntries(
                parameters.map(({ name, shape }) => [name, hostFloat32(new Float32Array(sizeOf(shape)), ...shape)])
              )
            )
          )
          const add = yield* compiled("sum")
          const outputs: Array<Handles> = []
          for (const batch of batches) {
            const { share = 1 } = batch
            const result = yield* executable.run({ ...weights, ...(yield* computed(batch)) })
            yield* ScopedRef.set(
              gradients,
              add.run({
                share: hostFloat32(Float32Array.of(share)),
                ...rename(pick(ScopedRef.getUnsafe(gradients)), (name) => `total/${name}`),
                ...Object.fromEntries(names.map((name) => [`gradient/${name}`, result[name]!]))
              })
            )
            outputs.push(result)
          }
          return outputs
        }),
        apply: Effect.fn("ParameterStore.apply")(function*(optimizer, learningRate) {
          yield* hold(optimizer)
          const step = slots.version + 1
          const { transform } = optimizer
          const executable = yield* compiled(optimizer)
          let gradientNorm = NaN
          yield* ScopedRef.set(
            trained,
            Effect.gen(function*() {
              const { state, weights } = ScopedRef.getUnsafe(trained)
              const outputs = yield* executable.run({
                ...rename(weights, OptimizerProgram.weightName),
                ...rename(pick(ScopedRef.getUnsafe(gradients)), OptimizerProgram.gradientName),
                ...rename(state, OptimizerProgram.slotName),
                ...scalarFeeds(transform, step, learningRate)
              })
              gradientNorm = (yield* outputs[OptimizerProgram.normName]!.read).data[0]!
              if (!Number.isFinite(gradientNorm)) return yield* notFinite(step, gradientNorm)
              const next = (own: Handles, key: (name: string) => string): Handles =>
                Object.fromEntries(Object.keys(own).map((name) => [name, outputs[key(name)]!]))
              return {
                weights: next(weights, OptimizerProgram.weightName),
                state: next(state, OptimizerProgram.slotName)
              }
            })
          )
          slots.version = step
          return { gradientNorm }
        }, counted),
        save: Effect.andThen(pull, saved),
        state: Effect.andThen(pull, Effect.sync(() => slots.state)),
        restore: (state) => Effect.suspend(() => orFail(slots.restore(state))).pipe(Effect.andThen(start)),
        pull,
        push: start
      }
      return store
    })

    return runtime.resident ? yield* onDevice.pipe(Scope.provide(scope)) : onHost()
  }
)
