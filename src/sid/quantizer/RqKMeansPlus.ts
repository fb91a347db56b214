/**
 * RQ-KMeans+ as MiniOneRec has it: the RQ-VAE whose encoder adds a map to the embedding, beginning with nothing added and
 * with the codebooks of the balanced residual k-means.
 *
 * MiniOneRec's index counts codes from 1 and separates colliding items by one more token: `SidIndex.toJson(index, 1)` of the
 * policy `extra-token`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Progress } from "../../run/Progress.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import { Quantizer, type SidShape } from "../Quantizer.ts"
import * as RqVaeModel from "../rqvae/RqVaeModel.ts"
import * as Network from "../rqvae/RqVaeNetwork.ts"
import * as BalancedRqKMeans from "./BalancedRqKMeans.ts"
import * as RqVae from "./RqVae.ts"

/** Settings for minutes instead of MiniOneRec's 10,000 epochs at 1e-4: a higher rate, and the weights of least error. */
export const defaults: typeof RqVaeModel.RqVaeConfig.Encoded = {
  network: { layers: [512, 256], skip: "encoder" },
  learningRate: 1e-3,
  kMeansStart: false,
  epochs: 200,
  batch: 512,
  warmupEpochs: 10,
  evaluationEpochs: 20,
  keep: "error"
}

/** Settings of both parts. */
export class RqKMeansPlusConfig extends Schema.Class<RqKMeansPlusConfig>("sidereal/sid/RqKMeansPlusConfig")({
  start: BalancedRqKMeans.BalancedRqKMeansConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  network: RqVaeModel.RqVaeConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed(defaults)))
}) {}

/** Provides the quantizer. */
export const layer = (
  config: RqKMeansPlusConfig,
  shape: SidShape,
  seed: number
): Layer.Layer<Quantizer, never, TensorRuntime | Progress> =>
  Layer.effect(
    Quantizer,
    Effect.gen(function*() {
      const services = yield* Effect.context<TensorRuntime | Progress>()
      return yield* RqVae.make({
        name: "rq-kmeans-plus",
        id: `rq-kmeans-plus:${JSON.stringify([config, shape, seed])}`,
        seed,
        shape,
        configFor: (_, width, codes) =>
          new RqVaeModel.RqVaeConfig({
            ...config.network,
            network: new Network.NetworkConfig({ ...config.network.network, codes, width, skip: "encoder" })
          }),
        codebooks: ({ embeddings }) =>
          BalancedRqKMeans.train(config.start, shape, embeddings, seed).pipe(
            Effect.map(({ codebooks }) => codebooks),
            Effect.scoped,
            Effect.provideContext(services)
          )
      })
    })
  )
