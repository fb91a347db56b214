import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Precomputed from "../../src/embedding/Precomputed.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as KMeans from "../../src/sid/clustering/KMeans.ts"
import * as ResidualCodebooks from "../../src/sid/codebook/ResidualCodebooks.ts"
import type * as Codes from "../../src/sid/Codes.ts"
import * as Diagnostics from "../../src/sid/Diagnostics.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as RqKMeans from "../../src/sid/quantizer/RqKMeans.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import { data, distance, golden, json, list, tensors } from "../Golden.ts"

const folder = join(golden, "sid")
const kindOf = (suffix: string) => list(folder).find((name) => name.endsWith(suffix))
const filesOf = (suffix: string) => {
  const kind = kindOf(suffix)
  return kind === undefined ? [] : list(folder, kind).map((file) => [kind, file] as const)
}
const layer = Layer.merge(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent)

/** The index that a case names: given with it, or a file of the data folder. */
const indexOf = (
  name: string | Record<string, ReadonlyArray<string>>
): Effect.Effect<SidIndex.SidIndex | void> => {
  if (typeof name !== "string") return SidIndex.fromJson(name).pipe(Effect.orDie)
  const set = list(data).find((candidate) =>
    name === candidate || name.startsWith(`${candidate}-`) || name.startsWith(`${candidate}/`)
  )
  if (set === undefined) return Effect.void
  const place = name === set ? [set] : [set, "indexes", name.slice(set.length + 1)]
  const file = list(data, ...place).find((candidate) => candidate.endsWith(".index.json"))
  return file === undefined
    ? Effect.void
    : SidIndex.fromJson(json(data, ...place, file)).pipe(Effect.orDie)
}

const codeOf = (token: string) => Number(token.slice(3, -1))
/** Codes of tokens, -1 where a token is of another level than its place. */
const codesOf = (tokens: ReadonlyArray<string>) =>
  tokens.map((token, level) => (token.startsWith(`<${String.fromCharCode(97 + level)}_`) ? codeOf(token) : -1))

describe("SidIndex and Diagnostics against counted figures", () => {
  if (filesOf("-diagnostics").length === 0) it.skipIf(true)("no diagnostics case is here", () => {})
  for (const [kind, file] of filesOf("-diagnostics")) {
    const cases = json(folder, kind, file) as Record<string, Record<string, never>>
    for (const [name, expected] of Object.entries(cases)) {
      it.effect(`measures ${name}`, () =>
        Effect.gen(function*() {
          const index = yield* indexOf((expected["index"] as never) ?? name)
          if (index === undefined) return
          const measured = Diagnostics.measure(index.sids, index.codebookSizes)
          assert.strictEqual(measured.items, expected["items"])
          assert.strictEqual(measured.distinct, expected["distinct_sids"])
          assert.closeTo(measured.collisionRate, expected["collision_rate"]!, 1e-12)
          assert.strictEqual(measured.collidingItems, expected["items_in_collision_groups"])
          const groups = Diagnostics.groups(index.sids).filter((group) => group.length > 1)
          assert.strictEqual(groups.length, expected["collision_groups"])
        }))
    }
  }
})

describe("Trie against counted prefixes", () => {
  if (filesOf("-trie").length === 0) it.skipIf(true)("no trie case is here", () => {})
  for (const [kind, file] of filesOf("-trie")) {
    it.effect(`knows what follows and what does not: ${file}`, () =>
      Effect.gen(function*() {
        const one = json(folder, kind, file)
        const index = yield* indexOf(one.index)
        if (index === undefined) return
        const below = Trie.itemsBelow(index.trie)
        for (const { ends_here, items_below, next, prefix } of one.valid) {
          const node = Trie.find(index.trie, codesOf(prefix))
          assert.isAtLeast(node, 0, String(prefix))
          assert.deepStrictEqual([...Trie.children(index.trie, node)], next.map(codeOf))
          assert.strictEqual(below[node], items_below)
          assert.deepStrictEqual(
            [...Trie.items(index.trie, node)].map(String).toSorted(),
            ends_here.map(String).toSorted()
          )
        }
        for (const prefix of one.invalid) assert.strictEqual(Trie.find(index.trie, codesOf(prefix)), -1, String(prefix))
      }))
  }
})

const matrix = (tensor: { shape: ReadonlyArray<number>; data: unknown }): Matrix => ({
  rows: tensor.shape[0]!,
  width: tensor.shape[1]!,
  data: Float32Array.from(tensor.data as Float32Array)
})

