import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as CodebookMeans from "../../src/sid/codebook/CodebookMeans.ts"
import * as Codes from "../../src/sid/Codes.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as RqVae from "../../src/sid/quantizer/RqVae.ts"
import * as RqVaeModel from "../../src/sid/rqvae/RqVaeModel.ts"
import * as Network from "../../src/sid/rqvae/RqVaeNetwork.ts"
import * as RqVaeTrainer from "../../src/sid/rqvae/RqVaeTrainer.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as TensorProgram from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"

const onnx = Layer.merge(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent)
const config = (values: typeof RqVaeModel.RqVaeConfig.Encoded) => Schema.decodeSync(RqVaeModel.RqVaeConfig)(values)
const shape = (values: typeof Quantizer.SidShape.Encoded) => Schema.decodeSync(Quantizer.SidShape)(values)

const gaussian = (rows: number, width: number, seed: number): Matrix.Matrix => ({
  rows,
  width,
  data: Float32Array.from({ length: rows * width }, Random.normal(seed))
})

const [B, D, K] = [6, 5, 4]

/** Value, gradients and codes of a scalar function of what two levels make of rows. */
const ofLevels = (
  network: Network.NetworkConfig,
  rows: Matrix.Matrix,
  codebooks: ReadonlyArray<Matrix.Matrix>,
  scalar: (levels: ReadonlyArray<Network.LevelOutput>) => tf.Tensor
) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const names = codebooks.map((_, level) => Network.codebookName(level))
    const program = yield* runtime.compile(TensorProgram.make({
      name: "remedies",
      inputs: {
        rows: TensorProgram.float32(B, D),
        ...Object.fromEntries(names.map((name) => [name, TensorProgram.float32(K, D)]))
      },
      body: (all: Readonly<Record<string, tf.Tensor>>) => {
        const { auxiliary, gradients, value } = Autodiff.withAuxiliary((weights) => {
          const levels = Network.quantize(network, weights, weights["rows"]!)
          return {
            // Every input has a gradient, if only zero.
            loss: Object.values(weights).reduce((sum, x) => sum.add(x.sum().mul(tf.scalar(0))), scalar(levels)),
            auxiliary: {
              straightThrough: levels[0]!.straightThrough,
              quantized: levels[0]!.quantized,
              codes: levels[0]!.codes
            }
          }
        }, all)
        return { value, ...auxiliary, ...Object.fromEntries(Object.entries(gradients).map(([k, v]) => [`d ${k}`, v])) }
      }
    }))
    const outputs = yield* program.run({
      rows: TensorProgram.hostFloat32(rows.data, B, D),
      ...Object.fromEntries(codebooks.map(({ data }, l) => [names[l]!, TensorProgram.hostFloat32(data, K, D)]))
    })
    const read: Record<string, Float64Array> = {}
    for (const [name, handle] of Object.entries(outputs)) {
      read[name] = Float64Array.from((yield* handle.read).data as Float32Array)
    }
    return read
  }).pipe(Effect.scoped, Effect.provide(Reference.layer))

const network = (values: typeof Network.NetworkConfig.Encoded) =>
  Schema.decodeSync(Network.NetworkConfig)({ width: D, codes: [K, K], ...values })

describe("the rotation trick", () => {
  it.effect("gives the code itself, and turns the gradient as the matrix in float64 does", () =>
    Effect.gen(function*() {
      const rows = gaussian(B, D, 1)
      const codebooks = [gaussian(K, D, 2), gaussian(K, D, 3)]
      const weights = gaussian(B, D, 4)
      const found = yield* ofLevels(
        network({ estimator: "rotation" }),
        rows,
        codebooks,
        ([first]) => first!.straightThrough.mul(tf.tensor2d(weights.data, [B, D])).sum()
      )
      assert.isBelow(distance(found["straightThrough"]!, found["quantized"]!), 1e-5)
      const norm = (x: ReadonlyArray<number>) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0))
      for (let r = 0; r < B; r++) {
        const x = [...Matrix.row(rows, r)]
        const q = [...Matrix.row(codebooks[0]!, found["codes"]![r]!)]
        const u = x.map((v) => v / norm(x))
        const v = q.map((value) => value / norm(q))
        const s = u.map((value, d) => value + v[d]!)
        const w = s.map((value) => value / norm(s))
        const g = [...Matrix.row(weights, r)]
        // R = lambda (I - 2 w w' + 2 v u'); the gradient is R' g.
        const [wg, vg] = [w, v].map((vector) => vector.reduce((sum, value, d) => sum + value * g[d]!, 0)) as [
          number,
          number
        ]
        const expected = g.map((value, d) => norm(q) / norm(x) * (value - 2 * w[d]! * wg + 2 * u[d]! * vg))
        assert.isBelow(distance(found["d rows"]!.subarray(r * D, (r + 1) * D), expected), 1e-5)
      }
    }))
})

