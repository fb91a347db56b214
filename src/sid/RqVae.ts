/**
 * Trains RQ-VAE on embeddings as MiniOneRec does: full or large batches, warm-up, clipping, k-means start, and the weights
 * with the fewest collisions kept.
 *
 * Differs from MiniOneRec: a component that is not finite is an error instead of becoming zero.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Matrix from "../embedding/Matrix.ts"
import * as Adam from "../optimizer/Adam.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import type * as Optimizer from "../optimizer/Optimizer.ts"
import * as ParameterStore from "../optimizer/ParameterStore.ts"
import { Progress } from "../run/Progress.ts"
import * as Autodiff from "../tensor/Autodiff.ts"
import * as Random from "../tensor/Random.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import * as TensorProgram from "../tensor/TensorProgram.ts"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"
import * as Diagnostics from "./Diagnostics.ts"
import * as KMeans from "./KMeans.ts"
import { type Codes } from "./Quantizer.ts"
import * as RqKMeans from "./RqKMeans.ts"
import * as Network from "./RqVaeNetwork.ts"
import { type SidError } from "./SidError.ts"
import * as Sinkhorn from "./Sinkhorn.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Settings; the defaults are MiniOneRec's, but for the epochs. */
export class RqVaeConfig extends Schema.Class<RqVaeConfig>("sidereal/sid/RqVaeConfig")({
  network: Network.NetworkConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Passes over the items. @default 500 */
  epochs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(500))),
  /** Rows of a step; a smaller catalogue is one batch. @default 20480 */
  batch: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20_480))),
  /** Highest rate. @default 1e-3 */
  learningRate: NonNegative.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1e-3))),
  /** Epochs over which the rate rises from 0. @default 50 */
  warmupEpochs: NonNegative.pipe(Schema.withDecodingDefaultKey(Effect.succeed(50))),
  /** What the rate does afterwards: stays, or falls to 0 on a line. @default constant */
  decay: Schema.Literals(["constant", "linear"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("constant" as const))
  ),
  /** Decoupled decay of all parameters. @default 0 */
  weightDecay: NonNegative.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** Largest global norm of the gradient. @default 1 */
  maxGradientNorm: NonNegative.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Codebooks begin as k-means centres of the first batch. @default true */
  kMeansStart: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** @default 100 */
  kMeansIterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(100))),
  /** Entropy of the transport by which a level's codes are assigned in training; 0 for the nearest. @default all 0 */
  sinkhorn: Schema.Array(NonNegative).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  /** @default 50 */
  sinkhornIterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(50))),
  /** Epochs between evaluations of the collisions. @default 50 */
  evaluationEpochs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(50)))
}) {}

/** What a step did. */
export interface StepReport {
  readonly loss: number
  readonly reconstructionLoss: number
  readonly gradientNorm: number
  /** Codes of the batch, [B, L]. */
  readonly codes: Codes
}

/** Running statistics of a normalisation. */
export interface NormStatistics {
  readonly mean: Float32Array
  readonly variance: Float32Array
}

/** Finds the first centres of a level's codebook. */
export type Cluster = (residual: Matrix.Matrix, level: number) => Effect.Effect<Matrix.Matrix, TensorError>

/** A network in training or in use. */
export interface RqVae {
  readonly store: ParameterStore.ParameterStore
  readonly statistics: ReadonlyMap<string, NormStatistics>
  /** Sets the codebooks, level by level, from what a batch leaves over. */
  begin(batch: Matrix.Matrix, cluster: Cluster): Effect.Effect<void, TensorError>
  /** One step of training; `step` counts from 1. */
  step(
    batch: Matrix.Matrix,
    optimizer: Optimizer.Optimizer,
    step: number,
    learningRate: number
  ): Effect.Effect<StepReport, TensorError>
  /** Nearest codes. */
  encode(rows: Matrix.Matrix): Effect.Effect<Codes, TensorError>
  /** The embeddings that codes stand for. */
  decode(codes: Codes): Effect.Effect<Matrix.Matrix, TensorError>
}

type Tensors = Readonly<Record<string, tf.Tensor>>

const codesName = (level: number) => `codes/${level}`
const meanName = (norm: string) => `mean/${norm}`
const varianceName = (norm: string) => `variance/${norm}`
const momentum = 0.1

