/**
 * An RQ-VAE in training or in use: it steps, encodes and decodes.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Matrix from "../../matrix/Matrix.ts"
import type * as Optimizer from "../../optimizer/Optimizer.ts"
import * as ParameterStore from "../../optimizer/ParameterStore.ts"
import * as Random from "../../statistics/Random.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import { NonFinite, TensorError } from "../../tensor/TensorError.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as Sinkhorn from "../clustering/Sinkhorn.ts"
import * as SquaredDistances from "../clustering/SquaredDistances.ts"
import * as CodebookMeans from "../codebook/CodebookMeans.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Codes from "../Codes.ts"
import { type Model, type ModelTensor } from "../Quantizer.ts"
import * as Network from "./RqVaeNetwork.ts"

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
  /** Learning rate after the warm-up: constant, or falling linearly to 0. @default constant */
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
  evaluationEpochs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(50))),
  /**
   * Input of the network: rows as they are, components standardised to mean 0 and deviation 1, or principal components
   * standardised so.
   * @default as-is
   */
  input: Schema.Literals(["as-is", "standardized", "pca"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("as-is" as const))
  ),
  /** Share of the past in running means of codebooks. @default 0.99 */
  meansDecay: NonNegative.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.99))),
  /** Epochs after which an unused code is reinitialised from a row of large error; 0 for never. @default 0 */
  restartEpochs: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /**
   * Choice of the last level's codes in use: the nearest, or distinct ones for the rows of one call that agree on all
   * codes before. @default nearest
   */
  lastLevel: Schema.Literals(["nearest", "distinct"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("nearest" as const))
  ),
  /** Which evaluated weights are kept: those with the fewest collisions, or with the least error. @default collisions */
  keep: Schema.Literals(["collisions", "error"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("collisions" as const))
  )
}) {}

/** Figures of one step. */
export interface StepReport {
  readonly loss: number
  readonly reconstructionLoss: number
  readonly gradientNorm: number
  /** Codes of the batch, [B, L]. */
  readonly codes: Codes.Codes
}

/** Running statistics of a normalisation. */
export interface NormStatistics {
  readonly mean: Float32Array
  readonly variance: Float32Array
}

/** Function that returns the first centres [K, D] of a level's codebook from the level's residuals [N, D]. */
export type Cluster = (residual: Matrix.Matrix, level: number) => Effect.Effect<Matrix.Matrix, TensorError>

/** A network in training or in use. */
export interface RqVae {
  readonly store: ParameterStore.ParameterStore
  readonly statistics: ReadonlyMap<string, NormStatistics>
  /** Initialises the codebooks, level by level, from the residuals of a batch. */
  begin(batch: Matrix.Matrix, cluster: Cluster): Effect.Effect<void, TensorError>
  /** Initialises the codebooks with given ones. */
  beginWith(codebooks: ReadonlyArray<Matrix.Matrix>): Effect.Effect<void, TensorError>
  /** Reinitialises unused codes from batch rows, sampled in proportion to squared error; returns how many. */
  restart(
    batch: Matrix.Matrix,
    used: ReadonlyArray<ArrayLike<number>>,
    next: () => number
  ): Effect.Effect<number, TensorError>
  /** Takes one step of training. */
  step(
    batch: Matrix.Matrix,
    optimizer: Optimizer.Optimizer,
    learningRate: number
  ): Effect.Effect<StepReport, TensorError>
  /** Returns the nearest codes [N, L] of rows. */
  encode(rows: Matrix.Matrix): Effect.Effect<Codes.Codes, TensorError>
  /** Decodes codes to embeddings [N, D]. */
  decode(codes: Codes.Codes): Effect.Effect<Matrix.Matrix, TensorError>
  /** Squared distances [B, K] from each row's residual at `level` to the codes of that level. */
  distances(rows: Matrix.Matrix, codes: Codes.Codes, level: number): Effect.Effect<Matrix.Matrix, TensorError>
  /** Weights and statistics as plain data. */
  readonly save: Effect.Effect<Model, TensorError>
  /** Restores saved weights and statistics. */
  load(model: Model): Effect.Effect<void, TensorError>
}

type Tensors = Readonly<Record<string, tf.Tensor>>

const codesName = (level: number) => `codes/${level}`
const meanName = (norm: string) => `mean/${norm}`
const varianceName = (norm: string) => `variance/${norm}`
const momentum = 0.1

