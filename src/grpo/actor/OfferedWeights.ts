/**
 * Weights that a learner's process offers to rollout actors, by name, while a batch is drawn with them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { type Weights } from "../../optimizer/ParameterStore.ts"
import * as Safetensors from "../../storage/Safetensors.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { widened } from "../../tensor/TensorProgram.ts"
import { isHandle } from "../../tensor/TensorRuntime.ts"
import { WeightsName } from "./WeightsName.ts"

/** Offered weights. */
export interface Offered {
  readonly weights: Weights
  /** Bytes of their safetensors file; absent if all actors are in this process. */
  readonly bytes?: Uint8Array | undefined
}

/**
 * Registry of offered weights.
 *
 * Responsibilities: keeps offered weights by name until the Scope of the offer closes. Ordering: none; several versions
 * may be offered at once. Back-pressure: none. Completion of `offer` means that `find` returns the weights. A crash
 * loses every offer; the restarted learner makes new ones.
 */
export class OfferedWeights extends Context.Service<OfferedWeights, {
  /** Offers weights until the Scope closes, and returns their name. */
  offer(weights: Weights): Effect.Effect<WeightsName, TensorError, Scope.Scope>
  /** Returns the weights of a name, or undefined if they are not offered. */
  find(name: WeightsName): Effect.Effect<Offered | undefined>
}>()("sidereal/grpo/OfferedWeights") {
  /** Provides a registry for actors of this process: the weights themselves, named by their version alone. */
  static readonly layerLocal: Layer.Layer<OfferedWeights> = Layer.sync(
    OfferedWeights,
    () =>
      make((weights) => Effect.succeed({ name: new WeightsName({ version: weights.version, digest: "" }), weights }))
  )

  /** Provides a registry for actors of other processes: encoded weights, named by version and hash. */
  static readonly layerEncoded: Layer.Layer<OfferedWeights> = Layer.sync(OfferedWeights, () => {
    // A version is encoded once for all batches that are drawn with it.
    const encoded = new WeakMap<Weights["feeds"], Offered & { readonly name: WeightsName }>()
    return make((weights) =>
      Effect.gen(function*() {
        const known = encoded.get(weights.feeds)
        if (known !== undefined && known.name.version === weights.version) return known
        const bytes = yield* encode(weights)
        const digest = createHash("sha256").update(bytes).digest("hex")
        const offered = { name: new WeightsName({ version: weights.version, digest }), weights, bytes }
        encoded.set(weights.feeds, offered)
        return offered
      })
    )
  })
}

const make = (
  of: (weights: Weights) => Effect.Effect<Offered & { readonly name: WeightsName }, TensorError>
): OfferedWeights["Service"] => {
  const held = new Map<string, { readonly offered: Offered; count: number }>()
  const keyOf = ({ digest, version }: WeightsName) => `${version}/${digest}`
  return OfferedWeights.of({
    offer: Effect.fnUntraced(function*(weights) {
      const { name, ...offered } = yield* of(weights)
      const key = keyOf(name)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const entry = held.get(key) ?? { offered, count: 0 }
          entry.count++
          held.set(key, entry)
        }),
        () =>
          Effect.sync(() => {
            const entry = held.get(key)!
            entry.count--
            if (entry.count === 0) held.delete(key)
          })
      )
      return name
    }),
    find: (name) => Effect.sync(() => held.get(keyOf(name))?.offered)
  })
}

/** Encodes weights as a safetensors file; those on a device are read first. */
export const encode = Effect.fnUntraced(function*({ feeds, version }: Weights) {
  const tensors = new Map<string, Safetensors.StoredTensor>()
  for (const [name, feed] of Object.entries(feeds)) {
    const { data, shape } = widened(isHandle(feed) ? yield* feed.read : feed)
    tensors.set(name, { dtype: data instanceof Int32Array ? "I32" : "F32", shape, data: data as Float32Array })
  }
  return Safetensors.encode(tensors, { version: String(version) })
})
