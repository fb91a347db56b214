/**
 * Transfer of the learner's weights to processes that draw: read in pieces and checked by their hash.
 */
import * as Entity from "effect/cluster/Entity"
import { type Sharding } from "effect/cluster/Sharding"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RcMap from "effect/RcMap"
import * as Rpc from "effect/rpc/Rpc"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { NamedWeights } from "../../src/grpo/actor/NamedWeights.ts"
import { OfferedWeights } from "../../src/grpo/actor/OfferedWeights.ts"
import { WeightsGone, WeightsName } from "../../src/grpo/actor/WeightsName.ts"
import { type Weights } from "../../src/optimizer/ParameterStore.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import { hostFloat32, hostInt32, type HostTensor } from "../../src/tensor/TensorProgram.ts"
import * as Shards from "./Shards.ts"

/** Size of a piece in bytes. */
const pieceBytes = 4 * 1024 * 1024

const read = Rpc.make("Read", {
  payload: { name: WeightsName, from: Schema.Int },
  success: Schema.Struct({ total: Schema.Int, bytes: Schema.Uint8Array }),
  error: WeightsGone
})

/**
 * Actor of the learner's process that serves weights.
 *
 * Responsibilities: returns pieces of offered weights from any byte; holds no state. Ordering: none, since reads change
 * nothing. Back-pressure: a reader requests one piece at a time. Completion means that the piece belongs to the weights
 * with the requested hash. A crash loses the offers: readers wait for the restarted learner, which makes new ones.
 */
export const entity = Entity.make("Weights", [read])

/** Serves the weights that this process offers. */
export const layerServer: Layer.Layer<never, never, Sharding | OfferedWeights> = entity.toLayer(
  Effect.map(OfferedWeights, (offered) =>
    entity.of({
      Read: ({ payload: { from, name } }) =>
        Effect.flatMap(offered.find(name), (found) =>
          found?.bytes === undefined
            ? Effect.fail(new WeightsGone({ ...name }))
            : Effect.succeed({
              total: found.bytes.byteLength,
              bytes: found.bytes.subarray(from, from + pieceBytes)
            }))
    })),
  {
    mailboxCapacity: 256,
    concurrency: "unbounded",
    maxIdleTime: Duration.infinity,
    defectRetryPolicy: Schedule.spaced("1 second")
  }
)

/** Provides weights read from the learner's process; they stay in memory for 2 s after their last use. */
export const layerClient: Layer.Layer<NamedWeights, never, Sharding> = Layer.effect(
  NamedWeights,
  Effect.gen(function*() {
    const client = (yield* entity.client)("weights")
    const fetch = Effect.fnUntraced(function*(key: string) {
      const [version, digest] = key.split("/")
      const name = new WeightsName({ version: Number(version), digest: digest! })
      const piece = (from: number) =>
        client.Read({ name, from }).pipe(
          Effect.retry({ while: Shards.isTransient, schedule: Shards.again }),
          // Transient failures are retried without a limit, so none remains here.
          Effect.catchIf(Shards.isTransient, Effect.die)
        )
      const first = yield* piece(0)
      const bytes = new Uint8Array(first.total)
      bytes.set(first.bytes)
      for (let at = first.bytes.byteLength; at < first.total;) {
        const next = yield* piece(at)
        bytes.set(next.bytes, at)
        at += next.bytes.byteLength
      }
      const found = createHash("sha256").update(bytes).digest("hex")
      // The pieces are those of another learner with the same version: the requested weights are gone.
      if (found !== digest) return yield* new WeightsGone({ ...name })
      return decode(name.version, bytes)
    })
    const recent = yield* RcMap.make({ lookup: fetch, idleTimeToLive: "2 seconds" })
    return NamedWeights.of({ pin: ({ digest, version }) => RcMap.get(recent, `${version}/${digest}`) })
  })
)

/** Decodes weights into shared memory, which the engine's worker thread reads without a copy. */
export const decode = (version: number, bytes: Uint8Array): Weights => {
  const feeds: Record<string, HostTensor> = {}
  for (const [name, { data, shape }] of Safetensors.decode(bytes)) {
    const memory = new SharedArrayBuffer(data.byteLength)
    if (data instanceof Int32Array) {
      const own = new Int32Array(memory)
      own.set(data)
      feeds[name] = Object.freeze(hostInt32(own, ...shape))
    } else {
      const own = new Float32Array(memory)
      own.set(data as Float32Array)
      feeds[name] = Object.freeze(hostFloat32(own, ...shape))
    }
  }
  return { version, feeds: Object.freeze(feeds) }
}
