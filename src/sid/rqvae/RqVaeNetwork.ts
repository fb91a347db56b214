/**
 * The network of RQ-VAE (Lee et al. 2022, Rajput et al. 2023) as MiniOneRec builds it: an encoder, L residual codebooks
 * with straight-through gradients, the mirrored decoder.
 *
 * Because a residual subtracts the straight-through value, its gradient is zero: the encoder is pulled to its codes by
 * the first level alone, and every codebook is trained by its own level. Differs from the paper, which sums the levels'
 * losses: they are averaged, as MiniOneRec does.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Linear from "../../tensor/Linear.ts"
import { type ParameterSpec, type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as StopGradient from "../../tensor/StopGradient.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const withDefault = <A>(value: A) => Effect.succeed(value)

/** The shape of the network and its loss. */
export class NetworkConfig extends Schema.Class<NetworkConfig>("sidereal/sid/NetworkConfig")({
  /** Widths between the embedding and the code space. @default 2048 1024 512 256 128 64 */
  layers: Schema.Array(Count).pipe(Schema.withDecodingDefaultKey(withDefault([2048, 1024, 512, 256, 128, 64]))),
  /** Components of the code space, d. @default 32 */
  width: Count.pipe(Schema.withDecodingDefaultKey(withDefault(32))),
  /** K of every level. @default 256 256 256 */
  codes: Schema.Array(Count).pipe(Schema.withDecodingDefaultKey(withDefault([256, 256, 256]))),
  /** Batch normalisation before every rectifier. @default false */
  batchNorm: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(withDefault(false))),
  /** Reconstruction by mean squares or by mean absolute differences. @default mse */
  reconstruction: Schema.Literals(["mse", "l1"]).pipe(Schema.withDecodingDefaultKey(withDefault("mse" as const))),
  /** Weight of the commitment in a level's loss. @default 0.25 */
  beta: Schema.Finite.pipe(Schema.withDecodingDefaultKey(withDefault(0.25))),
  /** Weight of the levels' loss beside the reconstruction. @default 1 */
  quantWeight: Schema.Finite.pipe(Schema.withDecodingDefaultKey(withDefault(1))),
  /**
   * Parts with a skip connection around their map, which starts at zero: RQ-KMeans+ has `encoder`, its code space is that
   * of the embeddings. @default none
   */
  skip: Schema.Literals(["none", "encoder", "both"]).pipe(
    Schema.withDecodingDefaultKey(withDefault("none" as const))
  ),
  /** Gradient through a level: straight through, or rotated and scaled with it (Fifty et al. 2024). @default straight-through */
  estimator: Schema.Literals(["straight-through", "rotation"]).pipe(
    Schema.withDecodingDefaultKey(withDefault("straight-through" as const))
  ),
  /** The nearest code by distance, or by angle (Yu et al. 2022). @default euclidean */
  similarity: Schema.Literals(["euclidean", "cosine"]).pipe(
    Schema.withDecodingDefaultKey(withDefault("euclidean" as const))
  ),
  /** Codebooks follow their rows by gradient, by running means (van den Oord et al. 2017), or also learn from the reconstruction. @default gradient */
  codebookUpdate: Schema.Literals(["gradient", "means", "reconstruction"]).pipe(
    Schema.withDecodingDefaultKey(withDefault("gradient" as const))
  ),
  /** Weight of the balance loss: `ln K` less the entropy of a level's mean soft assignment. @default 0 */
  balanceWeight: Schema.Finite.pipe(Schema.withDecodingDefaultKey(withDefault(0))),
  /** Temperature of that soft assignment, as a share of the batch's mean distance. @default 0.1 */
  balanceTemperature: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(
    Schema.withDecodingDefaultKey(withDefault(0.1))
  )
}) {}

type Tensors = Readonly<Record<string, tf.Tensor>>
type Part = "encoder" | "decoder"

/** Returns the widths of a part from its input to its output. */
const widthsOf = (config: NetworkConfig, part: Part, inputs: number): ReadonlyArray<number> => {
  const widths = [inputs, ...config.layers, config.width]
  return part === "encoder" ? widths : widths.toReversed()
}

const skips = (config: NetworkConfig, part: Part) =>
  config.skip === "both" || (config.skip === "encoder" && part === "encoder")

/** Names as torch numbers the modules: dropout, linear, normalisation where there is one, rectifier. */
const linearName = (config: NetworkConfig, part: Part, layer: number) =>
  `${part}.${skips(config, part) ? "mlp." : ""}mlp_layers.${1 + layer * (config.batchNorm ? 4 : 3)}`

/** Returns the name of the normalisation after linear map `layer`. */
export const normName = (part: Part, layer: number): string => `${part}.mlp_layers.${2 + layer * 4}`

/** Returns the name of a level's codebook. */
export const codebookName = (level: number): string => `rq.vq_layers.${level}.embedding.weight`