/** An index drawn with probability proportional to its weight. */
const drawn = (weights: Float64Array, next: () => number): number => {
  let left = next() * weights.reduce((sum, weight) => sum + weight, 0)
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!
    if (left < 0) return i
  }
  return Math.floor(next() * weights.length)
}

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

const asMatrix = (codebook: Float32Array, width: number): Matrix.Matrix => ({
  rows: codebook.length / width,
  width,
  data: codebook
})

/** Builds a network for embeddings of `inputs` components with weights drawn from the seed. */
export const make: (
  config: RqVaeConfig,
  inputs: number,
  seed: number
) => Effect.Effect<RqVae, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("RqVae.make")(
  function*(config, inputs, seed) {
    const runtime = yield* TensorRuntime
    const scope = yield* Effect.scope
    /** Compiled when it is first run: a network that only encodes has no use for a step. */
    const compiled = <I extends string, O extends string>(program: TensorProgram.TensorProgram<I, O>) =>
      Effect.cached(runtime.compile(program).pipe(Scope.provide(scope)))
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

    const means = network.codebookUpdate === "means"
      ? network.codes.map((codes) => CodebookMeans.make(codes, network.width, config.meansDecay))
      : undefined
    const codebookOf = (level: number) => buffer.view("weights", Network.codebookName(level))

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

    const training = yield* compiled(TensorProgram.make({
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
              ...(means === undefined
                ? {}
                : Object.fromEntries(output.levels.map(({ residual }, level) => [`(residual)${level}`, residual]))),
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
    const toLatent = yield* compiled(TensorProgram.make({
      name: "rqvae.latent",
      inputs: encoderInputs,
      body: (all: Tensors) => ({
        encoded: Network.runPart(network, "encoder", pick(all, encoderNames), all["x"]!, {}, {})
      })
    }))
    const codebookNames = network.codes.map((_, level) => Network.codebookName(level))
    const toCodes = yield* compiled(TensorProgram.make({
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
    const toRows = yield* compiled(TensorProgram.make({
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
      Effect.map(store.weights, ({ feeds }) => Object.fromEntries(chosen.map((name) => [name, feeds[name]!])))
    const fed = ({ data, rows, width }: Matrix.Matrix) => TensorProgram.hostFloat32(data, rows, width)
    const latentOf = Effect.fnUntraced(function*(batch: Matrix.Matrix) {
      const outputs = yield* (yield* toLatent).run({ ...(yield* weightsOf(encoderNames)), x: fed(batch) })
      const { data, shape } = yield* outputs.encoded.read
      return { rows: shape[0]!, width: shape[1]!, data: (data as Float32Array).slice() }
    }, Effect.scoped)

    const distancesTo = (rows: Matrix.Matrix, codebook: Float32Array): Matrix.Matrix => {
      const centres = asMatrix(codebook, rows.width)
      return network.similarity === "cosine"
        ? SquaredDistances.exact(Matrix.normalizeRows(rows), Matrix.normalizeRows(centres))
        : SquaredDistances.exact(rows, centres)
    }

    /** Codes by transport where a level asks for it, with the residuals of the levels before. */
    const transport = Effect.fnUntraced(function*(batch: Matrix.Matrix) {
      yield* store.pull
      let residual: Matrix.Matrix = yield* latentOf(batch)
      const assigned: Array<Int32Array> = []
      for (let level = 0; level < levels; level++) {
        const codebook = codebookOf(level)
        const distances = distancesTo(residual, codebook)
        const epsilon = config.sinkhorn[level] ?? 0
        const codes = epsilon > 0
          ? Sinkhorn.assign(distances, epsilon, config.sinkhornIterations)
          : ResidualCodebooks.nearest(distances)
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
          const codebook = codebookOf(level)
          // Fewer distinct rows than codes: the codes beyond them stay where they are.
          codebook.set(centres.data)
          means?.[level]!.begin(codebook)
          residual = subtractStraightThrough(
            residual,
            codebook,
            ResidualCodebooks.nearest(distancesTo(residual, codebook))
          )
        }
        yield* store.push
      }),
      beginWith: (codebooks) => {
        for (const [level, { data }] of codebooks.entries()) {
          codebookOf(level).set(data)
          means?.[level]!.begin(codebookOf(level))
        }
        return store.push
      },
      restart: Effect.fn("RqVae.restart")(function*(batch, used, next) {
        yield* store.pull
        let residual: Matrix.Matrix = yield* latentOf(batch)
        let moved = 0
        for (let level = 0; level < levels; level++) {
          const codebook = codebookOf(level)
          const distances = distancesTo(residual, codebook)
          const codes = ResidualCodebooks.nearest(distances)
          const cost = Float64Array.from(
            codes,
            (code, row) => Math.max(0, distances.data[row * distances.width + code]!)
          )
          for (let code = 0; code < distances.width; code++) {
            if (used[level]![code]! > 0) continue
            const row = drawn(cost, next)
            cost[row] = 0
            codebook.set(Matrix.row(residual, row), code * network.width)
            means?.[level]!.place(code, Matrix.row(residual, row))
            moved++
          }
          residual = subtractStraightThrough(residual, codebook, codes)
        }
        yield* store.push
        return moved
      }),
      step: Effect.fn("RqVae.step")(function*(batch, optimizer, learningRate) {
        const assigned = transported.length === 0 ? [] : yield* transport(batch)
        const [outputs] = yield* store.differentiate(yield* training, [{
          feeds: {
            "(x)": fed(batch),
            ...Object.fromEntries(
              transported.map((level) => [codesName(level), TensorProgram.hostInt32(assigned[level]!, batch.rows)])
            )
          }
        }])
        const loss = (yield* outputs!["(loss)"]!.read).data[0]!
        if (!Number.isFinite(loss)) {
          const step = yield* store.version
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
        const { gradientNorm } = yield* store.apply(optimizer, learningRate)
        if (means !== undefined) {
          yield* store.pull
          for (const [level, column] of columns.entries()) {
            const residual = (yield* outputs![`(residual)${level}`]!.read).data as Float32Array
            means[level]!.follow(asMatrix(residual, network.width), column, codebookOf(level))
          }
          yield* store.push
        }
        return { loss, reconstructionLoss, gradientNorm, codes: Codes.fromColumns(columns) }
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
            const outputs = yield* (yield* toCodes).run({ ...weights, ...normFeeds(), x })
            for (const [level, column] of columns.entries()) {
              column.set((yield* outputs[codesName(level)]!.read).data as Int32Array, from)
            }
          }))
        }
        return Codes.fromColumns(columns)
      }),
      decode: Effect.fn("RqVae.decode")(function*({ codes }) {
        const rows = codes.length / levels
        const outputs = yield* (yield* toRows).run({
          ...(yield* weightsOf([...decoderNames, ...codebookNames])),
          ...normFeeds(),
          ...Object.fromEntries(network.codes.map((_, level) => [
            codesName(level),
            TensorProgram.hostInt32(Int32Array.from({ length: rows }, (_, r) => codes[r * levels + level]!), rows)
          ]))
        })
        return { rows, width: inputs, data: ((yield* outputs.rows.read).data as Float32Array).slice() }
      }, Effect.scoped),
      distances: Effect.fn("RqVae.distances")(function*(rows, codes, level) {
        yield* store.pull
        let residual: Matrix.Matrix = yield* latentOf(rows)
        for (let l = 0; l < level; l++) {
          residual = subtractStraightThrough(residual, codebookOf(l), ResidualCodebooks.column(codes, l))
        }
        return distancesTo(residual, codebookOf(level))
      }),
      save: Effect.map(store.pull, () => {
        const tensors = new Map<string, ModelTensor>()
        for (const { name, shape } of buffer.slots) {
          tensors.set(name, { shape, data: buffer.view("weights", name).slice() })
        }
        for (const [norm, { mean, variance }] of statistics) {
          tensors.set(meanName(norm), { shape: [mean.length], data: mean.slice() })
          tensors.set(varianceName(norm), { shape: [variance.length], data: variance.slice() })
        }
        return { codebookSizes: network.codes, tensors }
      }),
      load: ({ tensors }) => {
        for (const { name } of buffer.slots) buffer.view("weights", name).set(tensors.get(name)!.data)
        for (const [norm, { mean, variance }] of statistics) {
          mean.set(tensors.get(meanName(norm))!.data)
          variance.set(tensors.get(varianceName(norm))!.data)
        }
        return store.push
      }
    }
    return rqVae
  }
)
