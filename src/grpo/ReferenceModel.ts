/**
 * Service that scores candidates under the reference policy, from which GRPO penalises divergence.
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

/** How the reference follows the policy. */
export class ReferenceConfig extends Schema.Class<ReferenceConfig>("sidereal/grpo/ReferenceConfig")({
  /** Steps between two moves towards the policy; 0 keeps the reference frozen. @default 0 */
  every: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** Share of the policy in the reference after a move, 0 to 1. @default 0.6 */
  alpha: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.6))
  )
}) {}

/**
 * Log-probabilities under the reference.
 *
 * Responsibilities: owns its own copy of the weights; nobody else changes it. Ordering: `sync` of step n is seen by every
 * later `score`. Back-pressure: the caller awaits each call, nothing is queued. A crash loses the moves since the last
 * checkpoint, which are made again by the steps that are repeated.
 */
export class ReferenceModel extends Context.Service<ReferenceModel, {
  /** Scores the trees of candidates. */
  score(groups: ReadonlyArray<CandidateGroup>): Effect.Effect<ReadonlyArray<TreeLogProbs>, PolicyError>
  /** Moves the reference after a step, where it follows the policy; returns whether it moved. */
  sync(step: number): Effect.Effect<boolean, TensorError>
  /** Returns what a checkpoint must keep of it; nothing where it can be made again. */
  readonly save: Effect.Effect<Option.Option<StoreState>, TensorError>
  /** Continues from what a checkpoint kept. */
  restore(state: StoreState): Effect.Effect<void, TensorError>
}>()("sidereal/grpo/ReferenceModel") {
  /** A fixed copy of the policy's averaged weights, taken when the layer is built. */
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
   * A copy that is mixed with the policy every `every` steps, `reference = (1 - alpha) reference + alpha policy`
   * (Gorbatovski et al. 2024, "Learn your reference model"; TRL's `SyncRefModelCallback`).
   */
  static readonly layerMixup = (
    { alpha, every }: { readonly every: number; readonly alpha: number }
  ): Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> =>
    Layer.effect(ReferenceModel, mixed(every, alpha))

  /** A copy that follows the policy after every step, `reference = decay reference + (1 - decay) policy`. */
  static readonly layerEma = (
    decay: number
  ): Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> =>
    Layer.effect(ReferenceModel, mixed(1, 1 - decay))

  /** The reference of a configuration. */
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