/** Returns the names of the normalisations, in order. */
export const normNames = (config: NetworkConfig): ReadonlyArray<string> =>
  config.batchNorm
    ? (["encoder", "decoder"] as const).flatMap((part) => config.layers.map((_, layer) => normName(part, layer)))
    : []

/** Initialises parameters for embeddings of `inputs` components: Xavier-normal maps, zero biases, codebooks uniform in +-1/K. */
export const parameters = (
  config: NetworkConfig,
  inputs: number,
  normal: () => number,
  uniform: () => number
): ParameterSpecs => {
  const specs: Record<string, ParameterSpec> = {}
  const fill = (shape: ReadonlyArray<number>, value: () => number): ParameterSpec => ({
    shape,
    decay: true,
    initialize: (values) => {
      for (let i = 0; i < values.length; i++) values[i] = value()
    }
  })
  for (const part of ["encoder", "decoder"] as const) {
    const widths = widthsOf(config, part, inputs)
    for (const [layer, columns] of widths.slice(0, -1).entries()) {
      const rows = widths[layer + 1]!
      const name = linearName(config, part, layer)
      const isLast = layer === widths.length - 2
      const deviation = isLast && skips(config, part) ? 0 : Math.sqrt(2 / (rows + columns))
      specs[`${name}.weight`] = fill([rows, columns], () => normal() * deviation)
      specs[`${name}.bias`] = fill([rows], () => 0)
      if (config.batchNorm && !isLast) {
        specs[`${normName(part, layer)}.weight`] = fill([rows], () => 1)
        specs[`${normName(part, layer)}.bias`] = fill([rows], () => 0)
      }
    }
  }
  for (const [level, codes] of config.codes.entries()) {
    specs[codebookName(level)] = fill([codes, config.width], () => (2 * uniform() - 1) / codes)
  }
  return specs
}

/** Differences between a forward pass in training and in use. */
export interface ForwardOptions {
  /** Codes [B] of the levels that are not assigned to the nearest one. */
  readonly given?: Readonly<Record<number, tf.Tensor>> | undefined
  /** Mean and variance per normalisation for use; without them those of the batch are taken. */
  readonly statistics?: Readonly<Record<string, readonly [mean: tf.Tensor, variance: tf.Tensor]>> | undefined
}

/** Output of one level. */
export interface LevelOutput {
  readonly residual: tf.Tensor
  /** Squared distances [B, K], as `r^2 + e^2 - 2 r e'`. */
  readonly distances: tf.Tensor
  readonly codes: tf.Tensor
  readonly quantized: tf.Tensor
  readonly straightThrough: tf.Tensor
  readonly loss: tf.Tensor
}

/** Output of a forward pass. */
export interface NetworkOutput {
  readonly encoded: tf.Tensor
  readonly levels: ReadonlyArray<LevelOutput>
  /** Sum of the levels. */
  readonly latent: tf.Tensor
  readonly decoded: tf.Tensor
  readonly reconstructionLoss: tf.Tensor
  readonly quantLoss: tf.Tensor
  readonly loss: tf.Tensor
  /** Mean and biased variance of the batch per normalisation. */
  readonly statistics: Readonly<Record<string, readonly [mean: tf.Tensor, variance: tf.Tensor]>>
}

const normEpsilon = 1e-5

/** Runs one part; the batch statistics at its normalisations are added to `seen`. */
export const runPart = (
  config: NetworkConfig,
  part: Part,
  weights: Tensors,
  x: tf.Tensor,
  options: ForwardOptions,
  seen: Record<string, readonly [tf.Tensor, tf.Tensor]>
): tf.Tensor => {
  let h = x
  for (let layer = 0; layer <= config.layers.length; layer++) {
    const name = linearName(config, part, layer)
    h = Linear.apply(h, weights[`${name}.weight`]!, weights[`${name}.bias`]!)
    if (layer === config.layers.length) return skips(config, part) ? x.add(h) : h
    if (config.batchNorm) {
      const norm = normName(part, layer)
      const batchMean = h.mean(0)
      const [mean, variance] = options.statistics?.[norm] ?? [batchMean, h.sub(batchMean).square().mean(0)]
      seen[norm] = [mean, variance]
      const unit = h.sub(mean).mul(variance.add(tf.scalar(normEpsilon)).rsqrt())
      h = unit.mul(weights[`${norm}.weight`]!).add(weights[`${norm}.bias`]!)
    }
    h = Linear.relu(h)
  }
  return h
}

const meanSquare = (a: tf.Tensor, b: tf.Tensor) => a.sub(b).square().mean()

const tiny = 1e-12
const unit = (x: tf.Tensor) => x.mul(x.square().sum(-1, true).add(tf.scalar(tiny)).rsqrt())

const squaredDistances = (rows: tf.Tensor, codebook: tf.Tensor) =>
  rows.square().sum(1, true)
    .add(codebook.square().sum(1).reshape([1, codebook.shape[0]!]))
    .sub(tf.matMul(rows as tf.Tensor2D, codebook as tf.Tensor2D, false, true).mul(tf.scalar(2)))

