/**
 * RQ-VAE as a quantizer, plain or with remedies against codebook collapse.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as ScopedRef from "effect/ScopedRef"
import * as Semaphore from "effect/Semaphore"
import * as Matrix from "../../matrix/Matrix.ts"
import * as Pca from "../../matrix/Pca.ts"
import * as Standardize from "../../matrix/Standardize.ts"
import { type Progress } from "../../run/Progress.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Codes from "../Codes.ts"
import * as OptimalReassignment from "../collision/OptimalReassignment.ts"
import * as Quantizer from "../Quantizer.ts"
import * as RqVaeModel from "../rqvae/RqVaeModel.ts"
import * as Network from "../rqvae/RqVaeNetwork.ts"
import * as RqVaeTrainer from "../rqvae/RqVaeTrainer.ts"
import { type SidError } from "../SidError.ts"

const inputMean = "input.mean"
const inputDeviation = "input.deviation"
const inputRotation = "input.components"

/** Preprocessing of the network's input: rotation to principal components, then standardisation. */
interface InputMap {
  readonly pca?: Pca.Axes | undefined
  readonly standardization?: Standardize.Standardization | undefined
}

/** Fits the preprocessing of the settings to rows. */
const fitInput = (embeddings: Matrix.Matrix, input: RqVaeModel.RqVaeConfig["input"]): InputMap => {
  if (input === "as-is") return {}
  if (input === "standardized") return { standardization: Standardize.measure(embeddings) }
  const pca = Pca.fit(embeddings, embeddings.width)
  return { pca, standardization: Standardize.measure(Pca.project(embeddings, pca)) }
}

const inputTensors = ({ pca, standardization }: InputMap): ReadonlyArray<readonly [string, Quantizer.ModelTensor]> => {
  if (standardization === undefined) return []
  const { deviation, mean } = standardization
  return [
    [inputMean, { shape: [mean.length], data: mean }],
    [inputDeviation, { shape: [deviation.length], data: deviation }],
    ...(pca === undefined ? [] : [
      [`${inputRotation}.mean`, { shape: [pca.mean.length], data: Float32Array.from(pca.mean) }] as const,
      [inputRotation, {
        shape: [pca.components.length, pca.mean.length],
        data: Float32Array.from(Pca.flatten(pca))
      }] as const
    ])
  ]
}

const inputOf = ({ tensors }: Quantizer.Model): InputMap => {
  const mean = tensors.get(inputMean)
  if (mean === undefined) return {}
  const standardization = { mean: mean.data, deviation: tensors.get(inputDeviation)!.data }
  const rows = tensors.get(inputRotation)
  if (rows === undefined) return { standardization }
  return {
    standardization,
    pca: {
      mean: Float64Array.from(tensors.get(`${inputRotation}.mean`)!.data),
      components: Pca.componentsOf(rows.data, rows.shape[1]!)
    }
  }
}

/** Preprocesses rows for the network. */
const applyInput = (embeddings: Matrix.Matrix, { pca, standardization }: InputMap): Matrix.Matrix => {
  const rotated = pca === undefined ? embeddings : Pca.project(embeddings, pca)
  return standardization === undefined ? rotated : Standardize.apply(rotated, standardization)
}

/** Maps the network's output back to rows of embeddings. */
const undoInput = (rows: Matrix.Matrix, { pca, standardization }: InputMap): Matrix.Matrix => {
  const wide = standardization === undefined ? rows : Standardize.undo(rows, standardization)
  return pca === undefined ? wide : Pca.reconstruct(wide, pca)
}

const seen = (embeddings: Matrix.Matrix, model: Quantizer.Model): Matrix.Matrix =>
  applyInput(embeddings, inputOf(model))

type Failure = SidError | TensorError

interface Loaded {
  readonly model: Quantizer.Model
  readonly rqVae: RqVaeModel.RqVae
}