describe("the balance loss", () => {
  it.effect("has the value and the gradient of its definition (float64, finite differences)", () =>
    Effect.gen(function*() {
      const rows = gaussian(B, D, 5)
      const codebooks = [gaussian(K, D, 6), gaussian(K, D, 7)]
      const settings = network({ balanceWeight: 1, balanceTemperature: 0.5, codebookUpdate: "means", beta: 0 })
      const at = (codebooks: ReadonlyArray<Matrix.Matrix>) =>
        ofLevels(settings, rows, codebooks, (levels) => levels[1]!.loss)
      const found = yield* at(codebooks)
      // The scale by which distances are divided is a constant of the gradient, so differences move codes along
      // directions that keep it: pairs of changes are compared through a float64 model of the loss.
      const residual = yield* ofLevels(settings, rows, codebooks, (levels) => levels[0]!.loss)
      const left = Float64Array.from(
        rows.data,
        (value, i) => value - codebooks[0]!.data[residual["codes"]![Math.floor(i / D)]! * D + i % D]!
      )
      const distancesOf = (book: ArrayLike<number>) =>
        Float64Array.from({ length: B * K }, (_, i) => {
          let sum = 0
          for (let d = 0; d < D; d++) sum += (left[Math.floor(i / K) * D + d]! - book[(i % K) * D + d]!) ** 2
          return sum
        })
      const start = distancesOf(codebooks[1]!.data)
      const scale = 0.5 * start.reduce((a, b) => a + b, 0) / start.length
      const loss = (book: ArrayLike<number>) => {
        const distances = distancesOf(book)
        const use = new Float64Array(K)
        for (let r = 0; r < B; r++) {
          const e = Array.from({ length: K }, (_, k) => Math.exp(-distances[r * K + k]! / scale))
          const total = e.reduce((a, b) => a + b, 0)
          for (let k = 0; k < K; k++) use[k] = use[k]! + e[k]! / total / B
        }
        return Math.log(K) + use.reduce((sum, p) => sum + p * Math.log(p), 0)
      }
      assert.closeTo(found["value"]![0]!, loss(codebooks[1]!.data), 1e-5)
      const gradient = found[`d ${Network.codebookName(1)}`]!
      const step = 1e-4
      for (let i = 0; i < K * D; i++) {
        const moved = [1, -1].map((sign) => {
          const book = Float64Array.from(codebooks[1]!.data)
          book[i] = book[i]! + sign * step
          return loss(book)
        })
        assert.closeTo(gradient[i]!, (moved[0]! - moved[1]!) / (2 * step), 1e-4)
      }
    }))
})

describe("CodebookMeans", () => {
  it("follows the rows as the recursion says, and leaves a code without rows where it is", () => {
    const means = CodebookMeans.make(3, 2, 0.9)
    const codebook = Float32Array.of(0, 0, 1, 1, 5, 5)
    means.begin(codebook)
    const rows = { rows: 3, width: 2, data: Float32Array.of(2, 0, 4, 0, 1, 3) }
    means.follow(rows, [0, 0, 1], codebook)
    const expected = [0.1 * 6 / (0.9 + 0.2), 0, (0.9 + 0.1) / 1, (0.9 + 0.3) / 1, 5, 5]
    assert.isBelow(distance(codebook, expected), 1e-6)
    means.place(2, Float32Array.of(7, 7))
    means.follow({ rows: 1, width: 2, data: Float32Array.of(8, 7) }, [2], codebook)
    assert.isBelow(distance(codebook.subarray(4), [(0.9 * 7 + 0.1 * 8) / 1, 7]), 1e-6)
  })
})