/**
 * `|q|/|r| (r - 2 (r.w) w + 2 (r.u) v)` with u and v the directions of r and q and w that of u + v, all constant: equal
 * to q, and the gradient is turned from q's direction to r's and scaled.
 */
const rotate = (residual: tf.Tensor, quantized: tf.Tensor): tf.Tensor => {
  const [r, q] = [StopGradient.apply(residual), StopGradient.apply(quantized)]
  const [u, v] = [unit(r), unit(q)]
  const w = unit(u.add(v))
  const scale = q.square().sum(-1, true).add(tf.scalar(tiny)).div(r.square().sum(-1, true).add(tf.scalar(tiny))).sqrt()
  const [alongW, alongU] = [residual.mul(w).sum(-1, true), residual.mul(u).sum(-1, true)]
  return residual.sub(w.mul(alongW).mul(tf.scalar(2))).add(v.mul(alongU).mul(tf.scalar(2)))
    .mul(StopGradient.apply(scale))
}

/** `ln K` less the entropy of the mean of `softmax(-distance / (temperature * mean distance))` over the batch. */
const imbalance = (config: NetworkConfig, distances: tf.Tensor): tf.Tensor => {
  const scale = StopGradient.apply(distances.mean().mul(tf.scalar(config.balanceTemperature)).add(tf.scalar(tiny)))
  const use = tf.softmax(distances.neg().div(scale)).mean(0)
  return use.mul(use.add(tf.scalar(tiny)).log()).sum().add(tf.scalar(Math.log(distances.shape[1]!)))
}

/** Quantises the encoder's output level by level. */
export const quantize = (
  config: NetworkConfig,
  weights: Tensors,
  encoded: tf.Tensor,
  given: ForwardOptions["given"] = {}
): ReadonlyArray<LevelOutput> => {
  const levels: Array<LevelOutput> = []
  let residual = encoded
  for (let level = 0; level < config.codes.length; level++) {
    const codebook = weights[codebookName(level)] as tf.Tensor2D
    const constant = StopGradient.apply(residual) as tf.Tensor2D
    const fixed = StopGradient.apply(codebook) as tf.Tensor2D
    const distances = config.similarity === "cosine"
      ? squaredDistances(unit(constant), unit(fixed))
      : squaredDistances(constant, fixed)
    const codes = given[level] ?? tf.argMin(distances, 1)
    const quantized = tf.gather(codebook, codes as tf.Tensor1D)
    const target = StopGradient.apply(quantized)
    const commitment = meanSquare(target, residual).mul(tf.scalar(config.beta))
    const straightThrough = config.estimator === "rotation"
      ? rotate(residual, target)
      : residual.add(StopGradient.apply(target.sub(constant)))
    let loss = config.codebookUpdate === "means" ? commitment : meanSquare(quantized, constant).add(commitment)
    if (config.balanceWeight > 0) {
      const [rows, centres] = config.similarity === "cosine" ? [unit(residual), unit(codebook)] : [residual, codebook]
      loss = loss.add(imbalance(config, squaredDistances(rows, centres)).mul(tf.scalar(config.balanceWeight)))
    }
    levels.push({ residual, distances, codes, quantized, straightThrough, loss })
    residual = StopGradient.apply(residual.sub(config.estimator === "rotation" ? target : straightThrough))
  }
  return levels
}

/** Returns the same values, with a gradient from the reconstruction to the chosen codes. */
const withCodebooks = (latent: tf.Tensor, levels: ReadonlyArray<LevelOutput>): tf.Tensor => {
  const sum = levels.slice(1).reduce((sum, { quantized }) => sum.add(quantized), levels[0]!.quantized)
  return latent.add(sum.sub(StopGradient.apply(sum)))
}

/** Runs the whole network on embeddings [B, D]. */
export const forward = (
  config: NetworkConfig,
  weights: Tensors,
  x: tf.Tensor,
  options: ForwardOptions = {}
): NetworkOutput => {
  const statistics: Record<string, readonly [tf.Tensor, tf.Tensor]> = {}
  const encoded = runPart(config, "encoder", weights, x, options, statistics)
  const levels = quantize(config, weights, encoded, options.given)
  const latent = levels.slice(1).reduce(
    (sum, { straightThrough }) => sum.add(straightThrough),
    levels[0]!.straightThrough
  )
  const decoded = runPart(
    config,
    "decoder",
    weights,
    config.codebookUpdate === "reconstruction" ? withCodebooks(latent, levels) : latent,
    options,
    statistics
  )
  const reconstructionLoss = config.reconstruction === "mse" ? meanSquare(decoded, x) : decoded.sub(x).abs().mean()
  const quantLoss = levels.slice(1).reduce((sum, { loss }) => sum.add(loss), levels[0]!.loss)
    .mul(tf.scalar(1 / levels.length))
  return {
    encoded,
    levels,
    latent,
    decoded,
    reconstructionLoss,
    quantLoss,
    loss: reconstructionLoss.add(quantLoss.mul(tf.scalar(config.quantWeight))),
    statistics
  }
}
