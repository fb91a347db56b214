/**
 * A quantizer of your own: signs of random projections (Charikar 2002), four bits to a code, against residual k-means.
 *
 * Run it: `node examples/OwnQuantizer.ts`
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
import { type Matrix } from "sidereal/matrix/Matrix"
import { Progress } from "sidereal/run/Progress"
import * as ResidualCodebooks from "sidereal/sid/codebook/ResidualCodebooks"
import { itemsOf, Quantizer, SidShape } from "sidereal/sid/Quantizer"
import * as RqKMeans from "sidereal/sid/quantizer/RqKMeans"
import * as Random from "sidereal/statistics/Random"

/** Codes [N, L] of four signs each; the plane of a bit is drawn from the seed, the level and the bit. */
const signs = ({ data, rows, width }: Matrix, levels: number, seed: number) => {
  const codes = new Int32Array(rows * levels)
  for (let level = 0; level < levels; level++) {
    for (let bit = 0; bit < 4; bit++) {
      const next = Random.normal(seed, level, bit)
      const plane = Float64Array.from({ length: width }, next)
      for (let r = 0; r < rows; r++) {
        const side = plane.reduce((sum, value, d) => sum + value * data[r * width + d]!, 0)
        if (side > 0) codes[r * levels + level]! += 1 << bit
      }
    }
  }
  return { levels, codes }
}

/** The shared part decodes, measures distances and keeps the model: only the codes are the quantizer's own. */
const layer = (levels: number, seed: number) =>
  ResidualCodebooks.layer({
    name: "signs",
    settings: [levels, seed],
    encode: (embeddings) => signs(embeddings, levels, seed),
    train: ({ embeddings }) =>
      Effect.sync(() => {
        const codes = signs(embeddings, levels, seed)
        const sizes = Array.from({ length: levels }, () => 16)
        return { codes, codebooks: ResidualCodebooks.ofCodes(embeddings, codes, sizes) }
      })
  })

/** 300 items around 30 centres. */
const next = Random.normal(1)
const centres = Array.from({ length: 30 * 8 }, next)
const items = itemsOf({
  rows: 300,
  width: 8,
  data: Float32Array.from({ length: 300 * 8 }, (_, i) => centres[(Math.floor(i / 8) % 30) * 8 + i % 8]! + 0.3 * next())
})

const diagnose = Effect.gen(function*() {
  const quantizer = yield* Quantizer
  const { distinct, varianceLeft } = yield* quantizer.diagnose(items, yield* quantizer.train(items))
  yield* Effect.sync(() =>
    console.log(
      `${quantizer.name}: ${distinct} distinct SIDs of 300, ${(100 * varianceLeft).toFixed(0)} % variance lost`
    )
  )
})

const shape = Schema.decodeSync(SidShape)({ levels: 3, codes: 16 })
const known = RqKMeans.layer(Schema.decodeSync(RqKMeans.RqKMeansConfig)({}), shape, 1)
const quantizers: ReadonlyArray<typeof known> = [layer(3, 1), known]
const services = Layer.merge(OnnxRuntime.layerCpu(), Progress.layerSilent)
await Effect.runPromise(
  Effect.forEach(quantizers, (quantizer) => diagnose.pipe(Effect.provide(quantizer))).pipe(Effect.provide(services))
)
