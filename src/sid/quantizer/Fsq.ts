/**
 * Finite scalar quantisation (Mentzer et al. 2023): every dimension is squashed and rounded to a few digits, and there is
 * no codebook to collapse.
 *
 * With n digits: `half = (n - 1)(1 - eps) / 2`, `offset = 0.5` for even n else 0, `shift = tan(offset / half)`,
 * `bounded = tanh(z + shift) half - offset`, rounded half to even; digit = that + floor(n / 2). (tan is the paper's listing;
 * the inverse of tanh would be atanh.)
 *
 * As a tokenizer the dimensions are the first principal components of the embeddings, each divided by its deviation; a
 * level's code is the number that its share of the dimensions writes, the first dimension fastest.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Matrix } from "../../matrix/Matrix.ts"
import * as Pca from "../../matrix/Pca.ts"
import * as HalfToEven from "../clustering/HalfToEven.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import type * as Codes from "../Codes.ts"
import * as Quantizer from "../Quantizer.ts"

const epsilon = 1e-3

/** A quantised value of one dimension. */
export interface Scalar {
  readonly bounded: number
  readonly digit: number
  /** Quantised value in -1 .. 1, the input of a network's next layer. */
  readonly code: number
  /** Straight-through derivative of `code`. */
  readonly gradient: number
}

/** Quantises a value to n digits. */
export const scalar = (z: number, digits: number): Scalar => {
  const half = (digits - 1) * (1 - epsilon) / 2
  const offset = digits % 2 === 0 ? 0.5 : 0
  const squashed = Math.tanh(z + Math.tan(offset / half))
  const bounded = squashed * half - offset
  const middle = Math.floor(digits / 2)
  const rounded = HalfToEven.round(bounded)
  return {
    bounded,
    digit: rounded + middle,
    code: rounded / middle,
    gradient: (1 - squashed * squashed) * half / middle
  }
}

/** Returns the value in the middle of a digit's interval, and the digit's bounded value. */
export const valueOf = (digit: number, digits: number): { readonly z: number; readonly bounded: number } => {
  const half = (digits - 1) * (1 - epsilon) / 2
  const offset = digits % 2 === 0 ? 0.5 : 0
  const bounded = digit - Math.floor(digits / 2)
  const squashed = Math.min(1 - 1e-3, Math.max(1e-3 - 1, (bounded + offset) / half))
  return { bounded, z: Math.atanh(squashed) - Math.tan(offset / half) }
}

/** Returns the number with these digits, the first digit varying fastest. */
export const indexOf = (digits: ArrayLike<number>, sizes: ReadonlyArray<number>): number => {
  let [index, basis] = [0, 1]
  for (const [i, size] of sizes.entries()) {
    index += digits[i]! * basis
    basis *= size
  }
  return index
}

const digitsOf = (index: number, sizes: ReadonlyArray<number>): ReadonlyArray<number> => {
  let left = index
  return sizes.map((size) => {
    const digit = left % size
    left = Math.floor(left / size)
    return digit
  })
}

/** Settings. */
export class FsqConfig extends Schema.Class<FsqConfig>("sidereal/sid/FsqConfig")({
  /** Digits of the dimensions of one level; by default factors near 6 whose product is at most K. */
  digits: Schema.optionalKey(
    Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 64 }))).check(Schema.isMinLength(1))
  ),
  /** Standard deviations of a component that are scaled to 1 before squashing. @default 1 */
  scale: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1)))
}) {}

/** Returns numbers of digits near 6 whose product is at most K. */
export const defaultDigits = (codes: number): ReadonlyArray<number> => {
  const dimensions = Math.max(1, Math.round(Math.log(codes) / Math.log(6)))
  const digits = Array.from({ length: dimensions }, () => Math.max(2, Math.floor(codes ** (1 / dimensions))))
  for (let i = 0; i < digits.length; i++) {
    while (digits.reduce((a, b) => a * b, 1) / digits[i]! * (digits[i]! + 1) <= codes) digits[i]!++
  }
  return digits
}

const name = "fsq"

interface Fitted {
  readonly pca: Pca.Pca
  readonly digits: ReadonlyArray<number>
  readonly scale: number
}

const fittedOf = ({ tensors }: Quantizer.Model): Fitted => {
  const mean = Float64Array.from(tensors.get("mean")!.data)
  return {
    digits: Array.from(tensors.get("digits")!.data),
    scale: tensors.get("scale")!.data[0]!,
    pca: {
      mean,
      variances: Float64Array.from(tensors.get("variances")!.data),
      components: Pca.componentsOf(tensors.get("components")!.data, mean.length)
    }
  }
}

/** Returns the values [N, R] to squash: principal coordinates in standard deviations. */
const standing = (embeddings: Matrix, { pca, scale }: Fitted): Matrix => {
  const coordinates = Pca.project(embeddings, pca)
  return {
    ...coordinates,
    data: coordinates.data.map((value, i) => value / (Math.sqrt(pca.variances[i % coordinates.width]!) || 1) / scale)
  }
}

const encode = (embeddings: Matrix, model: Quantizer.Model): Codes.Codes => {
  const fitted = fittedOf(model)
  const z = standing(embeddings, fitted)
  const levels = model.codebookSizes.length
  const per = fitted.digits.length
  const codes = new Int32Array(z.rows * levels)
  for (let i = 0; i < codes.length; i++) {
    const from = Math.floor(i / levels) * z.width + (i % levels) * per
    codes[i] = indexOf(fitted.digits.map((size, d) => scalar(z.data[from + d]!, size).digit), fitted.digits)
  }
  return { levels, codes }
}

