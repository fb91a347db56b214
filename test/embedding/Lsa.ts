/**
 * LSA and its parts, run by themselves.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Lsa from "../../src/embedding/Lsa.ts"
import * as TruncatedSvd from "../../src/matrix/TruncatedSvd.ts"
import { Progress } from "../../src/run/Progress.ts"

/** Settings of LSA. */
export const config = (values: typeof Lsa.LsaConfig.Encoded = {}) => Schema.decodeSync(Lsa.LsaConfig)(values)

/** The first singular triples. */
export const svdOf = (a: TruncatedSvd.SparseMatrix, rank: number, seed: number, iterations?: number) =>
  Effect.runPromise(TruncatedSvd.compute("svd", a, rank, seed, iterations).pipe(Effect.provide(Progress.layerSilent)))

/** Weights of terms by text. */
export const tfIdf = (...given: Parameters<typeof Lsa.tfIdf>) =>
  Effect.runPromise(Lsa.tfIdf(...given).pipe(Effect.provide(Progress.layerSilent)))