/** Parts of a quantizer over the network. */
export interface NetworkQuantizer {
  readonly name: string
  readonly id: string
  readonly seed: number
  /** Returns the settings for N embeddings of D components. */
  readonly configFor: (rows: number, width: number, codes: ReadonlyArray<number>) => RqVaeModel.RqVaeConfig
  readonly shape: Quantizer.SidShape
  /** Returns the initial codebooks. @default k-means, as the settings have it */
  readonly codebooks?: (items: Quantizer.Items) => Effect.Effect<ResidualCodebooks.Codebooks, Failure>
}

/** Builds a quantizer whose model is a network. */
export const make = Effect.fn("RqVaeQuantizer.make")(function*(
  { codebooks, configFor, id, name, seed, shape }: NetworkQuantizer
) {
  const services = yield* Effect.context<TensorRuntime | Progress>()
  const within = <A, E>(effect: Effect.Effect<A, E, TensorRuntime | Progress | Scope.Scope>) =>
    effect.pipe(Effect.scoped, Effect.provideContext(services))
  // A policy for collisions asks for distances block by block: the network of the last model stays as it is.
  const held = yield* ScopedRef.make<Loaded | undefined>(() => undefined)
  const loading = yield* Semaphore.make(1)
  const using = <A>(model: Quantizer.Model, use: (rqVae: RqVaeModel.RqVae) => Effect.Effect<A, Failure>) =>
    Effect.gen(function*() {
      if ((yield* ScopedRef.get(held))?.model !== model) {
        const width = widthOf(model)
        const fresh = Effect.gen(function*() {
          const rqVae = yield* RqVaeModel.make(configFor(0, width, model.codebookSizes), width, seed)
          yield* rqVae.load(model)
          return { model, rqVae }
        }).pipe(Effect.provideContext(services))
        yield* ScopedRef.set(held, fresh)
      }
      return yield* use((yield* ScopedRef.get(held))!.rqVae)
    }).pipe(loading.withPermit)
  return Quantizer.make({
    name,
    id,
    train: Effect.fn("RqVaeQuantizer.train")(function*(items) {
      yield* ResidualCodebooks.check(items.embeddings)
      const { rows, width } = items.embeddings
      const begin = codebooks === undefined ? undefined : yield* codebooks(items)
      const sizes = begin?.map((codebook) => codebook.rows) ??
        Array.from({ length: shape.levels }, () => Quantizer.codesFor(shape, rows))
      const config = configFor(rows, width, sizes)
      const input = fitInput(items.embeddings, config.input)
      const given = applyInput(items.embeddings, input)
      const { rqVae } = yield* RqVaeTrainer.train(config, given, seed, { codebooks: begin })
      const saved = yield* rqVae.save
      const tensors = new Map([...saved.tensors, ...inputTensors(input)])
      return { model: { codebookSizes: sizes, tensors }, codes: yield* codesOf(rqVae, config, given) }
    }, within),
    encode: Effect.fn("RqVaeQuantizer.encode")(function*({ embeddings }, model) {
      yield* ResidualCodebooks.checkWidth(embeddings, widthOf(model))
      const config = configFor(embeddings.rows, embeddings.width, model.codebookSizes)
      return yield* using(model, (rqVae) => codesOf(rqVae, config, seen(embeddings, model)))
    }),
    decode: Effect.fn("RqVaeQuantizer.decode")(function*(codes, model) {
      return undoInput(yield* using(model, (rqVae) => rqVae.decode(codes)), inputOf(model))
    }),
    distances: Effect.fn("RqVaeQuantizer.distances")(({ embeddings }, codes, level, model) =>
      using(model, (rqVae) => rqVae.distances(seen(embeddings, model), codes, level))
    )
  })
})

