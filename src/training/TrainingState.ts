/**
 * State of training in a checkpoint: the state of the parameter store, and the counters of the loop.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type AdamWConfig } from "../optimizer/AdamW.ts"
import { type SavedTensors, type StoreState } from "../optimizer/OptimizerSlots.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { type Checkpoint, Checkpointer } from "../run/Checkpointer.ts"
import { type RunError } from "../run/RunError.ts"
import * as Random from "../statistics/Random.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** Counters of a training loop. */
export interface Counters {
  /** Optimizer steps done. */
  readonly step: number
  /** Epochs done in supervised training, steps in GRPO. */
  readonly epoch: number
  /** Best validation score so far, -1 before the first. */
  readonly best: number
  readonly bestEpoch: number
  /** Number of validations since the best one. */
  readonly sinceBest: number
  /** Score at the start of the phase, -1 when it was not computed. */
  readonly start: number
  /** Number of epochs or steps requested, 0 before the first checkpoint. */
  readonly asked: number
  /** Step of the other phase's checkpoint that this phase started from, -1 for none. */
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

/** Draws a sample of at most `count` elements without replacement; a function of the seed. */
export const sample = <A>(all: ReadonlyArray<A>, count: number, seed: number): ReadonlyArray<A> =>
  all.length <= count
    ? all
    : Array.from(Random.permutation(all.length, seed, 0x7a11).subarray(0, count), (i) => all[i]!)

/** Model of a loop other than the policy whose state checkpoints keep, such as a reference that follows the policy. */
export interface Companion {
  /** State of the model; none if the run can build it again. */
  readonly save: Effect.Effect<Option.Option<StoreState>, TensorError>
  /** Restores a state. */
  restore(state: StoreState): Effect.Effect<void, TensorError>
}

/** Companions by name; the name is the prefix of their tensors in a checkpoint. */
export type Companions = Readonly<Record<string, Companion>>

/** Returns the key in a checkpoint's meta of the steps that the store of the policy, or of a companion, has applied. */
const versionKey = (companion?: string) => companion === undefined ? "weightsVersion" : `${companion}.weightsVersion`

const parts = (tensors: Checkpoint["tensors"], part: string): SavedTensors =>
  new Map([...tensors].flatMap(([name, { data, shape }]) =>
    name.startsWith(`${part}/`)
      ? [[name.slice(part.length + 1), { dtype: "F32" as const, shape, data: data as Float32Array }] as const]
      : []
  ))

/** Returns the tensors of a state by their names in a checkpoint; those of a companion begin with its name. */
const tensorsOf = ({ average, slots, weights }: StoreState, prefix = ""): Checkpoint["tensors"] => {
  const under = (part: string, tensors: SavedTensors) =>
    [...tensors].map(([name, tensor]) => [`${prefix}${part}/${name}`, tensor] as const)
  return new Map([...under("weights", weights), ...under("average", average), ...under("slot", slots)])
}

/** Returns the state of a companion in a checkpoint, if it contains one. */
const companionOf = ({ meta, tensors }: Checkpoint, name: string): Option.Option<StoreState> => {
  const version = meta[versionKey(name)]
  return typeof version !== "number" ? Option.none() : Option.some({
    version,
    weights: parts(tensors, `${name}.weights`),
    average: parts(tensors, `${name}.average`),
    slots: parts(tensors, `${name}.slot`)
  })
}

/**
 * Returns the state in a checkpoint. Older checkpoints always contain both moments of AdamW and an average, which is
 * used only where `optimizer` keeps one.
 */
export const stateOf = ({ meta, step, tensors }: Checkpoint, optimizer: AdamWConfig): StoreState => {
  const state = { weights: parts(tensors, "weights"), average: parts(tensors, "average") }
  const version = meta[versionKey()]
  if (typeof version === "number") return { ...state, version, slots: parts(tensors, "slot") }
  const moments = ["first", "second"].flatMap((moment) =>
    [...parts(tensors, moment)].map(([name, tensor]) => [`${moment}.${name}`, tensor] as const)
  )
  return {
    weights: state.weights,
    average: optimizer.averaging > 0 ? state.average : new Map(),
    version: step,
    slots: new Map(moments)
  }
}

/** Returns the weights by which a state is evaluated, of every parameter. */
export const evaluationWeights = ({ average, weights }: Pick<StoreState, "weights" | "average">): SavedTensors =>
  new Map([...weights, ...average])

/** Part of a checkpoint with the weights that are evaluated instead of those of its state. */
const evaluated = "evaluated"

/** Returns the weights by which a checkpoint is evaluated, of every parameter. */
export const evaluationOf = (checkpoint: Checkpoint, optimizer: AdamWConfig): SavedTensors =>
  new Map([...evaluationWeights(stateOf(checkpoint, optimizer)), ...parts(checkpoint.tensors, evaluated)])

/** Writes a checkpoint of the parameters and counters, with weights that are evaluated instead of theirs if given. */
export const save: (
  parameters: ParameterStore,
  kind: string,
  counters: Counters,
  isBest: boolean,
  companions?: Companions,
  instead?: SavedTensors
) => Effect.Effect<void, RunError | TensorError, Checkpointer> = Effect.fn("TrainingState.save")(
  function*(parameters, kind, counters, isBest, companions = {}, instead = new Map()) {
    const checkpointer = yield* Checkpointer
    // Views are enough: nothing is trained until the checkpoint is written.
    const state = yield* parameters.state
    const tensors = new Map(tensorsOf(state))
    for (const [name, tensor] of instead) tensors.set(`${evaluated}/${name}`, tensor)
    const meta: Record<string, unknown> = { ...counters, [versionKey()]: state.version }
    for (const [name, companion] of Object.entries(companions)) {
      const kept = yield* companion.save
      if (Option.isNone(kept)) continue
      for (const [key, tensor] of tensorsOf(kept.value, `${name}.`)) tensors.set(key, tensor)
      meta[versionKey(name)] = kept.value.version
    }
    yield* checkpointer.save({ kind, step: counters.step, tensors, meta, best: isBest })
  }
)

/** Starts a phase from the evaluation weights of another phase's checkpoint, at version 0. */
export const begin = (
  parameters: ParameterStore,
  checkpoint: Checkpoint,
  optimizer: AdamWConfig
): Effect.Effect<void, TensorError> =>
  parameters.restore({
    version: 0,
    weights: evaluationOf(checkpoint, optimizer),
    average: new Map(),
    slots: new Map()
  })

/**
 * Returns whether a checkpoint started from another step than `origin`, because the previous phase has a new best
 * checkpoint. Checkpoints without an origin are not stale.
 */
export const isStale = (meta: Readonly<Record<string, unknown>>, origin: number | undefined): boolean =>
  typeof meta["origin"] === "number" && origin !== undefined && meta["origin"] !== origin

/**
 * Restores the latest checkpoint of a kind and returns its counters; returns the initial counters if there is none, or
 * if it started from another step than `origin`.
 */
export const resume: (
  parameters: ParameterStore,
  kind: string,
  optimizer: AdamWConfig,
  origin?: number | undefined,
  companions?: Companions
) => Effect.Effect<Counters, RunError | TensorError, Checkpointer> = Effect.fn("TrainingState.resume")(
  function*(parameters, kind, optimizer, origin, companions = {}) {
    const checkpointer = yield* Checkpointer
    const latest = yield* checkpointer.latest(kind)
    const first = { ...beginning, origin: origin ?? beginning.origin }
    if (latest === undefined || isStale(latest.meta, origin)) return first
    yield* parameters.restore(stateOf(latest, optimizer))
    for (const [name, companion] of Object.entries(companions)) {
      const kept = companionOf(latest, name)
      if (Option.isSome(kept)) yield* companion.restore(kept.value)
    }
    const counters = Object.keys(first) as ReadonlyArray<keyof Counters>
    return {
      ...first,
      ...Object.fromEntries(counters.flatMap((key) => key in latest.meta ? [[key, latest.meta[key]]] : []))
    }
  }
)

/** Returns the kind of the checkpoints that keep a mixture of a phase's best weights with those of its start. */
export const mixtureOf = (kind: string): string => `${kind}-mixture`

/** Writes the parameters as the mixture that replaces the best checkpoint of a kind, made at `step`. */
export const saveMixture = Effect.fn("TrainingState.saveMixture")(
  function*(
    parameters: ParameterStore,
    kind: string,
    { origin = beginning.origin, share, step }: {
      readonly step: number
      readonly share: number
      readonly origin: number | undefined
    }
  ) {
    const checkpointer = yield* Checkpointer
    const { version, weights } = yield* parameters.save
    yield* checkpointer.save({
      kind: mixtureOf(kind),
      step,
      best: true,
      tensors: tensorsOf({ version, weights, average: new Map(), slots: new Map() }),
      meta: { share, origin, [versionKey()]: version }
    })
  }
)

/** Loads the evaluation weights of a checkpoint; not meant for further training. */
const load = (parameters: ParameterStore, checkpoint: Checkpoint, optimizer: AdamWConfig) => {
  const state = { ...stateOf(checkpoint, optimizer), slots: new Map() }
  const instead = parts(checkpoint.tensors, evaluated)
  return parameters.restore(
    instead.size === 0 ? state : { ...state, weights: evaluationOf(checkpoint, optimizer), average: new Map() }
  )
}

/**
 * Loads the weights that a phase ended with, the mixture that replaces its best checkpoint or that checkpoint; not meant
 * for further training. Returns the step of the best checkpoint; undefined if there is none.
 */
export const loadFinal: (
  parameters: ParameterStore,
  checkpointer: Checkpointer["Service"],
  kind: string,
  optimizer: AdamWConfig
) => Effect.Effect<number | undefined, RunError | TensorError> = Effect.fn("TrainingState.loadFinal")(
  function*(parameters, checkpointer, kind, optimizer) {
    const best = yield* checkpointer.best(kind)
    if (best === undefined) return undefined
    const mixture = yield* checkpointer.latest(mixtureOf(kind))
    const replaces = mixture !== undefined && mixture.step === best.step &&
      mixture.meta["origin"] === best.meta["origin"]
    yield* load(parameters, replaces ? mixture : best, optimizer)
    return best.step
  }
)

/** Loads the evaluation weights of the best checkpoint of a kind, if there is one; not meant for further training. */
export const loadBest: (
  parameters: ParameterStore,
  checkpointer: Checkpointer["Service"],
  kind: string,
  optimizer: AdamWConfig
) => Effect.Effect<boolean, RunError | TensorError> = Effect.fn("TrainingState.loadBest")(
  function*(parameters, checkpointer, kind, optimizer) {
    const best = yield* checkpointer.best(kind)
    if (best === undefined) return false
    yield* load(parameters, best, optimizer)
    return true
  }
)