const subtractStraightThrough = (residual: Matrix.Matrix, codebook: Float32Array, codes: Int32Array): Matrix.Matrix => {
  const data = new Float32Array(residual.data.length)
  for (let r = 0; r < residual.rows; r++) {
    for (let d = 0; d < residual.width; d++) {
      const value = residual.data[r * residual.width + d]!
      const moved = Math.fround(value + Math.fround(codebook[codes[r]! * residual.width + d]! - value))
      data[r * residual.width + d] = value - moved
    }
  }
  return { ...residual, data }
}

const squaredDistances = (rows: Matrix.Matrix, codebook: Float32Array): Matrix.Matrix => {
  const width = codebook.length / rows.width
  const data = new Float32Array(rows.rows * width)
  for (let r = 0; r < rows.rows; r++) {
    for (let k = 0; k < width; k++) {
      let sum = 0
      for (let d = 0; d < rows.width; d++) {
        sum += (rows.data[r * rows.width + d]! - codebook[k * rows.width + d]!) ** 2
      }
      data[r * width + k] = sum
    }
  }
  return { rows: rows.rows, width, data }
}

/** The code at the least distance of each row; the lowest wins a tie. */
const nearest = ({ data, rows, width }: Matrix.Matrix): Int32Array =>
  Int32Array.from({ length: rows }, (_, r) => {
    let best = 0
    for (let k = 1; k < width; k++) if (data[r * width + k]! < data[r * width + best]!) best = k
    return best
  })

