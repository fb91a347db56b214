import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as QuantizerNames from "../../programs/QuantizerNames.ts"
import * as Quantizers from "../../programs/Quantizers.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as ApproximateBalance from "../../src/sid/clustering/ApproximateBalance.ts"
import * as BalancedAssignment from "../../src/sid/clustering/BalancedAssignment.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as BalancedRqKMeans from "../../src/sid/quantizer/BalancedRqKMeans.ts"
import * as UniformRqKMeans from "../../src/sid/quantizer/UniformRqKMeans.ts"
import * as Random from "../../src/statistics/Random.ts"

const services = Layer.mergeAll(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent, NodeServices.layer)

/** Rows around some centres, so that a tokenizer has something to find. */
const clustered = (rows: number, width: number, seed: number): Matrix => {
  const next = Random.normal(seed)
  const centres = Float32Array.from({ length: 24 * width }, next)
  return {
    rows,
    width,
    data: Float32Array.from(
      { length: rows * width },
      (_, i) => centres[(Math.floor(i / width) * 7 % 24) * width + i % width]! + 0.3 * next()
    )
  }
}

const given = join(tmpdir(), "sidereal-given.index.json")
const items: Quantizer.Items = {
  ...Quantizer.itemsOf(clustered(240, 12, 1)),
  popularity: Float64Array.from({ length: 240 }, (_, i) => (i * 37) % 240)
}
writeFileSync(
  given,
  JSON.stringify(Object.fromEntries(items.keys.map((key, i) => [key, [`<a_${i % 8}>`, `<b_${Math.floor(i / 8)}>`]])))
)

const quick: Partial<Record<QuantizerNames.Name, typeof Quantizers.TokenizerConfig.Encoded>> = {
  "rq-vae": { rqVae: { epochs: 30, network: { layers: [16], skip: "both" }, batch: 64, warmupEpochs: 1 } },
  "rq-kmeans-plus": {
    rqKMeansPlus: {
      network: {
        network: { layers: [32] },
        learningRate: 1e-2,
        epochs: 80,
        batch: 64,
        warmupEpochs: 1,
        kMeansStart: false,
        keep: "error"
      }
    }
  },
  given: { given: { path: given } }
}

const layerOf = (name: QuantizerNames.Name, values: typeof Quantizers.TokenizerConfig.Encoded = {}) =>
  Quantizers.layer(
    Schema.decodeSync(Quantizers.TokenizerConfig)({
      quantizer: name,
      shape: { levels: 2, codes: 16 },
      ...quick[name],
      ...values
    }),
    5
  ).pipe(Layer.provideMerge(services))

const knowing: ReadonlySet<QuantizerNames.Name> = new Set(
  [
    "rq-kmeans",
    "balanced",
    "rq-vae",
    "rq-kmeans-plus",
    "faiss-uniform",
    "opq",
    "fsq"
  ] as const
)

describe("every quantizer", () => {
  for (const name of QuantizerNames.names.filter((one) => one !== "rq-vae-minionerec")) {
    it.effect(
      `${name}: trains, encodes, decodes, diagnoses, and is a function of the seed`,
      () =>
        Effect.gen(function*() {
          const train = Effect.gen(function*() {
            const quantizer = yield* Quantizer.Quantizer
            return yield* quantizer.train(items)
          }).pipe(Effect.provide(layerOf(name)))
          const trained = yield* train
          assert.deepStrictEqual(yield* train, trained)
          const { codes, model } = trained
          assert.strictEqual(codes.codes.length, 240 * codes.levels)
          for (const [i, code] of codes.codes.entries()) {
            assert.isTrue(code >= 0 && code < model.codebookSizes[i % codes.levels]!, `${i}: ${code}`)
          }
          yield* Effect.gen(function*() {
            const quantizer = yield* Quantizer.Quantizer
            assert.strictEqual(quantizer.name, name)
            const diagnosis = yield* quantizer.diagnose(items, trained)
            assert.strictEqual(diagnosis.items, 240)
            if (knowing.has(name)) assert.isBelow(diagnosis.varianceLeft, 0.6)
            else assert.isAbove(diagnosis.varianceLeft, 0.6)
            // A new quantizer of the same settings works with the model alone.
            const encoded = yield* quantizer.encode(items, structuredClone(model))
            const decoded = yield* quantizer.decode(encoded, structuredClone(model))
            assert.strictEqual(decoded.width, 12)
            const own = yield* quantizer.diagnose(items, { model, codes: encoded })
            assert.isAtMost(own.varianceLeft, diagnosis.varianceLeft + 0.15)
            for (let level = 0; level < codes.levels; level++) {
              const distances = yield* quantizer.distances(items, encoded, level, model)
              assert.strictEqual(distances.rows, 240)
              assert.strictEqual(distances.width, model.codebookSizes[level])
              assert.isTrue(distances.data.every((value) => value > -1e-4))
            }
          }).pipe(Effect.provide(layerOf(name)))
        }),
      120_000
    )

    it.effect(`${name}: one item, and a component that is not a number, are errors that say so`, () =>
      Effect.gen(function*() {
        const quantizer = yield* Quantizer.Quantizer
        const one = yield* Effect.flip(quantizer.train(Quantizer.itemsOf(clustered(1, 12, 1))))
        assert.include(one.message, "at least 2 items")
        const bad = clustered(20, 12, 1)
        bad.data[12 * 3 + 5] = Infinity
        const error = yield* Effect.flip(quantizer.train(Quantizer.itemsOf(bad)))
        assert.include(error.message, "item 3 has Infinity in component 5")
      }).pipe(Effect.provide(layerOf(name))))
  }

  for (const name of ["rq-kmeans", "balanced", "rq-vae", "faiss-uniform", "opq", "fsq"] as const) {
    it.effect(
      `${name}: items that are all equal, and fewer items than codes, have stated results`,
      () =>
        Effect.gen(function*() {
          const quantizer = yield* Quantizer.Quantizer
          const equal: Matrix = { rows: 6, width: 12, data: new Float32Array(72).fill(0.5) }
          const { codes, model } = yield* quantizer.train(Quantizer.itemsOf(equal))
          const decoded = yield* quantizer.decode(codes, model)
          assert.isBelow(Math.max(...decoded.data.map((value) => Math.abs(value - 0.5))), 0.2)
          const few = yield* quantizer.train(Quantizer.itemsOf(clustered(5, 12, 2)))
          assert.strictEqual(few.codes.codes.length, 10)
        }).pipe(Effect.provide(layerOf(name))),
      60_000
    )
  }

  it.effect("given: a file that is absent, is no JSON, or lacks an item, is an error that says so", () =>
    Effect.gen(function*() {
      const failing = (config: typeof Quantizers.TokenizerConfig.Encoded) =>
        Quantizer.Quantizer.pipe(
          Effect.flatMap((quantizer) => quantizer.train(items)),
          Effect.provide(layerOf("given", config)),
          Effect.flip
        )
      const path = join(tmpdir(), "sidereal-broken.index.json")
      assert.include((yield* failing({ given: { path: `${path}.absent` } })).message, "(whole file)")
      writeFileSync(path, "{")
      assert.include((yield* failing({ given: { path } })).message, "(whole file)")
      writeFileSync(path, JSON.stringify({ 0: ["<a_1>"] }))
      assert.include((yield* failing({ given: { path } })).message, "item \"1\" has the SID nothing")
      const absent = yield* Effect.flip(
        Effect.provide(
          Quantizer.Quantizer,
          Quantizers.layer(Schema.decodeSync(Quantizers.TokenizerConfig)({ quantizer: "given" }), 1).pipe(
            Layer.provide(services)
          )
        )
      )
      assert.include(absent.message, "tokenizer.given.path is absent")
    }))
})