describe("ResidualCodebooks.encode against faiss", () => {
  const cases = filesOf("-rqkmeans").filter(([, file]) => file.startsWith("encode-"))
  if (cases.length === 0) it.skipIf(true)("no encoding case is here", () => {})
  for (const [kind, file] of cases) {
    it.effect(`chooses the same greedy codes and decodes them: ${file}`, () =>
      Effect.gen(function*() {
        const all = tensors(folder, kind, file)
        const books = all.get("codebooks")!
        const [levels, k, width] = books.shape as [number, number, number]
        const values = Float32Array.from(books.data as Float32Array)
        const codebooks = Array.from({ length: levels }, (_, l) => ({
          rows: k,
          width,
          data: values.slice(l * k * width, (l + 1) * k * width)
        }))
        const rows = matrix((all.get("rows") ?? all.get("x"))!)
        const assign = yield* KMeans.assigner
        const encoded = yield* ResidualCodebooks.encode(assign, rows, codebooks)
        assert.deepStrictEqual([...encoded.codes], [...all.get("codes_beam1")!.data as Int32Array])
        const reconstruction = all.get("reconstruction_beam1")!.data as Float32Array
        assert.isBelow(distance(ResidualCodebooks.decode(encoded, codebooks).data, reconstruction), 1e-4)
        assert.deepStrictEqual(ResidualCodebooks.encodeBeam(rows, codebooks, 1), encoded)
        const error = (codes: Codes.Codes) =>
          ResidualCodebooks.decode(codes, codebooks).data.reduce((sum, x, i) => sum + (x - rows.data[i]!) ** 2, 0)
        const faiss = (all.get("squared_error_beam5")?.data as Float32Array | undefined)?.reduce((a, b) => a + b, 0)
        if (faiss === undefined) return
        const wide = error(ResidualCodebooks.encodeBeam(rows, codebooks, 5))
        assert.isBelow(wide, error(encoded))
        assert.isAtMost(wide, faiss * 1.001)
      }).pipe(Effect.provide(layer)))
  }
})

describe("RqKMeans against what scikit-learn reaches on real texts", () => {
  const kind = kindOf("-rqkmeans")
  const embeddings = list(folder).find((file) => file.endsWith(".npy"))
  const runs = kind === undefined || !list(folder, kind).includes("quality.json") || embeddings === undefined
    ? {}
    : json(folder, kind, "quality.json").runs as Record<string, ReadonlyArray<{ mse_after_each_level: Array<number> }>>
  const wanted = Object.entries(runs).filter(([name]) => /^(sklearn|scikit)/.test(name))
  if (wanted.length === 0) it.skipIf(true)("no quality is here", () => {})
  for (const [name, measured] of wanted) {
    const [, codes, levels] = /K(\d+)-L(\d+)/.exec(name)!
    it.effect(`ends within 3 % of its error: ${name}`, () =>
      Effect.gen(function*() {
        const rows = yield* Precomputed.matrixOf(join(folder, embeddings!))
        const quantizer = yield* Quantizer.Quantizer
        const items = Quantizer.itemsOf(rows)
        const diagnosis = yield* quantizer.diagnose(items, yield* quantizer.train(items))
        const mean = measured.reduce((sum, run) => sum + run.mse_after_each_level.at(-1)!, 0) / measured.length
        assert.isAtMost(diagnosis.meanSquaredError, 1.03 * mean)
      }).pipe(
        Effect.provide(
          RqKMeans.layer(
            Schema.decodeSync(RqKMeans.RqKMeansConfig)({}),
            Schema.decodeSync(Quantizer.SidShape)({ codes: Number(codes), levels: Number(levels) }),
            1
          ).pipe(Layer.provide(layer), Layer.merge(NodeServices.layer))
        )
      ), 240_000)
  }
})

describe("KMeans.lloyd against scikit-learn", () => {
  const cases = filesOf("-kmeans").filter(([kind, file]) => kind.startsWith("03") && file.endsWith(".json"))
  if (cases.length === 0) it.skipIf(true)("no k-means case is here", () => {})
  for (const [kind, file] of cases) {
    const all = tensors(folder, kind, file.replace(".json", ".safetensors"))
    for (const [name, one] of Object.entries<Record<string, never>>(json(folder, kind, file))) {
      it.effect(`ends at the same centres, empty clusters included: ${name}`, () =>
        Effect.gen(function*() {
          const assign = yield* KMeans.assigner
          const found = yield* KMeans.lloyd(assign, matrix(all.get(`${name}.x`)!), matrix(all.get(`${name}.init`)!), {
            maximumIterations: one["max_iter"]!,
            tolerance: one["tol"]!
          })
          const expected = all.get(`${name}.centres`)!.data as Float64Array
          const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
          assert.closeTo(found.inertia, one["inertia"]!, 1e-4 * Math.max(1, one["inertia"]!))
          if (one["labels_comparable"] !== true) return
          assert.isBelow(distance(found.centres.data, expected), 2e-5 * scale)
          const sizes = (one["sizes"] as unknown as ReadonlyArray<number>).map((_, label) =>
            found.labels.filter((own) => own === label).length
          )
          assert.deepStrictEqual(sizes, one["sizes"])
        }).pipe(Effect.provide(layer)))
    }
  }
})