/** A network for embeddings of `inputs` components, its weights drawn from the seed. */
export const make: (
  config: RqVaeConfig,
  inputs: number,
  seed: number
) => Effect.Effect<RqVae, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("RqVae.make")(
  function*(config, inputs, seed) {
    const runtime = yield* TensorRuntime
    const { network } = config
    const levels = network.codes.length
    const store = yield* ParameterStore.make(
      Network.parameters(network, inputs, Random.normal(seed, 0x2f5), Random.uniform(seed, 0x2f6))
    )
    const { buffer } = store
    const names = buffer.slots.map(({ name }) => name)
    const norms = Network.normNames(network)
    const statistics = new Map<string, NormStatistics>(norms.map((norm) => {
      const { size } = buffer.slots.find(({ name }) => name === `${norm}.weight`)!
      return [norm, { mean: new Float32Array(size), variance: new Float32Array(size).fill(1) }]
    }))
    const transported = network.codes.flatMap((_, level) => (config.sinkhorn[level] ?? 0) > 0 ? [level] : [])

    const specs = (chosen: ReadonlyArray<string>) =>
      Object.fromEntries(
        buffer.slots.filter(({ name }) => chosen.includes(name)).map(({ name, shape }) => [
          name,
          TensorProgram.float32(...shape)
        ])
      )
    const pick = (all: Tensors, chosen: ReadonlyArray<string>) =>
      Object.fromEntries(chosen.map((name) => [name, all[name]!]))
    const normSpecs = Object.fromEntries(
      [...statistics].flatMap(([norm, { mean }]) => [
        [meanName(norm), TensorProgram.float32(mean.length)],
        [varianceName(norm), TensorProgram.float32(mean.length)]
      ])
    )
    const statisticsOf = (all: Tensors): Network.ForwardOptions["statistics"] =>
      Object.fromEntries(norms.map((norm) => [norm, [all[meanName(norm)]!, all[varianceName(norm)]!] as const]))
    const normFeeds = () =>
      Object.fromEntries(
        [...statistics].flatMap(([norm, { mean, variance }]) => [
          [meanName(norm), TensorProgram.hostFloat32(mean, mean.length)],
          [varianceName(norm), TensorProgram.hostFloat32(variance, variance.length)]
        ])
      )

    const training = yield* runtime.compile(TensorProgram.make({
      name: "rqvae.step",
      inputs: {
        ...specs(names),
        "(x)": TensorProgram.float32("B", inputs),
        ...Object.fromEntries(transported.map((level) => [codesName(level), TensorProgram.int32("B")]))
      },
      body: (all: Tensors) => {
        const given = Object.fromEntries(transported.map((level) => [level, all[codesName(level)]!]))
        const { auxiliary, gradients, value } = Autodiff.withAuxiliary((weights) => {
          const output = Network.forward(network, weights, all["(x)"]!, { given })
          return {
            loss: output.loss,
            auxiliary: {
              "(reconstruction)": output.reconstructionLoss,
              ...Object.fromEntries(output.levels.map(({ codes }, level) => [`(codes)${level}`, codes])),
              ...Object.fromEntries(
                Object.entries(output.statistics).flatMap(([norm, [mean, variance]]) => [
                  [meanName(norm), mean],
                  [varianceName(norm), variance]
                ])
              )
            }
          }
        }, pick(all, names))
        return { "(loss)": value, ...auxiliary, ...gradients }
      }
    }))
    const encoderNames = names.filter((name) => name.startsWith("encoder."))
    const encoderInputs = { ...specs(encoderNames), x: TensorProgram.float32("B", inputs) }
    const toLatent = yield* runtime.compile(TensorProgram.make({
      name: "rqvae.latent",
      inputs: encoderInputs,
      body: (all: Tensors) => ({
        encoded: Network.runPart(network, "encoder", pick(all, encoderNames), all["x"]!, {}, {})
      })
    }))
    const codebookNames = network.codes.map((_, level) => Network.codebookName(level))
    const toCodes = yield* runtime.compile(TensorProgram.make({
      name: "rqvae.encode",
      inputs: { ...encoderInputs, ...specs(codebookNames), ...normSpecs },
      body: (all: Tensors) => {
        const statistics = statisticsOf(all)
        const encoded = Network.runPart(network, "encoder", pick(all, encoderNames), all["x"]!, { statistics }, {})
        const found = Network.quantize(network, pick(all, codebookNames), encoded)
        return Object.fromEntries(found.map(({ codes }, level) => [codesName(level), codes]))
      }
    }))
    const decoderNames = names.filter((name) => name.startsWith("decoder."))
    const toRows = yield* runtime.compile(TensorProgram.make({
      name: "rqvae.decode",
      inputs: {
        ...specs(decoderNames),
        ...specs(codebookNames),
        ...normSpecs,
        ...Object.fromEntries(network.codes.map((_, level) => [codesName(level), TensorProgram.int32("B")]))
      },
      body: (all: Tensors) => {
        const latent = network.codes.map((_, level) =>
          (all[Network.codebookName(level)]!).gather(all[codesName(level)]! as tf.Tensor1D)
        ).reduce((sum, quantized) => sum.add(quantized))
        return {
          rows: Network.runPart(
            network,
            "decoder",
            pick(all, decoderNames),
            latent,
            { statistics: statisticsOf(all) },
            {}
          )
        }
      }
    }))

    const weightsOf = (chosen: ReadonlyArray<string>) =>
      Effect.map(store.weights, (weights) => Object.fromEntries(chosen.map((name) => [name, weights[name]!])))
    const fed = ({ data, rows, width }: Matrix.Matrix) => TensorProgram.hostFloat32(data, rows, width)
    const interleave = (columns: ReadonlyArray<Int32Array>): Codes => {
      const codes = new Int32Array(columns[0]!.length * levels)
      for (const [level, column] of columns.entries()) {
        for (let r = 0; r < column.length; r++) codes[r * levels + level] = column[r]!
      }
      return { levels, codes }
    }

    const latentOf = Effect.fnUntraced(function*(batch: Matrix.Matrix) {
      const outputs = yield* toLatent.run({ ...(yield* weightsOf(encoderNames)), x: fed(batch) })
      const { data, shape } = yield* outputs.encoded.read
      return { rows: shape[0]!, width: shape[1]!, data: (data as Float32Array).slice() }
    }, Effect.scoped)

    /** Codes by transport where a level asks for it, with the residuals of the levels before. */
    const transport = Effect.fnUntraced(function*(batch: Matrix.Matrix) {
      yield* store.pull
      let residual: Matrix.Matrix = yield* latentOf(batch)
      const assigned: Array<Int32Array> = []
      for (let level = 0; level < levels; level++) {
        const codebook = buffer.view("weights", Network.codebookName(level))
        const distances = squaredDistances(residual, codebook)
        const epsilon = config.sinkhorn[level] ?? 0
        const codes = epsilon > 0
          ? Sinkhorn.assign(distances, epsilon, config.sinkhornIterations)
          : nearest(distances)
        assigned.push(codes)
        residual = subtractStraightThrough(residual, codebook, codes)
      }
      return assigned
    })

    const learn = (norm: string, mean: Float32Array, variance: Float32Array, rows: number) => {
      const running = statistics.get(norm)!
      const unbiased = rows / Math.max(1, rows - 1)
      for (let i = 0; i < mean.length; i++) {
        running.mean[i] = (1 - momentum) * running.mean[i]! + momentum * mean[i]!
        running.variance[i] = (1 - momentum) * running.variance[i]! + momentum * variance[i]! * unbiased
      }
    }

    const rqVae: RqVae = {
      store,
      statistics,
      begin: Effect.fn("RqVae.begin")(function*(batch, cluster) {
        let residual: Matrix.Matrix = yield* latentOf(batch)
        for (let level = 0; level < levels; level++) {
          const centres = yield* cluster(residual, level)
          const codebook = buffer.view("weights", Network.codebookName(level))
          // Fewer distinct rows than codes: the codes beyond them stay where they are.
          codebook.set(centres.data)
          residual = subtractStraightThrough(residual, codebook, nearest(squaredDistances(residual, codebook)))
        }
        yield* store.push
      }),
      step: Effect.fn("RqVae.step")(function*(batch, optimizer, step, learningRate) {
        const assigned = transported.length === 0 ? [] : yield* transport(batch)
        const [outputs] = yield* store.differentiate(training, [{
          feeds: {
            "(x)": fed(batch),
            ...Object.fromEntries(
              transported.map((level) => [codesName(level), TensorProgram.hostInt32(assigned[level]!, batch.rows)])
            )
          }
        }])
        const loss = (yield* outputs!["(loss)"]!.read).data[0]!
        if (!Number.isFinite(loss)) {
          return yield* new TensorError({ reason: new NonFinite({ tensor: "RQ-VAE loss", step, value: String(loss) }) })
        }
        const columns: Array<Int32Array> = []
        for (let level = 0; level < levels; level++) {
          columns.push((yield* outputs![`(codes)${level}`]!.read).data as Int32Array)
        }
        for (const norm of norms) {
          const mean = yield* outputs![meanName(norm)]!.read
          const variance = yield* outputs![varianceName(norm)]!.read
          learn(norm, mean.data as Float32Array, variance.data as Float32Array, batch.rows)
        }
        const reconstructionLoss = (yield* outputs!["(reconstruction)"]!.read).data[0]!
        const { gradientNorm } = yield* store.apply(optimizer, step, learningRate)
        return { loss, reconstructionLoss, gradientNorm, codes: interleave(columns) }
      }, Effect.scoped),
      encode: Effect.fn("RqVae.encode")(function*(rows) {
        const weights = yield* weightsOf([...encoderNames, ...codebookNames])
        const columns = network.codes.map(() => new Int32Array(rows.rows))
        for (let from = 0; from < rows.rows; from += config.batch) {
          const count = Math.min(config.batch, rows.rows - from)
          const x = TensorProgram.hostFloat32(
            rows.data.subarray(from * rows.width, (from + count) * rows.width),
            count,
            rows.width
          )
          yield* Effect.scoped(Effect.gen(function*() {
            const outputs = yield* toCodes.run({ ...weights, ...normFeeds(), x })
            for (const [level, column] of columns.entries()) {
              column.set((yield* outputs[codesName(level)]!.read).data as Int32Array, from)
            }
          }))
        }
        return interleave(columns)
      }),
      decode: Effect.fn("RqVae.decode")(function*({ codes }) {
        const rows = codes.length / levels
        const outputs = yield* toRows.run({
          ...(yield* weightsOf([...decoderNames, ...codebookNames])),
          ...normFeeds(),
          ...Object.fromEntries(network.codes.map((_, level) => [
            codesName(level),
            TensorProgram.hostInt32(Int32Array.from({ length: rows }, (_, r) => codes[r * levels + level]!), rows)
          ]))
        })
        return { rows, width: inputs, data: ((yield* outputs.rows.read).data as Float32Array).slice() }
      }, Effect.scoped)
    }
    return rqVae
  }
)

