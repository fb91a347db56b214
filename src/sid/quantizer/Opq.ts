/**
 * Optimised product quantisation (Ge et al. 2013): a rotation, then one codebook per slice of the rotated components.
 *
 * The rotation begins as principal components dealt to the slices so that these have equal shares of the variance, and is
 * then refitted to the decoded codes (orthogonal Procrustes) after every round. Levels are slices and not residuals,
 * so no level depends on another. Components are padded with zeros to a multiple of L.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Matrix } from "../../matrix/Matrix.ts"
import * as MlMatrix from "../../matrix/MlMatrix.ts"
import * as Pca from "../../matrix/Pca.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as KMeans from "../clustering/KMeans.ts"
import * as SquaredDistances from "../clustering/SquaredDistances.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Codes from "../Codes.ts"
import * as Quantizer from "../Quantizer.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class OpqConfig extends Schema.Class<OpqConfig>("sidereal/sid/OpqConfig")({
  /** Rounds of fitting codebooks, then rotation. @default 8 */
  turns: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(8))),
  /** k-means iterations of the first round; later rounds run 4. @default 25 */
  iterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(25)))
}) {}

const name = "opq"

/** Computes `x R'` for rows x [N, D] and R [E, D]; components that rows lack are 0. */
export const rotate = ({ data, rows, width }: Matrix, rotation: Matrix): Matrix => {
  const out = new Float32Array(rows * rotation.rows)
  for (let r = 0; r < rows; r++) {
    for (let e = 0; e < rotation.rows; e++) {
      let sum = 0
      for (let d = 0; d < width; d++) sum += data[r * width + d]! * rotation.data[e * rotation.width + d]!
      out[r * rotation.rows + e] = sum
    }
  }
  return { rows, width: rotation.rows, data: out }
}

/** Undoes a rotation: the first `width` components of `y R`. */
export const unrotate = (y: Matrix, rotation: Matrix, width: number): Matrix => {
  const out = new Float32Array(y.rows * width)
  for (let r = 0; r < y.rows; r++) {
    for (let e = 0; e < y.width; e++) {
      const value = y.data[r * y.width + e]!
      for (let d = 0; d < width; d++) out[r * width + d]! += value * rotation.data[e * rotation.width + d]!
    }
  }
  return { rows: y.rows, width, data: out }
}

/** Returns the components [N, E / L] of one level. */
export const slice = ({ data, rows, width }: Matrix, level: number, levels: number): Matrix => {
  const part = width / levels
  const out = new Float32Array(rows * part)
  for (let r = 0; r < rows; r++) {
    out.set(data.subarray(r * width + level * part, r * width + (level + 1) * part), r * part)
  }
  return { rows, width: part, data: out }
}

/** Decodes codes to rotated rows [N, E]. */
export const decodeRotated = ({ codes, levels }: Codes.Codes, codebooks: ReadonlyArray<Matrix>): Matrix => {
  const part = codebooks[0]!.width
  const out = new Float32Array(codes.length * part)
  for (const [i, code] of codes.entries()) {
    out.set(codebooks[i % levels]!.data.subarray(code * part, (code + 1) * part), i * part)
  }
  return { rows: codes.length / levels, width: levels * part, data: out }
}

/** Encodes rotated rows: the nearest codeword of each slice. */
export const encodeRotated = Effect.fnUntraced(function*(
  assign: KMeans.Assign,
  rotated: Matrix,
  codebooks: ReadonlyArray<Matrix>
) {
  const columns: Array<Int32Array> = []
  for (const [level, codebook] of codebooks.entries()) {
    columns.push((yield* assign(slice(rotated, level, codebooks.length), codebook)).labels)
  }
  return Codes.fromColumns(columns)
})

/** Distributes principal components over L slices, each to the one of least log variance so far. */
const dealt = (pca: Pca.Pca, padded: number, levels: number): Matrix => {
  const part = padded / levels
  const slots = Array.from({ length: levels }, (): Array<number> => [])
  const load = new Float64Array(levels)
  const floor = 1e-12 * Math.max(pca.variances[0] ?? 0, 1e-30)
  for (let c = 0; c < padded; c++) {
    let best = -1
    for (let l = 0; l < levels; l++) {
      if (slots[l]!.length < part && (best < 0 || load[l]! < load[best]!)) best = l
    }
    slots[best]!.push(c)
    load[best]! += Math.log(Math.max(pca.variances[c] ?? 0, floor) / floor)
  }
  const data = new Float32Array(padded * padded)
  for (const [row, component] of slots.flat().entries()) {
    if (component < pca.components.length) data.set(pca.components[component]!, row * padded)
    else data[row * padded + component] = 1
  }
  return { rows: padded, width: padded, data }
}

