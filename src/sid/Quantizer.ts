/**
 * Embeddings to codes.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { type Matrix } from "../embedding/Matrix.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type SidError } from "./SidError.ts"

/** One matrix [K, D] per level. */
export type Codebooks = ReadonlyArray<Matrix>

/** Codes of N rows, [N, L]. */
export interface Codes {
  readonly levels: number
  readonly codes: Int32Array
}

/** A way to make SIDs out of embeddings. */
export class Quantizer extends Context.Service<Quantizer, {
  readonly id: string
  /** Learns codebooks from embeddings [N, D]. */
  train(embeddings: Matrix): Effect.Effect<Codebooks, SidError | TensorError>
  /** Codes of embeddings. */
  encode(embeddings: Matrix, codebooks: Codebooks): Effect.Effect<Codes, SidError | TensorError>
  /** The embeddings that codes stand for. */
  decode(codes: Codes, codebooks: Codebooks): Matrix
}>()("sidereal/sid/Quantizer") {}