/** The rate of step `step` (from 0): a line from 0 over the warm-up, then the peak, or a line to 0 at `total`. */
export const rateAt = (config: RqVaeConfig, step: number, warmup: number, total: number): number => {
  if (step < warmup) return config.learningRate * step / warmup
  return config.learningRate *
    (config.decay === "constant" ? 1 : Math.max(0, (total - step) / Math.max(1, total - warmup)))
}

/** The optimizer of the settings: AdamW on all parameters, clipped. */
export const optimizerOf = (config: RqVaeConfig): Optimizer.Optimizer =>
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

const collisionRate = ({ codes, levels }: Codes): number => {
  const sids = Array.from({ length: codes.length / levels }, (_, r) => codes.subarray(r * levels, (r + 1) * levels))
  return Diagnostics.measure(sids, []).collisionRate
}

/** Trains on embeddings [N, D]; afterwards the network has the weights with the fewest collisions. */
export const train: (
  config: RqVaeConfig,
  embeddings: Matrix.Matrix,
  seed: number
) => Effect.Effect<
  { readonly rqVae: RqVae; readonly report: RqVaeReport },
  TensorError | SidError,
  TensorRuntime | Scope.Scope | Progress
> = Effect.fn("RqVae.train")(function*(config, embeddings, seed) {
  yield* RqKMeans.check(embeddings)
  const { rows, width } = embeddings
  const rqVae = yield* make(config, width, seed)
  const { buffer } = rqVae.store
  const optimizer = optimizerOf(config)
  const size = Math.min(config.batch, rows)
  const perEpoch = Math.ceil(rows / size)
  const [warmup, total] = [config.warmupEpochs * perEpoch, config.epochs * perEpoch]
  const tracker = (yield* Progress).start("rq-vae", config.epochs, "epochs")
  const take = (order: Int32Array): Matrix.Matrix => {
    const data = new Float32Array(order.length * width)
    for (const [at, row] of order.entries()) data.set(Matrix.row(embeddings, row), at * width)
    return { rows: order.length, width, data }
  }

  if (config.kMeansStart) {
    const assign = yield* KMeans.assigner
    yield* rqVae.begin(
      take(Random.permutation(rows, seed, 0).subarray(0, size)),
      (residual, level) =>
        KMeans.train(assign, residual, Math.min(config.network.codes[level]!, residual.rows), {
          maximumIterations: config.kMeansIterations,
          tolerance: 1e-4,
          starts: 1,
          seed: seed * 31 + level
        }).pipe(Effect.map(({ centres }) => centres))
    )
  }

  let [best, bestEpoch, loss, step] = [Infinity, 0, 0, 0]
  let kept = buffer.flat("weights").slice()
  let keptStatistics = new Map(rqVae.statistics)
  for (let epoch = 1; epoch <= config.epochs; epoch++) {
    const order = Random.permutation(rows, seed, epoch)
    loss = 0
    for (let from = 0; from < rows; from += size) {
      const rate = rateAt(config, step, warmup, total)
      const report = yield* rqVae.step(take(order.subarray(from, from + size)), optimizer, step + 1, rate)
      step++
      loss += report.loss
    }
    if (epoch % config.evaluationEpochs === 0 || epoch === config.epochs) {
      const rate = collisionRate(yield* rqVae.encode(embeddings))
      if (rate < best) {
        best = rate
        bestEpoch = epoch
        yield* rqVae.store.pull
        kept = buffer.flat("weights").slice()
        keptStatistics = new Map([...rqVae.statistics].map(([norm, { mean, variance }]) => [
          norm,
          { mean: mean.slice(), variance: variance.slice() }
        ]))
      }
    }
    tracker.update(epoch, `loss ${loss.toFixed(4)}, fewest collisions ${best === Infinity ? "-" : best.toFixed(4)}`)
  }
  buffer.flat("weights").set(kept)
  for (const [norm, { mean, variance }] of keptStatistics) {
    rqVae.statistics.get(norm)!.mean.set(mean)
    rqVae.statistics.get(norm)!.variance.set(variance)
  }
  yield* rqVae.store.push
  tracker.finish(`collisions ${best.toFixed(4)} after epoch ${bestEpoch}`)
  return { rqVae, report: { epochs: config.epochs, loss, collisionRate: best, bestEpoch } }
})