/** Returns the rotation R that brings `x R'` nearest to y, both [N, E]. */
const procrustes = (x: Matrix, y: Matrix): Matrix => {
  const E = y.width
  const { Matrix: Dense, SingularValueDecomposition } = MlMatrix.library()
  const cross = Dense.zeros(E, E)
  for (let r = 0; r < x.rows; r++) {
    for (let i = 0; i < E; i++) {
      const value = y.data[r * E + i]!
      if (value === 0) continue
      for (let j = 0; j < x.width; j++) cross.set(i, j, cross.get(i, j) + value * x.data[r * x.width + j]!)
    }
  }
  const { leftSingularVectors, rightSingularVectors } = new SingularValueDecomposition(cross)
  const rotation = leftSingularVectors.mmul(rightSingularVectors.transpose())
  return { rows: E, width: E, data: Float32Array.from(rotation.to1DArray()) }
}

const toModel = (rotation: Matrix, codebooks: ReadonlyArray<Matrix>, width: number): Quantizer.Model => {
  const { codebookSizes, tensors } = ResidualCodebooks.toModel(codebooks)
  return {
    codebookSizes,
    tensors: new Map([
      ...tensors,
      ["rotation", { shape: [rotation.rows, rotation.width], data: rotation.data }],
      ["width", { shape: [1], data: Float32Array.of(width) }]
    ])
  }
}

const ofModel = (model: Quantizer.Model) => {
  const { data, shape } = model.tensors.get("rotation")!
  return {
    codebooks: ResidualCodebooks.ofModel(model),
    rotation: { rows: shape[0]!, width: shape[1]!, data } satisfies Matrix,
    width: model.tensors.get("width")!.data[0]!
  }
}

/** Provides the quantizer. */
export const layer = (
  config: OpqConfig,
  shape: Quantizer.SidShape,
  seed: number
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime> =>
  Layer.effect(
    Quantizer.Quantizer,
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      return Quantizer.make({
        name,
        id: `${name}:${JSON.stringify([config, shape, seed])}`,
        train: Effect.fn("Opq.train")(function*({ embeddings }) {
          yield* ResidualCodebooks.check(embeddings)
          const { levels } = shape
          const { rows, width } = embeddings
          const padded = Math.ceil(width / levels) * levels
          const codes = Quantizer.codesFor(shape, rows)
          const assign = yield* KMeans.assigner
          let rotation = dealt(Pca.fit(embeddings, width), padded, levels)
          let codebooks: Array<Matrix> = []
          for (let turn = 0; turn < config.turns; turn++) {
            const rotated = rotate(embeddings, rotation)
            const next: Array<Matrix> = []
            for (let level = 0; level < levels; level++) {
              const part = slice(rotated, level, levels)
              const { centres } = turn === 0
                ? yield* KMeans.train(part, Math.min(codes, ResidualCodebooks.distinctRows(part, codes)), {
                  maximumIterations: config.iterations,
                  tolerance: 1e-4,
                  starts: 1,
                  rowsPerCentre: 256,
                  miniBatch: 0,
                  seedRows: 4096,
                  seed: seed * 31 + level
                })
                : yield* KMeans.lloyd(assign, part, codebooks[level]!, { maximumIterations: 4, tolerance: 1e-4 })
              next.push(ResidualCodebooks.pad(centres, codes))
            }
            codebooks = next
            if (turn + 1 === config.turns) break
            const decoded = decodeRotated(yield* encodeRotated(assign, rotated, codebooks), codebooks)
            rotation = procrustes(embeddings, decoded)
          }
          const found = yield* encodeRotated(assign, rotate(embeddings, rotation), codebooks)
          return { codes: found, model: toModel(rotation, codebooks, width) }
        }, (effect) => effect.pipe(Effect.scoped, Effect.provideService(TensorRuntime, runtime))),
        encode: Effect.fn("Opq.encode")(function*({ embeddings }, model) {
          const { codebooks, rotation, width } = ofModel(model)
          yield* ResidualCodebooks.checkWidth(embeddings, width)
          const assign = yield* KMeans.assigner
          return yield* encodeRotated(assign, rotate(embeddings, rotation), codebooks)
        }, (effect) => effect.pipe(Effect.scoped, Effect.provideService(TensorRuntime, runtime))),
        decode: (codes, model) =>
          Effect.sync(() => {
            const { codebooks, rotation, width } = ofModel(model)
            return unrotate(decodeRotated(codes, codebooks), rotation, width)
          }),
        distances: ({ embeddings }, _, level, model) =>
          Effect.sync(() => {
            const { codebooks, rotation } = ofModel(model)
            const part = slice(rotate(embeddings, rotation), level, codebooks.length)
            return SquaredDistances.exact(part, codebooks[level]!)
          })
      })
    })
  )
