/**
 * Service that scores candidates under the reference policy, divergence from which GRPO penalises.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type SavedTensors, type StoreState } from "../optimizer/OptimizerSlots.ts"
import { type Weights } from "../optimizer/ParameterStore.ts"
import { type PolicyError } from "../policy/PolicyError.ts"
import { type CandidateGroup, PolicyModel, type TreeLogProbs } from "../policy/PolicyModel.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { hostFloat32, type HostTensor } from "../tensor/TensorProgram.ts"
import { isHandle } from "../tensor/TensorRuntime.ts"

/** Settings of the reference. */
export class ReferenceConfig extends Schema.Class<ReferenceConfig>("sidereal/grpo/ReferenceConfig")({
  /** Steps between two updates of the reference towards the policy; 0 keeps it frozen. @default 0 */
  every: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** Weight of the policy in an update, 0 to 1: `reference = (1 - alpha) reference + alpha policy`. @default 0.6 */
  alpha: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.6))
  )
}) {}

/**
 * Reference policy.
 *
 * Responsibilities: owns a copy of the weights, which nothing else changes. Ordering: every `score` after the `sync` of
 * a step uses the weights of that `sync`. Back-pressure: the caller awaits each call; nothing is queued. A crash loses
 * the updates since the last checkpoint, which the repeated steps make again.
 */
export class ReferenceModel extends Context.Service<ReferenceModel, {
  /** Returns the log-probabilities of the candidates' trees under the reference, in the order of the groups. */
  score(groups: ReadonlyArray<CandidateGroup>): Effect.Effect<ReadonlyArray<TreeLogProbs>, PolicyError>
  /** Updates the reference after a step if an update is due; returns whether it was updated. */
  sync(step: number): Effect.Effect<boolean, TensorError>
  /** State for a checkpoint; none for a frozen reference, which the run can build again. */
  readonly save: Effect.Effect<Option.Option<StoreState>, TensorError>
  /** Restores the state of a checkpoint. */
  restore(state: StoreState): Effect.Effect<void, TensorError>
}>()("sidereal/grpo/ReferenceModel") {
  /** Provides a fixed copy of the policy's averaged weights, made when the layer is built. */
  static readonly layerFrozen: Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> = Layer.effect(
    ReferenceModel,
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const copy = yield* (yield* PolicyParameters).snapshot("average")
      return ReferenceModel.of({
        score: (groups) => policy.score(groups, copy),
        sync: () => Effect.succeed(false),
        save: Effect.succeed(Option.none()),
        restore: () => Effect.void
      })
    })
  )

  /**
   * Provides a copy that is updated every `every` steps, `reference = (1 - alpha) reference + alpha policy`
   * (Gorbatovski et al. 2024, "Learn your reference model"; TRL's `SyncRefModelCallback`).
   */
  static readonly layerMixup = (
    { alpha, every }: { readonly every: number; readonly alpha: number }
  ): Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> =>
    Layer.effect(ReferenceModel, mixed(every, alpha))

  /** Provides an exponential moving average, updated after every step: `reference = decay reference + (1 - decay) policy`. */
  static readonly layerEma = (
    decay: number
  ): Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> =>
    Layer.effect(ReferenceModel, mixed(1, 1 - decay))

  /** Provides the reference of a configuration. */
  static readonly layer = (
    config: ReferenceConfig
  ): Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> =>
    config.every === 0 ? this.layerFrozen : this.layerMixup(config)
}

const read = (weights: Weights): Effect.Effect<ReadonlyArray<readonly [string, HostTensor]>, TensorError> =>
  Effect.forEach(
    Object.entries(weights.feeds),
    ([name, feed]) => Effect.map(isHandle(feed) ? feed.read : Effect.succeed(feed), (tensor) => [name, tensor] as const)
  )

const mixed = Effect.fnUntraced(function*(every: number, alpha: number) {
  const policy = yield* PolicyModel
  const store = yield* PolicyParameters
  const own = new Map(
    yield* Effect.scoped(
      Effect.flatMap(
        store.snapshot("average"),
        (weights) =>
          Effect.map(
            read(weights),
            (tensors) =>
              tensors.map(([name, { data, shape }]) => [name, hostFloat32(Float32Array.from(data), ...shape)] as const)
          )
      )
    )
  )
  let version = yield* store.version
  const saved = (): SavedTensors =>
    new Map(
      Array.from(own, ([name, { data, shape }]) => [name, { dtype: "F32", shape, data: Float32Array.from(data) }])
    )
  return ReferenceModel.of({
    score: (groups) => policy.score(groups, { version, feeds: Object.fromEntries(own) }),
    sync: Effect.fn("ReferenceModel.sync")(function*(step) {
      if (step % every !== 0) return false
      for (const [name, { data }] of yield* read(yield* store.weights)) {
        const reference = own.get(name)!.data
        for (let i = 0; i < reference.length; i++) reference[i] = (1 - alpha) * reference[i]! + alpha * data[i]!
      }
      version = yield* store.version
      return true
    }),
    save: Effect.sync(() => Option.some({ version, weights: saved(), average: new Map(), slots: new Map() })),
    restore: (state) =>
      Effect.sync(() => {
        for (const [name, { data }] of state.weights) own.get(name)?.data.set(data as Float32Array)
        version = state.version
      })
  })
})
