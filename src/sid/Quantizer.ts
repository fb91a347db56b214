/**
 * Embeddings to codes: the one interface behind which every tokenizer stands.
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

/** The shape of SIDs. */
export class SidShape extends Schema.Class<SidShape>("sidereal/sid/SidShape")({
  /** L. @default 3 */
  levels: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16 })).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(3))
  ),
  /** K of every level; by default chosen from the catalogue's size. */
  codes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: mostCodes })))
}) {}

/**
 * K for N items: the power of two nearest to `sqrt(N) * 2`, between 16 and 256. 1,200 items get 64, 4,344 get 128 and
 * 12,101 get 256; three levels then leave few collisions.
 */
export const defaultCodes = (items: number): number =>
  Math.min(256, Math.max(16, 2 ** Math.round(Math.log2(2 * Math.sqrt(items)))))

/** K as the shape asks, or by default what the catalogue's size suggests and enough for N SIDs with a tenth to spare. */
export const wantedCodes = ({ codes, levels }: SidShape, items: number): number =>
  codes ?? Math.min(mostCodes, Math.max(defaultCodes(items), 2 ** Math.ceil(Math.log2((1.1 * items) ** (1 / levels)))))

/**
 * The wanted K, but no more than there are items. It does not follow the number of distinct embeddings: items with equal
 * ones are parted by codes that no embedding needs.
 */
export const codesFor = (shape: SidShape, items: number): number => Math.min(wantedCodes(shape, items), items)

/** What SIDs are made from. */
export interface Items {
  readonly keys: ReadonlyArray<string>
  /** [N, D]. */
  readonly embeddings: Matrix
  /** Training events of each item, [N]. */
  readonly popularity: ArrayLike<number>
}

/** Items that are known by their embeddings alone: numbered, equally popular. */
export const itemsOf = (embeddings: Matrix): Items => ({
  keys: Array.from({ length: embeddings.rows }, (_, item) => String(item)),
  embeddings,
  popularity: new Float64Array(embeddings.rows).fill(1)
})

/** What training found. */
export interface Model {
  /** K of each level. */
  readonly codebookSizes: ReadonlyArray<number>
  /** Everything that `encode` and `decode` need, by name. */
  readonly tensors: ReadonlyMap<string, ModelTensor>
}

/** A part of a model. */
export interface ModelTensor {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** A model and the codes of the items it was trained on, which need not be the nearest ones. */
export interface Trained {
  readonly model: Model
  readonly codes: Codes.Codes
}

type Failure = SidError | TensorError

/** What a tokenizer must know to be a quantizer. */
export interface QuantizerParts {
  /** The name by which it is chosen. */
  readonly name: string
  /** Name, settings and seed: whatever changes its codes. */
  readonly id: string
  /** Learns from items. */
  train(items: Items): Effect.Effect<Trained, Failure>
  /** Codes of items, seen before or not. */
  encode(items: Items, model: Model): Effect.Effect<Codes.Codes, Failure>
  /** The embeddings [N, D] that codes stand for. */
  decode(codes: Codes.Codes, model: Model): Effect.Effect<Matrix, Failure>
  /**
   * Squared distances [N, K] of what the levels before `level` leave of each row to every code of that level; a policy
   * for collisions chooses by them.
   */
  distances(items: Items, codes: Codes.Codes, level: number, model: Model): Effect.Effect<Matrix, Failure>
}

/** Figures of codes and of what they keep of the embeddings. */
export const Diagnosis = Schema.Struct({
  ...Diagnostics.Diagnostics.fields,
  /** Squared difference between embedding and decoded codes, per component. */
  meanSquaredError: Schema.Finite,
  /** That difference as a share of the embeddings' variance. */
  varianceLeft: Schema.Finite
})

/** @see Diagnosis */
export type Diagnosis = typeof Diagnosis.Type

/** A way to make SIDs out of embeddings. */
export class Quantizer extends Context.Service<
  Quantizer,
  QuantizerParts & {
    /** How good the codes are before any policy for collisions. */
    diagnose(items: Items, trained: Trained): Effect.Effect<Diagnosis, Failure>
  }
>()("sidereal/sid/Quantizer") {}

/** A quantizer of its parts. */
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
