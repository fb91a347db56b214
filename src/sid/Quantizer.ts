/**
 * Embeddings to codes: the interface of every tokenizer.
 *
 * A trained quantizer is plain data, so that it can be kept, sent to a worker or put into a bundle.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Matrix } from "../matrix/Matrix.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as Codes from "./Codes.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { type SidError } from "./SidError.ts"

/** Most codes of a level. */
const mostCodes = 65_536

/** Shape of SIDs: levels, and codes per level. */
export class SidShape extends Schema.Class<SidShape>("sidereal/sid/SidShape")({
  /** Levels L. @default 3 */
  levels: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 32 })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(3))
  ),
  /** Codes K of every level. @default chosen from the catalogue's size */
  codes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: mostCodes })))
}) {}

/**
 * Returns K for N items: the power of two nearest to `sqrt(N) * 2`, between 16 and 256. 1,200 items get 64, 4,344 get 128 and
 * 12,101 get 256; three levels then leave few collisions.
 */
export const defaultCodes = (items: number): number =>
  Math.min(256, Math.max(16, 2 ** Math.round(Math.log2(2 * Math.sqrt(items)))))

/** Returns K of the shape, or the catalogue's default K with room for N SIDs and a tenth to spare. */
export const wantedCodes = ({ codes, levels }: SidShape, items: number): number =>
  codes ?? Math.min(mostCodes, Math.max(defaultCodes(items), 2 ** Math.ceil(Math.log2((1.1 * items) ** (1 / levels)))))

/**
 * Returns the wanted K, at most the number of items. It does not depend on the number of distinct embeddings: items with
 * equal ones are separated by codes that no embedding needs.
 */
export const codesFor = (shape: SidShape, items: number): number => Math.min(wantedCodes(shape, items), items)

/** Items that a quantizer is trained on, or encodes. */
export interface Items {
  readonly keys: ReadonlyArray<string>
  /** [N, D]. */
  readonly embeddings: Matrix
  /** Training events of each item, [N]. */
  readonly popularity: ArrayLike<number>
}

/** Builds items from embeddings alone: numbered, equally popular. */
export const itemsOf = (embeddings: Matrix): Items => ({
  keys: Array.from({ length: embeddings.rows }, (_, item) => String(item)),
  embeddings,
  popularity: new Float64Array(embeddings.rows).fill(1)
})

/** A trained quantizer as plain data. */
export interface Model {
  /** Codes K_l of each level, [L]; codes of level l are 0 .. K_l - 1. */
  readonly codebookSizes: ReadonlyArray<number>
  /** Tensors by name, all that `encode`, `decode` and `distances` need. */
  readonly tensors: ReadonlyMap<string, ModelTensor>
}

/** A tensor of a model, row-major. */
export interface ModelTensor {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** A model and the codes [N, L] of the items it was trained on, which need not be the nearest ones. */
export interface Trained {
  readonly model: Model
  readonly codes: Codes.Codes
}

type Failure = SidError | TensorError

/** Functions that make a quantizer. */
export interface QuantizerParts {
  /** Name in the settings. */
  readonly name: string
  /** Name, settings and seed: everything besides the items that changes its codes. */
  readonly id: string
  /** Trains on items. */
  train(items: Items): Effect.Effect<Trained, Failure>
  /** Returns codes [N, L] of items, trained on or new. */
  encode(items: Items, model: Model): Effect.Effect<Codes.Codes, Failure>
  /** Decodes codes to embeddings [N, D]. */
  decode(codes: Codes.Codes, model: Model): Effect.Effect<Matrix, Failure>
  /**
   * Squared distances [N, K] from each row's residual at `level` to the codes of that level, for collision policies.
   */
  distances(items: Items, codes: Codes.Codes, level: number, model: Model): Effect.Effect<Matrix, Failure>
}

/** Figures of codes and of their reconstruction of the embeddings. */
export const Diagnosis = Schema.Struct({
  ...Diagnostics.Diagnostics.fields,
  /** Squared difference between embedding and decoded codes, per component. */
  meanSquaredError: Schema.Finite,
  /** That difference as a share of the embeddings' variance. */
  varianceLeft: Schema.Finite
})

/** @see Diagnosis */
export type Diagnosis = typeof Diagnosis.Type

/** A tokenizer of embeddings. */
export class Quantizer extends Context.Service<
  Quantizer,
  QuantizerParts & {
    /** Measures the codes before any collision policy. */
    diagnose(items: Items, trained: Trained): Effect.Effect<Diagnosis, Failure>
  }
>()("sidereal/sid/Quantizer") {}

/** Builds a quantizer from its parts. */
export const make = (parts: QuantizerParts): Quantizer["Service"] =>
  Quantizer.of({
    ...parts,
    diagnose: Effect.fn("Quantizer.diagnose")(function*(items, { codes, model }) {
      const decoded = yield* parts.decode(codes, model)
      return {
        ...Diagnostics.measure(Codes.rowsOf(codes), model.codebookSizes),
        ...reconstruction(items.embeddings, decoded)
      }
    })
  })

const reconstruction = (
  { data, rows, width }: Matrix,
  decoded: Matrix
): { readonly meanSquaredError: number; readonly varianceLeft: number } => {
  const means = new Float64Array(width)
  let [error, squares] = [0, 0]
  for (let r = 0; r < rows; r++) {
    for (let d = 0; d < width; d++) {
      const value = data[r * width + d]!
      means[d] = means[d]! + value / rows
      squares += value * value
      error += (value - decoded.data[r * width + d]!) ** 2
    }
  }
  const variance = squares - rows * means.reduce((sum, mean) => sum + mean * mean, 0)
  return {
    meanSquaredError: error / (rows * width),
    varianceLeft: variance <= 0 ? 0 : error / variance
  }
}