describe("balance", () => {
  const sizes = (labels: Int32Array, clusters: number) => {
    const counts = new Int32Array(clusters)
    for (const label of labels) counts[label]!++
    return counts
  }

  it.effect("every code of a level is used by N / K items, one more or less", () =>
    Effect.gen(function*() {
      const quantizer = yield* Quantizer.Quantizer
      const { codes } = yield* quantizer.train(items)
      for (let level = 0; level < 2; level++) {
        const labels = Int32Array.from({ length: 240 }, (_, i) => codes.codes[i * 2 + level]!)
        for (const count of sizes(labels, 16)) assert.isTrue(count >= 14 && count <= 16, String(count))
      }
    }).pipe(Effect.provide(layerOf("balanced"))))

  it("handing out leaves no code over its room, and plans have the sums that are asked for", () => {
    const next = Random.uniform(8)
    const [rows, K] = [103, 7]
    const costs = Float64Array.from({ length: rows * K }, () => next() * 4)
    const capacities = Int32Array.from({ length: K }, (_, k) => Math.floor(rows / K) + (k < rows % K ? 1 : 0))
    const plan = UniformRqKMeans.plan(costs, rows, capacities, 0.3)
    for (let k = 0; k < K; k++) {
      let sum = 0
      for (let r = 0; r < rows; r++) sum += plan[r * K + k]!
      assert.closeTo(sum, capacities[k]! / rows, 1e-6)
    }
    for (let r = 0; r < rows; r++) {
      assert.closeTo(plan.subarray(r * K, (r + 1) * K).reduce((a, b) => a + b, 0), 1 / rows, 1e-6)
    }
    assert.deepStrictEqual([...sizes(UniformRqKMeans.handOut(plan, rows, capacities, 3), K)], [...capacities])
  })

  it.effect("the approximate assignment keeps the bounds and costs little more than the exact one", () =>
    Effect.gen(function*() {
      const next = Random.uniform(9)
      const [rows, K] = [4000, 20]
      const costs = Float64Array.from(
        { length: rows * K },
        (_, i) => Math.round(1e6 * next() ** (1 + (i % K) / 8))
      )
      const bounds = BalancedRqKMeans.boundsOf(rows, K, 1)
      const exact = BalancedAssignment.solve(costs, rows, K, bounds)
      const labels = yield* ApproximateBalance.assign(
        (chosen) =>
          Effect.succeed(
            Float64Array.from({ length: chosen.length * K }, (_, i) => costs[chosen[Math.floor(i / K)]! * K + i % K]!)
          ),
        rows,
        K,
        bounds,
        2
      )
      for (const count of sizes(labels, K)) assert.isTrue(count >= bounds.least && count <= bounds.most)
      const cost = labels.reduce((sum, label, r) => sum + costs[r * K + label]!, 0)
      assert.isBelow(cost, exact.cost * 1.1)
    }))
})