describe("RqVae with remedies against collapse", () => {
  const rows = gaussian(200, 8, 11)

  for (
    const [name, network] of Object.entries<typeof Network.NetworkConfig.Encoded>({
      "codebooks by running means": { codebookUpdate: "means" },
      "codebooks that learn from the reconstruction": { codebookUpdate: "reconstruction" },
      "cosine codes": { similarity: "cosine" },
      "rotation trick": { estimator: "rotation" },
      "balance loss": { balanceWeight: 0.1 },
      "skips in both parts": { skip: "both" }
    })
  ) {
    it.effect(`lowers the error: ${name}`, () =>
      Effect.gen(function*() {
        const errorAfter = (epochs: number) =>
          Effect.gen(function*() {
            const settings = config({
              network: { layers: [16], width: 8, codes: [8, 8], ...network },
              epochs,
              batch: 50,
              warmupEpochs: 1,
              learningRate: 3e-3,
              keep: "error",
              evaluationEpochs: 5
            })
            const { rqVae } = yield* RqVaeTrainer.train(settings, rows, 3)
            const decoded = yield* rqVae.decode(yield* rqVae.encode(rows))
            return decoded.data.reduce((sum, x, i) => sum + (x - rows.data[i]!) ** 2, 0)
          }).pipe(Effect.scoped)
        assert.isBelow(yield* errorAfter(30), 0.97 * (yield* errorAfter(1)))
      }).pipe(Effect.provide(onnx)), 240_000)
  }

  it.effect("restart puts unused codes where they are used", () =>
    Effect.gen(function*() {
      const settings = config({ network: { layers: [], width: 8, codes: [8], skip: "both" }, kMeansStart: false })
      const rqVae = yield* RqVaeModel.make(settings, 8, 1)
      const far = gaussian(8, 8, 2)
      far.data.fill(50, 8)
      yield* rqVae.beginWith([far])
      const used = (codes: Codes.Codes) => new Set(codes.codes).size
      const before = yield* rqVae.encode(rows)
      assert.strictEqual(used(before), 1)
      const counts = Array.from({ length: 8 }, (_, code) => before.codes.filter((own) => own === code).length)
      assert.strictEqual(yield* rqVae.restart(rows, [counts], Random.uniform(5)), 7)
      assert.strictEqual(used(yield* rqVae.encode(rows)), 8)
    }).pipe(Effect.scoped, Effect.provide(onnx)))

  for (const input of ["standardized", "pca"] as const) {
    it.effect(
      `a trained model is plain data, and what the network sees is undone: ${input}`,
      () =>
        Effect.gen(function*() {
          const layer = RqVae.layer(
            config({ ...RqVae.stabilized, epochs: 4, evaluationEpochs: 2, input }),
            shape({ codes: 16, levels: 3 }),
            3
          ).pipe(Layer.provide(onnx))
          const items = Quantizer.itemsOf(gaussian(120, 8, 4))
          const use = <A, E>(
            work: (quantizer: Quantizer.Quantizer["Service"]) => Effect.Effect<A, E>
          ) => Quantizer.Quantizer.pipe(Effect.flatMap(work), Effect.provide(layer))
          const trained = yield* use((quantizer) => quantizer.train(items))
          const kept: Quantizer.Trained = structuredClone(trained)
          const again = yield* use((quantizer) => quantizer.encode(items, kept.model))
          assert.deepStrictEqual(again, trained.codes)
          assert.strictEqual(new Set(Codes.rowsOf(again).map(String)).size, 120)
          const diagnosis = yield* use((quantizer) => quantizer.diagnose(items, kept))
          assert.isBelow(diagnosis.varianceLeft, 0.5)
          const wide = Quantizer.itemsOf(gaussian(3, 9, 1))
          const error = yield* use((quantizer) => Effect.flip(quantizer.encode(wide, kept.model)))
          assert.include(error.message, "have 9 components, the quantizer was trained on 8")
        }),
      60_000
    )
  }
})
