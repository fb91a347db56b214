import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as QuantizerNames from "../../programs/QuantizerNames.ts"
import * as Quantizers from "../../programs/Quantizers.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as CollisionPolicy from "../../src/sid/CollisionPolicy.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import { type SidError } from "../../src/sid/SidError.ts"
import * as Random from "../../src/statistics/Random.ts"

const services = Layer.mergeAll(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent, NodeServices.layer)

/** Rows of which the r-th is the kind `kindOf(r)`; kind -1 is a row of zeros. */
const rowsOf = (rows: number, width: number, kindOf: (row: number) => number): Matrix => ({
  rows,
  width,
  data: Float32Array.from({ length: rows * width }, (_, i) => {
    const kind = kindOf(Math.floor(i / width))
    return kind < 0 ? 0 : Random.normal(7, kind, i % width)()
  })
})

const catalogues: Readonly<Record<string, Matrix>> = {
  "two items": rowsOf(2, 6, (row) => row),
  "two equal items": rowsOf(2, 6, () => 1),
  "two items of one component": rowsOf(2, 1, (row) => row),
  "five items, two of them equal": rowsOf(5, 6, (row) => Math.max(1, row)),
  "twelve equal items": rowsOf(12, 6, () => 1),
  "twelve items without an embedding": rowsOf(12, 6, () => -1),
  "twelve items of one component without an embedding": rowsOf(12, 1, () => -1),
  "40 items, every third without an embedding": rowsOf(40, 6, (row) => (row % 3 === 0 ? -1 : row)),
  "300 items of 30 kinds": rowsOf(300, 6, (row) => row % 30)
}

const folder = mkdtempSync(join(tmpdir(), "sidereal-degenerate-"))

/** An index of two codes in which some items collide. */
const givenFor = (items: number) => {
  const path = join(folder, `${items}.index.json`)
  const sids = Array.from({ length: items }, (_, i) => [String(i), [`<a_${i % 9}>`, `<b_${(i >> 3) % items}>`]])
  writeFileSync(path, JSON.stringify(Object.fromEntries(sids)))
  return { path }
}

const network = {
  epochs: 8,
  network: { layers: [8], skip: "both" },
  batch: 64,
  warmupEpochs: 1,
  lastLevel: "distinct"
} as const

const layerOf = (
  name: QuantizerNames.Name,
  items: number,
  shape: typeof Quantizer.SidShape.Encoded = {}
) =>
  Quantizers.layer(
    Schema.decodeSync(Quantizers.TokenizerConfig)({
      quantizer: name,
      shape,
      rqVae: network,
      rqKMeansPlus: { network: { ...network, kMeansStart: false, lastLevel: "nearest" } },
      ...(name === "given" ? { given: givenFor(items) } : {})
    }),
    5
  ).pipe(Layer.provideMerge(services))

// That of MiniOneRec is the same network as rq-vae, for an hour.
const names = QuantizerNames.names.filter((name) => name !== "rq-vae-minionerec")

const resolved = (policy: CollisionPolicy.CollisionPolicy, embeddings: Matrix) =>
  Effect.gen(function*() {
    const quantizer = yield* Quantizer.Quantizer
    const items = Quantizer.itemsOf(embeddings)
    return yield* CollisionPolicy.resolve(policy, quantizer, items, yield* quantizer.train(items))
  })

describe("embeddings that are equal, few or zero never stop a tokenizer", () => {
  for (const name of names) {
    for (const [catalogue, embeddings] of Object.entries(catalogues)) {
      it.effect(`${name}: ${catalogue}`, () =>
        Effect.gen(function*() {
          const quantizer = yield* Quantizer.Quantizer
          const items = Quantizer.itemsOf(embeddings)
          const trained = yield* quantizer.train(items)
          const diagnosis = yield* quantizer.diagnose(items, trained)
          assert.isTrue(Number.isFinite(diagnosis.varianceLeft) && Number.isFinite(diagnosis.meanSquaredError))
          for (const tensor of trained.model.tensors.values()) {
            assert.isFalse(tensor.data.some((value) => value === Infinity || value === -Infinity))
          }
          for (const [policyName, policy] of Object.entries(Quantizers.policies)) {
            const { codebookSizes, sids } = yield* CollisionPolicy.resolve(policy, quantizer, items, trained)
            assert.strictEqual(sids.length, embeddings.rows)
            for (const sid of sids) {
              for (const [level, code] of sid.entries()) {
                assert.isTrue(code >= 0 && code < codebookSizes[level]!, `${policyName}: ${sid.join()}`)
              }
            }
            if (policyName === "keep") continue
            assert.strictEqual(new Set(sids.map((sid) => sid.join())).size, embeddings.rows, policyName)
          }
        }).pipe(Effect.provide(layerOf(name, embeddings.rows))), 240_000)
    }

    if (name === "given") continue
    it.effect(`${name}: one level has codes enough by default`, () =>
      Effect.gen(function*() {
        const { sids } = yield* resolved(Quantizers.policies["nearest-free-leaf"], catalogues["300 items of 30 kinds"]!)
        assert.strictEqual(new Set(sids.map(([code]) => code)).size, 300)
      }).pipe(Effect.provide(layerOf(name, 300, { levels: 1 }))), 240_000)

    it.effect(`${name}: more items than SIDs is an error whose advice is right`, () =>
      Effect.gen(function*() {
        const embeddings = catalogues["twelve equal items"]!
        const failing = (shape: typeof Quantizer.SidShape.Encoded) =>
          resolved(Quantizers.policies["nearest-free-leaf"], embeddings).pipe(
            Effect.flip,
            Effect.provide(layerOf(name, 12, shape))
          )
        const error = (yield* failing({ levels: 2, codes: 2 })) as SidError
        assert.strictEqual(error.reason._tag, "TooFewCodes")
        assert.include(error.message, "12 items cannot have a SID each: 2 x 2 codes make 4.")
        const advice = [...error.message.matchAll(/\{"levels": \d+, "codes": \d+\}/g)].map(([shape]) =>
          JSON.parse(shape) as typeof Quantizer.SidShape.Encoded
        )
        assert.deepStrictEqual(advice, [{ levels: 2, codes: 4 }, { levels: 4, codes: 2 }])
        for (const shape of advice) {
          const { sids } = yield* resolved(Quantizers.policies["nearest-free-leaf"], embeddings).pipe(
            Effect.provide(layerOf(name, 12, shape))
          )
          assert.strictEqual(new Set(sids.map((sid) => sid.join())).size, 12)
        }
      }), 240_000)
  }
})
