/**
 * Trains RQ-VAE on embeddings as MiniOneRec does: full or large batches, warm-up, clipping, k-means start, the best weights
 * kept; and, where the settings ask for it, restarts codes that nothing uses.
 *
 * Differs from MiniOneRec: a component that is not finite is an error instead of becoming zero.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Matrix from "../../matrix/Matrix.ts"
import * as Adam from "../../optimizer/Adam.ts"
import * as AdamW from "../../optimizer/AdamW.ts"
import type * as Optimizer from "../../optimizer/Optimizer.ts"
import { Progress } from "../../run/Progress.ts"
import * as Random from "../../statistics/Random.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as KMeans from "../clustering/KMeans.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Codes from "../Codes.ts"
import * as Diagnostics from "../Diagnostics.ts"
import { type Model } from "../Quantizer.ts"
import { type SidError } from "../SidError.ts"
import * as RqVaeModel from "./RqVaeModel.ts"

/** The rate of step `step` (from 0): a line from 0 over the warm-up, then the peak, or a line to 0 at `total`. */
export const rateAt = (config: RqVaeModel.RqVaeConfig, step: number, warmup: number, total: number): number => {
  if (step < warmup) return config.learningRate * step / warmup
  return config.learningRate *
    (config.decay === "constant" ? 1 : Math.max(0, (total - step) / Math.max(1, total - warmup)))
}

/** The optimizer of the settings: AdamW on all parameters, clipped. */
export const optimizerOf = (config: RqVaeModel.RqVaeConfig): Optimizer.Optimizer =>
  Adam.adamW(
    new AdamW.AdamWConfig({
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: config.weightDecay,
      maxGradientNorm: config.maxGradientNorm,
      averaging: 0
    })
  )

/** What training came to. */
export interface RqVaeReport {
  readonly epochs: number
  /** Loss of the last epoch, summed over its batches as MiniOneRec reports it. */
  readonly loss: number
  /** Share of items whose codes are not theirs alone, of the weights kept: (N - distinct) / N. */
  readonly collisionRate: number
  readonly bestEpoch: number
}

const collisionRate = (codes: Codes.Codes): number => Diagnostics.measure(Codes.rowsOf(codes), []).collisionRate

const squaredError = (a: Matrix.Matrix, b: Matrix.Matrix): number => {
  let sum = 0
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i]! - b.data[i]!) ** 2
  return sum / a.data.length
}

/** Codebooks to begin with instead of k-means centres. */
export interface TrainOptions {
  readonly codebooks?: ResidualCodebooks.Codebooks | undefined
}

/** Trains on embeddings [N, D]; afterwards the network has the best weights that were evaluated. */
export const train: (
  config: RqVaeModel.RqVaeConfig,
  embeddings: Matrix.Matrix,
  seed: number,
  options?: TrainOptions
) => Effect.Effect<
  { readonly rqVae: RqVaeModel.RqVae; readonly report: RqVaeReport },
  TensorError | SidError,
  TensorRuntime | Scope.Scope | Progress
> = Effect.fn("RqVaeTrainer.train")(function*(config, embeddings, seed, options = {}) {
  yield* ResidualCodebooks.check(embeddings)
  const { rows, width } = embeddings
  const { codes: sizes } = config.network
  const rqVae = yield* RqVaeModel.make(config, width, seed)
  const optimizer = optimizerOf(config)
  const size = Math.min(config.batch, rows)
  const perEpoch = Math.ceil(rows / size)
  const [warmup, total] = [config.warmupEpochs * perEpoch, config.epochs * perEpoch]
  const tracker = (yield* Progress).start("rq-vae", config.epochs, "epochs")
  const first = Matrix.take(embeddings, Random.permutation(rows, seed, 0).subarray(0, size))

  if (options.codebooks !== undefined) yield* rqVae.beginWith(options.codebooks)
  else if (config.kMeansStart) {
    const within = yield* Effect.context<TensorRuntime | Scope.Scope>()
    yield* rqVae.begin(
      first,
      (residual, level) =>
        KMeans.train(residual, Math.min(sizes[level]!, residual.rows), {
          maximumIterations: config.kMeansIterations,
          tolerance: 1e-4,
          starts: 1,
          rowsPerCentre: 256,
          miniBatch: 0,
          seedRows: 4096,
          seed: seed * 31 + level
        }).pipe(Effect.map(({ centres }) => centres), Effect.provide(within))
    )
  }

  let [best, bestEpoch, loss, step] = [Infinity, 0, 0, 0]
  let kept: Model | undefined
  let used = sizes.map((codes) => new Int32Array(codes))
  for (let epoch = 1; epoch <= config.epochs; epoch++) {
    const order = Random.permutation(rows, seed, epoch)
    loss = 0
    for (let from = 0; from < rows; from += size) {
      const rate = rateAt(config, step, warmup, total)
      const batch = Matrix.take(embeddings, order.subarray(from, from + size))
      const report = yield* rqVae.step(batch, optimizer, rate)
      step++
      loss += report.loss
      for (const [at, code] of report.codes.codes.entries()) used[at % sizes.length]![code]!++
    }
    if (config.restartEpochs > 0 && epoch % config.restartEpochs === 0 && epoch < config.epochs) {
      const batch = Matrix.take(embeddings, order.subarray(0, size))
      yield* rqVae.restart(batch, used, Random.uniform(seed, 0xdead, epoch))
      used = sizes.map((codes) => new Int32Array(codes))
    }
    if (epoch % config.evaluationEpochs === 0 || epoch === config.epochs) {
      const codes = yield* rqVae.encode(embeddings)
      const figure = config.keep === "collisions"
        ? collisionRate(codes)
        : squaredError(embeddings, yield* rqVae.decode(codes))
      if (figure < best) {
        best = figure
        bestEpoch = epoch
        kept = yield* rqVae.save
      }
    }
    tracker.update(
      epoch,
      `loss ${loss.toPrecision(4)}, best ${config.keep} ${best === Infinity ? "-" : best.toPrecision(4)}`
    )
  }
  if (kept !== undefined) yield* rqVae.load(kept)
  const rate = collisionRate(yield* rqVae.encode(embeddings))
  tracker.finish(`collisions ${rate.toFixed(4)} after epoch ${bestEpoch}`)
  return { rqVae, report: { epochs: config.epochs, loss, collisionRate: rate, bestEpoch } }
})
