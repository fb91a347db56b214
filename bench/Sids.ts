/**
 * Benchmarks of semantic ids: training and encoding of residual k-means, on vectors that any language can reproduce.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import { type Matrix } from "../src/matrix/Matrix.ts"
import { Progress } from "../src/run/Progress.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import * as BalancedRqKMeans from "../src/sid/quantizer/BalancedRqKMeans.ts"
import * as RqKMeans from "../src/sid/quantizer/RqKMeans.ts"
import * as RqVaeModel from "../src/sid/rqvae/RqVaeModel.ts"
import * as RqVaeTrainer from "../src/sid/rqvae/RqVaeTrainer.ts"
import * as Random from "../src/statistics/Random.ts"
import { type TensorError } from "../src/tensor/TensorError.ts"
import { type TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Benchmark, type Prepared } from "./Benchmark.ts"
import type * as Engine from "./Engine.ts"
import * as Scoped from "./Scoped.ts"

const hash = (i: number): number => {
  let x = i >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x7feb_352d) >>> 0
  x = Math.imul(x ^ (x >>> 15), 0x846c_a68b) >>> 0
  return (x ^ (x >>> 16)) >>> 0
}

const normal = (index: number): number => {
  const i = index % 2 ** 31
  const uniform = (n: number) => (hash(n) + 0.5) / 2 ** 32
  return Math.sqrt(-2 * Math.log(uniform(2 * i))) * Math.cos(2 * Math.PI * uniform(2 * i + 1))
}

/** Builds the deterministic vectors of the peers: 1,024 centres with noise, and components of decreasing size. */
export const vectors = (rows: number, width: number): Matrix => {
  const data = new Float32Array(rows * width)
  const centres = Float64Array.from({ length: 1024 * width }, (_, i) => normal(i))
  for (let r = 0; r < rows; r++) {
    const centre = hash((r + 0x9e37_79b9 * 3) % 2 ** 32) % 1024
    for (let j = 0; j < width; j++) {
      data[r * width + j] = (j + 1) ** -0.4 * (centres[centre * width + j]! + 0.7 * normal(2 ** 29 + r * width + j))
    }
  }
  return { rows, width, data }
}

const rqKMeans = (suffix: string, rows: number, width: number, setting: "fast" | "default"): Benchmark => ({
  name: `sid.rqkmeans.${suffix}${setting === "fast" ? "" : ".default"}`,
  repeats: 3,
  warmup: 1,
  peer: {
    script: "rqkmeans.py",
    environment: "current",
    args: ["--rows", String(rows), "--dim", String(width), "--repeats", "3"]
  },
  prepare: async () => {
    const settings = setting === "fast" ? RqKMeans.fast(rows) : {}
    const engine = await Scoped.open(
      RqKMeans.layer(
        Schema.decodeSync(RqKMeans.RqKMeansConfig)(settings),
        Schema.decodeSync(Quantizer.SidShape)({ codes: 256 }),
        1
      ).pipe(Layer.provide([OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent]))
    )
    const quantizer = await engine.run(Effect.flatMap(Quantizer.Quantizer, Effect.succeed))
    const items = Quantizer.itemsOf(vectors(rows, width))
    const found = await engine.run(
      quantizer.train(items).pipe(Effect.flatMap((trained) => quantizer.diagnose(items, trained)))
    )
    return {
      work: { rows, dim: width, codes: 256, levels: 3, setting, mse: found.meanSquaredError, distinct: found.distinct },
      amount: rows,
      unit: "rows/s",
      run: () => engine.run(Effect.asVoid(quantizer.train(items))),
      close: engine.close
    }
  }
})

const balanced: Benchmark = {
  name: "sid.balanced",
  repeats: 3,
  warmup: 1,
  peer: {
    script: "rqkmeans.py",
    environment: "current",
    args: ["--kind", "constrained", "--rows", "4344", "--dim", "128", "--repeats", "1"]
  },
  prepare: async () => {
    const rows = vectors(4344, 128)
    const engine = await Scoped.open(
      BalancedRqKMeans.layer(
        Schema.decodeSync(BalancedRqKMeans.BalancedRqKMeansConfig)({}),
        Schema.decodeSync(Quantizer.SidShape)({ codes: 256, levels: 1 }),
        1
      ).pipe(Layer.provide([OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent]))
    )
    const quantizer = await engine.run(Effect.flatMap(Quantizer.Quantizer, Effect.succeed))
    const items = Quantizer.itemsOf(rows)
    const found = await engine.run(
      quantizer.train(items).pipe(Effect.flatMap((trained) => quantizer.diagnose(items, trained)))
    )
    return {
      work: { rows: 4344, dim: 128, codes: 256, mse: found.meanSquaredError },
      amount: 4344,
      unit: "rows/s",
      run: () => engine.run(Effect.asVoid(quantizer.train(items))),
      close: engine.close
    }
  }
}

const prepareRqVaeStep = async (
  runtime: Layer.Layer<TensorRuntime, TensorError> = OnnxRuntime.layerCpu({ threads: 2 })
): Promise<Prepared> => {
  const [rows, width] = [4344, 384]
  const engine = await Scoped.open(runtime)
  const config = Schema.decodeSync(RqVaeModel.RqVaeConfig)({ kMeansStart: false })
  const rqVae = await engine.run(RqVaeModel.make(config, width, 1))
  const optimizer = RqVaeTrainer.optimizerOf(config)
  const next = Random.normal(2)
  const batch = { rows, width, data: Float32Array.from({ length: rows * width }, next) }
  const maps = [width, ...config.network.layers, config.network.width]
  const weights = 2 * maps.slice(1).reduce((sum, size, i) => sum + size * maps[i]!, 0)
  return {
    work: { rows, dim: width, layers: config.network.layers, codes: config.network.codes, weights },
    amount: 1,
    unit: "steps/s",
    // The first layer needs no gradient with respect to its input.
    flops: rows * (6 * weights - 2 * width * config.network.layers[0]! + 3 * 2 * 256 * config.network.width),
    run: async () => void await engine.run(rqVae.step(batch, optimizer, 1e-3)),
    close: engine.close
  }
}

/** Benchmark of a full-batch step of RQ-VAE with MiniOneRec's size. */
export const rqVaeStep: Engine.StepBenchmark = {
  name: "sid.rqvae.step",
  repeats: 5,
  warmup: 1,
  peer: { script: "rqvae_step.py", environment: "current", args: ["--repeats", "5"] },
  prepare: () => prepareRqVaeStep(),
  profiled: (profile) => prepareRqVaeStep(OnnxRuntime.layerCpu({ threads: 2, profile }))
}

/** Benchmarks of SIDs. */
export const benchmarks: ReadonlyArray<Benchmark> = [
  rqVaeStep,
  rqKMeans("4k", 4344, 384, "fast"),
  rqKMeans("12k", 12_101, 768, "fast"),
  rqKMeans("200k", 200_000, 128, "fast"),
  rqKMeans("4k", 4344, 384, "default"),
  rqKMeans("12k", 12_101, 768, "default"),
  rqKMeans("200k", 200_000, 128, "default"),
  balanced
]