/** Returns the decoded coordinate of each digit [R, most digits]: the mean of the rows that have it, NaN where none has. */
const meansOf = (
  coordinates: Matrix,
  { codes, levels }: Codes.Codes,
  digits: ReadonlyArray<number>
): Float32Array => {
  const most = Math.max(...digits)
  const sums = new Float64Array(coordinates.width * most)
  const counts = new Float64Array(sums.length)
  for (const [i, code] of codes.entries()) {
    for (const [d, digit] of digitsOf(code, digits).entries()) {
      const component = (i % levels) * digits.length + d
      sums[component * most + digit]! += coordinates.data[Math.floor(i / levels) * coordinates.width + component]!
      counts[component * most + digit]!++
    }
  }
  return Float32Array.from(sums, (sum, i) => sum / counts[i]!)
}

/** Pads components to a rank with zeros, which all items quantise to the middle digit. */
const widened = ({ components, mean, variances }: Pca.Pca, rank: number): Pca.Pca => ({
  mean,
  variances: Float64Array.from({ length: rank }, (_, c) => variances[c] ?? 0),
  components: Array.from({ length: rank }, (_, c) => components[c] ?? new Float64Array(mean.length))
})

/**
 * Provides the quantizer.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as assert from "node:assert/strict"
 * import { itemsOf, Quantizer, SidShape } from "sidereal/sid/Quantizer"
 * import * as Fsq from "sidereal/sid/quantizer/Fsq"
 *
 * const config = Schema.decodeSync(Fsq.FsqConfig)({ digits: [3, 3] })
 * const shape = Schema.decodeSync(SidShape)({ levels: 2 })
 * const items = itemsOf({ rows: 5, width: 4, data: Float32Array.from({ length: 20 }, (_, i) => Math.cos(i)) })
 *
 * const trained = await Effect.runPromise(
 *   Effect.flatMap(Quantizer, (quantizer) => quantizer.train(items)).pipe(Effect.provide(Fsq.layer(config, shape)))
 * )
 * assert.deepEqual(trained.model.codebookSizes, [9, 9])
 * assert.equal(trained.codes.codes.length, 5 * 2)
 * ```
 */
export const layer = (config: FsqConfig, shape: Quantizer.SidShape): Layer.Layer<Quantizer.Quantizer> =>
  Layer.succeed(
    Quantizer.Quantizer,
    Quantizer.make({
      name,
      id: `${name}:${JSON.stringify([config, shape])}`,
      train: Effect.fn("Fsq.train")(function*({ embeddings }) {
        yield* ResidualCodebooks.check(embeddings)
        const wanted = Quantizer.wantedCodes(shape, embeddings.rows)
        const digits = config.digits ?? defaultDigits(wanted)
        const rank = digits.length * shape.levels
        const pca = widened(Pca.fit(embeddings, rank), rank)
        const model: Quantizer.Model = {
          codebookSizes: Array.from({ length: shape.levels }, () => digits.reduce((a, b) => a * b, 1)),
          tensors: new Map([
            ["mean", { shape: [embeddings.width], data: Float32Array.from(pca.mean) }],
            ["variances", { shape: [rank], data: Float32Array.from(pca.variances) }],
            ["components", { shape: [rank, embeddings.width], data: Float32Array.from(Pca.flatten(pca)) }],
            ["digits", { shape: [digits.length], data: Float32Array.from(digits) }],
            ["scale", { shape: [1], data: Float32Array.of(config.scale) }]
          ])
        }
        const codes = encode(embeddings, model)
        const coordinates = Pca.project(embeddings, pca)
        const values = meansOf(coordinates, codes, digits)
        const tensors = new Map([...model.tensors, ["values", { shape: [rank, values.length / rank], data: values }]])
        return { model: { ...model, tensors }, codes }
      }),
      encode: ({ embeddings }, model) =>
        ResidualCodebooks.checkWidth(embeddings, model.tensors.get("mean")!.data.length).pipe(
          Effect.map(() => encode(embeddings, model))
        ),
      decode: ({ codes, levels }, model) =>
        Effect.sync(() => {
          const { digits, pca, scale } = fittedOf(model)
          const means = model.tensors.get("values")!
          const most = means.shape[1]!
          const rank = pca.components.length
          const rows = codes.length / levels
          const data = new Float32Array(rows * rank)
          for (const [i, code] of codes.entries()) {
            const from = Math.floor(i / levels) * rank + (i % levels) * digits.length
            for (const [d, digit] of digitsOf(code, digits).entries()) {
              const component = (i % levels) * digits.length + d
              const mean = means.data[component * most + digit]!
              data[from + d] = Number.isNaN(mean)
                ? valueOf(digit, digits[d]!).z * scale * Math.sqrt(pca.variances[component]!)
                : mean
            }
          }
          return Pca.reconstruct({ rows, width: rank, data }, pca)
        }),
      distances: ({ embeddings }, _, level, model) =>
        Effect.sync(() => {
          const fitted = fittedOf(model)
          const { digits } = fitted
          const z = standing(embeddings, fitted)
          const size = model.codebookSizes[level]!
          const data = new Float32Array(z.rows * size)
          for (let code = 0; code < size; code++) {
            const at = digitsOf(code, digits)
            for (let r = 0; r < z.rows; r++) {
              let sum = 0
              for (const [d, digit] of at.entries()) {
                const { bounded } = scalar(z.data[r * z.width + level * digits.length + d]!, digits[d]!)
                sum += (bounded - valueOf(digit, digits[d]!).bounded) ** 2
              }
              data[r * size + code] = sum
            }
          }
          return { rows: z.rows, width: size, data }
        })
    })
  )
