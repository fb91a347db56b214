/**
 * Trainer of any loss over named parameters: combines the gradient program, the parameter store and an optimizer.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Optimizer from "../optimizer/Optimizer.ts"
import * as ParameterStore from "../optimizer/ParameterStore.ts"
import * as Autodiff from "../tensor/Autodiff.ts"
import { type ParameterSpecs } from "../tensor/ParameterBuffer.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import * as TensorProgram from "../tensor/TensorProgram.ts"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"

/** Options of a trainer. */
export interface TrainerOptions<P extends string, I extends string> {
  readonly name: string
  readonly parameters: Readonly<Record<P, ParameterSpecs[string]>>
  /** Specifications of the inputs of a batch. */
  readonly inputs: Readonly<Record<I, TensorProgram.TensorSpec>>
  /** Computes the scalar loss with plain tensor operations. */
  readonly loss: (
    parameters: Readonly<Record<P, tf.Tensor>>,
    inputs: Readonly<Record<I, tf.Tensor>>
  ) => tf.Tensor
  readonly optimizer: Optimizer.Optimizer
}

/** Report of one step. */
export interface TrainerReport {
  /** Number of the step, from 1. */
  readonly step: number
  readonly loss: number
  /** Euclidean norm of the gradient, before clipping. */
  readonly gradientNorm: number
}

/** A model in training. */
export interface Trainer<I extends string> {
  readonly store: ParameterStore.ParameterStore
  /**
   * Takes one optimizer step on one batch, or on micro-batches whose losses and gradients are averaged. With
   * micro-batches of equal size and a loss that is a mean, the step equals that of the concatenated batch.
   */
  step(
    batch: Readonly<Record<I, TensorProgram.HostTensor>> | ReadonlyArray<Readonly<Record<I, TensorProgram.HostTensor>>>,
    learningRate: number
  ): Effect.Effect<TrainerReport, TensorError>
}

/** Name of the loss among the outputs; no parameter may have it. */
const lossName = "(loss)"

/**
 * Makes a trainer: compiles the loss with its gradients and initialises the parameters.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
 * import * as Optimizer from "sidereal/optimizer/Optimizer"
 * import * as Sgd from "sidereal/optimizer/Sgd"
 * import { float32, hostFloat32 } from "sidereal/tensor/TensorProgram"
 * import * as Trainer from "sidereal/training/Trainer"
 *
 * const program = Effect.gen(function*() {
 *   const trainer = yield* Trainer.make({
 *     name: "slope",
 *     parameters: { slope: { shape: [], initialize: (values) => values.fill(0) } },
 *     inputs: { x: float32("B"), y: float32("B") },
 *     loss: ({ slope }, { x, y }) => x.mul(slope).sub(y).square().mean(),
 *     optimizer: Optimizer.of(Sgd.sgd())
 *   })
 *   const batch = { x: hostFloat32(Float32Array.of(1, 2), 2), y: hostFloat32(Float32Array.of(3, 6), 2) }
 *   for (let step = 0; step < 40; step++) yield* trainer.step(batch, 0.1)
 *   return trainer.store.buffer.view("weights", "slope")[0]!
 * })
 * const slope = await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu())))
 * assert.ok(Math.abs(slope - 3) < 1e-3)
 * ```
 */
export const make: <P extends string, I extends string>(
  options: TrainerOptions<P, I>
) => Effect.Effect<Trainer<I>, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("Trainer.make")(
  function*<P extends string, I extends string>(options: TrainerOptions<P, I>) {
    const { inputs, loss, name, optimizer, parameters } = options
    const runtime = yield* TensorRuntime
    const store = yield* ParameterStore.make(parameters, { optimizer })
    const names = Object.keys(parameters) as Array<P>
    const trainable = names.filter((key) => parameters[key].trainable ?? true)
    const executable = yield* runtime.compile(TensorProgram.make({
      name,
      inputs: {
        ...Object.fromEntries(names.map((key) => [key, TensorProgram.float32(...parameters[key].shape)])),
        ...inputs
      },
      body: (all: Readonly<Record<string, tf.Tensor>>) => {
        const pick = <K extends string>(keys: ReadonlyArray<K>) =>
          Object.fromEntries(keys.map((key) => [key, all[key]!])) as Record<K, tf.Tensor>
        const { gradients, value } = Autodiff.valueAndGradients(
          (weights) => loss({ ...pick(names), ...weights }, pick(Object.keys(inputs) as Array<I>)),
          pick(trainable)
        )
        return { [lossName]: value, ...gradients }
      }
    }))
    const trainer: Trainer<I> = {
      store,
      step: Effect.fn("Trainer.step")(function*(batch, learningRate) {
        const batches = Array.isArray(batch) ? batch : [batch as Readonly<Record<I, TensorProgram.HostTensor>>]
        const outputs = yield* store.differentiate(
          executable,
          batches.map((feeds) => ({ feeds, share: 1 / batches.length }))
        )
        let mean = 0
        for (const output of outputs) mean += (yield* output[lossName]!.read).data[0]! / batches.length
        if (!Number.isFinite(mean)) {
          const step = yield* store.version
          return yield* new TensorError({ reason: new NonFinite({ tensor: "loss", step, value: String(mean) }) })
        }
        const { gradientNorm } = yield* store.apply(optimizer, learningRate)
        return { step: yield* store.version, loss: mean, gradientNorm }
      }, Effect.scoped)
    }
    return trainer
  }
)