/** Encodes rows, with distinct last codes where the settings ask for them. */
const codesOf = Effect.fnUntraced(
  function*(rqVae: RqVaeModel.RqVae, config: RqVaeModel.RqVaeConfig, rows: Matrix.Matrix) {
    const codes = yield* rqVae.encode(rows)
    if (config.lastLevel === "nearest") return codes
    const { levels } = codes
    const { sids } = yield* OptimalReassignment.distinct(
      Codes.rowsOf(codes),
      config.network.codes[levels - 1]!,
      (chosen, prefixes, level) => {
        const part: Codes.Codes = { levels, codes: new Int32Array(chosen.length * levels) }
        for (const [at, prefix] of prefixes.entries()) part.codes.set(prefix, at * levels)
        return rqVae.distances(Matrix.take(rows, chosen), part, level)
      }
    )
    return { levels, codes: Int32Array.from(sids.flatMap((sid) => [...sid])) }
  }
)

/** Returns the width D of the embeddings a model was trained on: the input of its first map. */
const widthOf = ({ tensors }: Quantizer.Model): number =>
  [...tensors].find(([name]) => name.startsWith("encoder.") && name.endsWith(".weight"))![1].shape[1]!

/** Settings of MiniOneRec: its network, without remedies. */
export const plain: typeof RqVaeModel.RqVaeConfig.Encoded = {}

/**
 * Settings against codebook collapse: skip connections, a k-means start, codes that learn from the reconstruction too,
 * restarts of unused codes, and last codes that separate items which agree on the others.
 */
export const stabilized: typeof RqVaeModel.RqVaeConfig.Encoded = {
  network: { layers: [256], skip: "both", codebookUpdate: "reconstruction" },
  epochs: 200,
  batch: 512,
  learningRate: 1e-3,
  warmupEpochs: 5,
  decay: "linear",
  restartEpochs: 10,
  evaluationEpochs: 20,
  lastLevel: "distinct",
  keep: "error"
}

/**
 * Provides the quantizer; the SIDs' shape replaces the network's number of codes.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Schema from "effect/Schema"
 * import * as assert from "node:assert/strict"
 * import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
 * import { Progress } from "sidereal/run/Progress"
 * import { itemsOf, Quantizer, SidShape } from "sidereal/sid/Quantizer"
 * import * as RqVae from "sidereal/sid/quantizer/RqVae"
 * import { RqVaeConfig } from "sidereal/sid/rqvae/RqVaeModel"
 *
 * const network = { ...RqVae.stabilized.network, layers: [16], width: 4 }
 * const config = Schema.decodeSync(RqVaeConfig)({ ...RqVae.stabilized, network, epochs: 5 })
 * const shape = Schema.decodeSync(SidShape)({ levels: 2, codes: 4 })
 * const items = itemsOf({ rows: 40, width: 8, data: Float32Array.from({ length: 320 }, (_, i) => Math.sin(i * i)) })
 *
 * const program = Effect.gen(function*() {
 *   const quantizer = yield* Quantizer
 *   const { codes, model } = yield* quantizer.train(items)
 *   return { codes, again: yield* quantizer.encode(items, model) }
 * })
 * const services = Layer.merge(OnnxRuntime.layerCpu(), Progress.layerSilent)
 * const { again, codes } = await Effect.runPromise(
 *   program.pipe(Effect.provide(RqVae.layer(config, shape, 1).pipe(Layer.provide(services))))
 * )
 * assert.deepEqual(again, codes)
 * ```
 */
export const layer = (
  config: RqVaeModel.RqVaeConfig,
  shape: Quantizer.SidShape,
  seed: number,
  name = "rq-vae"
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime | Progress> =>
  Layer.effect(
    Quantizer.Quantizer,
    make({
      name,
      id: `${name}:${JSON.stringify([config, shape, seed])}`,
      seed,
      shape,
      configFor: (_, width, codes) =>
        new RqVaeModel.RqVaeConfig({
          ...config,
          network: new Network.NetworkConfig({
            ...config.network,
            codes,
            width: config.network.skip === "none" ? config.network.width : width
          })
        })
    })
  )
