import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as DuckDb from "../../layers/duckdb/DuckDb.ts"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as TarXz from "../../layers/xz/TarXz.ts"
import * as Import from "../../src/catalog/Import.ts"
import * as Lsa from "../../src/embedding/Lsa.ts"
import { itemText } from "../../src/embedding/TextEncoder.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as RqKMeans from "../../src/sid/quantizer/RqKMeans.ts"
import * as RqVae from "../../src/sid/quantizer/RqVae.ts"
import * as RqVaeModel from "../../src/sid/rqvae/RqVaeModel.ts"
import { data, list } from "../Golden.ts"

const services = Layer.mergeAll(
  OnnxRuntime.layerCpu({ threads: 2 }),
  Progress.layerSilent,
  Layer.merge(DuckDb.layer, TarXz.layer).pipe(Layer.provideMerge(NodeServices.layer))
)
const shape = Schema.decodeSync(Quantizer.SidShape)({ codes: 256 })

/** Folders whose items have texts as LETTER keeps them. */
const folders = list(data).filter((folder) => list(data, folder).some((file) => file.endsWith(".inter.json")))

describe("RQ-VAE with its remedies on real texts", () => {
  if (folders.length === 0) it.skipIf(true)("no data is here", () => {})
  for (const folder of folders) {
    it.effect(
      `uses its codes, parts its items and rebuilds them within five minutes: ${folder}`,
      () =>
        Effect.gen(function*() {
          const dataset = yield* Import.load(join(data, folder))
          const config = Schema.decodeSync(Lsa.LsaConfig)({})
          const items = Quantizer.itemsOf((yield* Lsa.fit(dataset.items.map(itemText), config, 1)).embeddings)
          const diagnose = Effect.gen(function*() {
            const quantizer = yield* Quantizer.Quantizer
            const started = performance.now()
            const trained = yield* quantizer.train(items)
            const seconds = (performance.now() - started) / 1000
            return { seconds, diagnosis: yield* quantizer.diagnose(items, trained) }
          })
          const vae = Schema.decodeSync(RqVaeModel.RqVaeConfig)(RqVae.stabilized)
          const stabilized = yield* diagnose.pipe(Effect.provide(RqVae.layer(vae, shape, 1)))
          const kMeans = yield* diagnose.pipe(
            Effect.provide(RqKMeans.layer(Schema.decodeSync(RqKMeans.RqKMeansConfig)({}), shape, 1))
          )
          for (const { codes, used } of stabilized.diagnosis.levels) assert.isAtLeast(used, 0.95 * codes)
          assert.isAtMost(stabilized.diagnosis.collisionRate, 0.01)
          assert.isAtMost(stabilized.diagnosis.meanSquaredError, 1.05 * kMeans.diagnosis.meanSquaredError)
          assert.isBelow(stabilized.seconds, 300)
        }).pipe(Effect.provide(services)),
      600_000
    )
  }
})
