/**
 * What training keeps in a checkpoint: weights, their moving average, both moments of the optimizer, and the counters.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AdamWConfig } from "../optimizer/AdamW.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { type PolicyWeights } from "../policy/PolicyModel.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { type RunError } from "../run/RunError.ts"
import * as Random from "../statistics/Random.ts"
import { type StoredTensor } from "../storage/Safetensors.ts"
import * as ParameterBuffer from "../tensor/ParameterBuffer.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** Counters of a training loop. */
export interface Counters {
  readonly step: number
  readonly epoch: number
  /** Best validation score so far, -1 before the first. */
  readonly best: number
  readonly bestEpoch: number
  readonly sinceBest: number
  /** The score that the phase began with, -1 when it was not taken. */
  readonly start: number
  /** The epochs or steps that were asked for, 0 before the first checkpoint. */
  readonly asked: number
  /** The step of the checkpoint of another phase that this one began from, -1 for none. */
  readonly origin: number
}

const beginning: Counters = {
  step: 0,
  epoch: 0,
  best: -1,
  bestEpoch: 0,
  sinceBest: 0,
  start: -1,
  asked: 0,
  origin: -1
}

const saved: ReadonlyArray<ParameterBuffer.Region> = ["weights", "average", "first", "second"]

/** A fixed sample of at most `count` elements, drawn from the seed. */
export const sample = <A>(all: ReadonlyArray<A>, count: number, seed: number): ReadonlyArray<A> =>
  all.length <= count
    ? all
    : Array.from(Random.permutation(all.length, seed, 0x7a11).subarray(0, count), (i) => all[i]!)

/** The weights that are evaluated: the moving average when the optimizer keeps one. */
export const evaluationWeights = (
  parameters: ParameterStore,
  optimizer: AdamWConfig
): Effect.Effect<PolicyWeights, TensorError, Scope.Scope> =>
  parameters.feeds(optimizer.averaging > 0 ? "average" : "weights")

/** Writes a checkpoint. */
export const save: (
  parameters: ParameterStore,
  kind: string,
  counters: Counters,
  isBest: boolean
) => Effect.Effect<void, RunError | TensorError, Checkpointer> = Effect.fn("TrainingState.save")(
  function*(parameters, kind, counters, isBest) {
    const checkpointer = yield* Checkpointer
    yield* parameters.pull
    const tensors = new Map(
      saved.flatMap((region) =>
        [...ParameterBuffer.snapshot(parameters.buffer, region)].map(([name, tensor]) =>
          [`${region}/${name}`, tensor] as const
        )
      )
    )
    yield* checkpointer.save({ kind, step: counters.step, tensors, meta: { ...counters }, best: isBest })
  }
)

type Tensors = ReadonlyMap<string, StoredTensor>

/** Puts the tensors of a checkpoint into the store. */
export const restore = (
  parameters: ParameterStore,
  tensors: Tensors,
  regions: ReadonlyArray<ParameterBuffer.Region> = saved
): Effect.Effect<void, TensorError> =>
  Effect.suspend(() => {
    for (const region of regions) {
      const values = new Map(
        [...tensors].flatMap(([name, tensor]) =>
          name.startsWith(`${region}/`)
            ? [[name.slice(region.length + 1), { shape: tensor.shape, data: tensor.data as Float32Array }] as const]
            : []
        )
      )
      const error = ParameterBuffer.load(parameters.buffer, region, values)
      if (error !== undefined) return Effect.fail(error)
    }
    return parameters.push
  })

/**
 * Whether what a checkpoint says it began from is another than `origin`: what it continues is not the best any more.
 * Checkpoints that do not say are taken to be of the origin.
 */
export const isStale = (meta: Readonly<Record<string, unknown>>, origin: number | undefined): boolean =>
  typeof meta["origin"] === "number" && origin !== undefined && meta["origin"] !== origin

/**
 * Restores the latest checkpoint of a kind and returns its counters; the initial ones if there is none, or if it began
 * from another checkpoint than `origin`.
 */
export const resume: (
  parameters: ParameterStore,
  kind: string,
  origin?: number | undefined
) => Effect.Effect<Counters, RunError | TensorError, Checkpointer> = Effect.fn("TrainingState.resume")(
  function*(parameters, kind, origin) {
    const checkpointer = yield* Checkpointer
    const latest = yield* checkpointer.latest(kind)
    const first = { ...beginning, origin: origin ?? beginning.origin }
    if (latest === undefined || isStale(latest.meta, origin)) return first
    yield* restore(parameters, latest.tensors)
    return { ...first, ...(latest.meta as Partial<Counters>) }
  }
)

/** Loads weights and average of the best checkpoint of a kind, when there is one. */
export const loadBest: (
  parameters: ParameterStore,
  checkpointer: Checkpointer["Service"],
  kind: string
) => Effect.Effect<boolean, RunError | TensorError> = Effect.fn("TrainingState.loadBest")(
  function*(parameters, checkpointer, kind) {
    const best = yield* checkpointer.best(kind)
    if (best === undefined) return false
    yield* restore(parameters, best.tensors, ["weights", "average"])
    return true
  }
)
