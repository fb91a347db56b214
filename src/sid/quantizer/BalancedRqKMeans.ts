/**
 * Residual k-means whose codes are all used equally often: MiniOneRec's constrained variant, each level a balanced
 * k-means on the residuals of the previous levels.
 *
 * Codes of the training items are those of the balanced assignment, not the nearest; new items get the nearest. Up to
 * `exactRows` rows the assignment is exact; beyond that it is the approximate one over k-means centres. Differs from
 * MiniOneRec in its defaults: the squared distance is what an assignment costs, one start with a few plain iterations
 * first, and the labels belong to the returned centres.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Matrix from "../../matrix/Matrix.ts"
import { type Progress } from "../../run/Progress.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as ApproximateBalance from "../clustering/ApproximateBalance.ts"
import * as BalancedKMeans from "../clustering/BalancedKMeans.ts"
import * as KMeans from "../clustering/KMeans.ts"
import * as KMeansPlusPlus from "../clustering/KMeansPlusPlus.ts"
import * as SquaredDistances from "../clustering/SquaredDistances.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Quantizer from "../Quantizer.ts"
import { type SidError } from "../SidError.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class BalancedRqKMeansConfig
  extends Schema.Class<BalancedRqKMeansConfig>("sidereal/sid/BalancedRqKMeansConfig")({
    /** Most iterations per level. @default 100 */
    iterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(100))),
    /** k-means++ starts per level; the least inertia wins. @default 1 */
    starts: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
    /** Sizes are between N / K less this, but at least 1, and N / K plus this. @default 1 */
    slack: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(1))
    ),
    /** Cost of an assignment: the squared distance, or the distance in thousandths. @default squared */
    cost: Schema.Literals(["squared", "thousandths"]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("squared" as const))
    ),
    /** Most rows for the exact assignment. @default 50000 */
    exactRows: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(50_000)))
  })
{}

/** Returns the size bounds of K clusters of N rows: `max(1, floor(N / K) - slack) .. floor(N / K) + slack`, and always enough room. */
export const boundsOf = (rows: number, clusters: number, slack: number) => ({
  least: Math.max(1, Math.floor(rows / clusters) - slack),
  most: Math.max(Math.ceil(rows / clusters), Math.floor(rows / clusters) + slack)
})

/** Copies a matrix to float64. */
const dense = (matrix: Matrix.Matrix): BalancedKMeans.Dense => ({
  rows: matrix.rows,
  width: matrix.width,
  data: Float64Array.from(matrix.data)
})

const inFloat64 = (distances: SquaredDistances.Engine): BalancedKMeans.SquaredDistances => (rows, centres) => {
  const narrow = (wide: BalancedKMeans.Dense) => ({ ...wide, data: Float32Array.from(wide.data) })
  return Effect.map(distances(narrow(rows), narrow(centres)), ({ data }) => Float64Array.from(data))
}

const plainIterations = 8

/** Clusters the rows of one level to K clusters. */
export const level: (
  config: BalancedRqKMeansConfig,
  rows: Matrix.Matrix,
  clusters: number,
  seed: number
) => Effect.Effect<ResidualCodebooks.Level, SidError | TensorError, TensorRuntime | Progress | Scope.Scope> = Effect.fn(
  "BalancedRqKMeans.level"
)(
  function*(config, rows, clusters, seed) {
    const bounds = boundsOf(rows.rows, clusters, config.slack)
    const squares = yield* SquaredDistances.engine
    if (rows.rows > config.exactRows) {
      const { centres } = yield* KMeans.train(rows, clusters, {
        maximumIterations: config.iterations,
        tolerance: 1e-4,
        starts: config.starts,
        rowsPerCentre: 256,
        miniBatch: 4096,
        seedRows: 4096,
        seed
      })
      let scale: number | undefined
      const labels = yield* ApproximateBalance.assign(
        Effect.fnUntraced(function*(chosen) {
          const { data } = yield* squares(Matrix.take(rows, chosen), centres)
          scale ??= BalancedKMeans.scaleOf(data)
          return BalancedKMeans.costsOf(data, "squared", scale)
        }),
        rows.rows,
        clusters,
        bounds,
        seed
      )
      const codes = { levels: 1, codes: labels }
      return { labels, centres: ResidualCodebooks.ofCodes(rows, codes, [clusters])[0]! }
    }
    const seeded = yield* KMeansPlusPlus.seeder
    const assign = yield* KMeans.assigner
    let best: BalancedKMeans.BalancedClustering | undefined
    for (let start = 0; start < config.starts; start++) {
      // Plain iterations first: they cost a tenth, and what follows ends sooner and lower.
      const begun = yield* KMeans.lloyd(assign, rows, yield* seeded(rows, clusters, 4096, seed, 0xba1, start), {
        maximumIterations: plainIterations,
        tolerance: 1e-4
      })
      const found = yield* BalancedKMeans.lloyd(inFloat64(squares), rows, dense(begun.centres), {
        bounds,
        maximumIterations: config.iterations,
        tolerance: 1e-4,
        cost: config.cost,
        returned: "consistent"
      })
      if (best === undefined || found.inertia < best.inertia) best = found
    }
    const { centres, labels } = best!
    return { labels, centres: { rows: clusters, width: rows.width, data: Float32Array.from(centres.data) } }
  }
)

/** Fits the codebooks of every level. */
export const train = (
  config: BalancedRqKMeansConfig,
  shape: Quantizer.SidShape,
  embeddings: Matrix.Matrix,
  seed: number
): Effect.Effect<ResidualCodebooks.Found, SidError | TensorError, TensorRuntime | Progress | Scope.Scope> => {
  const codes = Quantizer.codesFor(shape, embeddings.rows)
  return ResidualCodebooks.trainLevels(
    "balanced",
    embeddings,
    shape.levels,
    (residual, l) => level(config, residual, codes, seed * 31 + l)
  )
}

/** Provides the quantizer. */
export const layer = (
  config: BalancedRqKMeansConfig,
  shape: Quantizer.SidShape,
  seed: number
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime | Progress> =>
  ResidualCodebooks.layer({
    name: "balanced",
    settings: [config, shape, seed],
    train: ({ embeddings }) => train(config, shape, embeddings, seed)
  })
