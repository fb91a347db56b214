import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { linearSumAssignment } from "linear-sum-assignment"
import * as MlMatrix from "ml-matrix"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import * as LinearAssignment from "../../src/sid/clustering/LinearAssignment.ts"
import * as SquaredDistances from "../../src/sid/clustering/SquaredDistances.ts"
import * as ResidualCodebooks from "../../src/sid/codebook/ResidualCodebooks.ts"
import * as Codes from "../../src/sid/Codes.ts"
import * as FreeLeaves from "../../src/sid/collision/FreeLeaves.ts"
import * as NearestFreeLeaf from "../../src/sid/collision/NearestFreeLeaf.ts"
import * as OptimalReassignment from "../../src/sid/collision/OptimalReassignment.ts"
import * as SinkhornRepair from "../../src/sid/collision/SinkhornRepair.ts"
import * as CollisionPolicy from "../../src/sid/CollisionPolicy.ts"
import * as Diagnostics from "../../src/sid/Diagnostics.ts"
import { type ModelTensor } from "../../src/sid/Quantizer.ts"
import * as RqVaeModel from "../../src/sid/rqvae/RqVaeModel.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as Random from "../../src/statistics/Random.ts"
import { golden, json, list, tensors } from "../Golden.ts"

const folder = join(golden, "sid")
const kindOf = (suffix: string) => list(folder).find((name) => name.endsWith(suffix)) ?? ""
const sidsOf = (rows: ReadonlyArray<ReadonlyArray<number>>) => rows.map((codes) => Int32Array.from(codes))
const never: CollisionPolicy.Distances = () => Effect.die(new Error("no distance is needed"))
const plain = (sids: ReadonlyArray<Int32Array>) => sids.map((codes) => [...codes])

describe("Collision", () => {
  const sids = sidsOf([[1, 2], [1, 2], [0, 0], [1, 2], [0, 1]])

  it.effect("extra-token gives colliding items one more code, and no SID begins another", () =>
    Effect.gen(function*() {
      const index = SidIndex.fromResolved(yield* CollisionPolicy.extraToken.resolve(sids, [2, 3], never), "extra-token")
      assert.deepStrictEqual(plain(index.sids), [[1, 2, 0], [1, 2, 1], [0, 0], [1, 2, 2], [0, 1]])
      assert.deepStrictEqual([...index.codebookSizes], [2, 3, 3])
      assert.strictEqual(new Set(index.leafOf).size, 5)
      for (const leaf of index.leafOf) assert.strictEqual(Trie.childCount(index.trie, leaf), 0)
    }))

  it.effect("keep leaves shared SIDs, and index.json goes there and back", () =>
    Effect.gen(function*() {
      const index = SidIndex.fromResolved(yield* CollisionPolicy.keep.resolve(sids, [2, 3], never), "keep")
      assert.strictEqual(new Set(index.leafOf).size, 3)
      assert.strictEqual(SidIndex.format(index.sids[0]!), "<a_1><b_2>")
      const back = yield* SidIndex.fromJson(JSON.parse(JSON.stringify(SidIndex.toJson(index))))
      assert.deepStrictEqual(back.sids, index.sids)
      for (const bad of [{ 0: ["<a_1>", "<a_2>"] }, { 0: [] }, { 1: ["<a_1>"] }, { 0: "<a_1>" }, null, [["<a_1>"]]]) {
        const error = yield* Effect.flip(SidIndex.fromJson(bad))
        assert.strictEqual(error.reason._tag, "BadIndex")
      }
    }))
})

describe("SIDs of several lengths", () => {
  const mixed = sidsOf([[1, 2], [1, 2], [1, 2, 0], [1, 2, 0], [0], [0], [1, 2, 1], [1, 0]])
  const distances: CollisionPolicy.Distances = (items, _, level) =>
    Effect.succeed({
      rows: items.length,
      width: 4,
      data: new Float32Array(items.length * 4).map((_, i) => (i * 7 + level) % 5)
    })
  for (const policy of [NearestFreeLeaf.policy, OptimalReassignment.policy, CollisionPolicy.extraToken]) {
    it.effect(`each get a leaf: ${policy.name}`, () =>
      Effect.gen(function*() {
        const resolved = yield* CollisionPolicy.resolveSids(policy, mixed, [4, 4, 4], distances)
        const index = SidIndex.fromResolved(resolved, policy.name)
        assert.strictEqual(new Set(index.leafOf).size, mixed.length)
        assert.deepStrictEqual(plain(index.sids)[6], [1, 2, 1])
        if (policy !== CollisionPolicy.extraToken) {
          assert.deepStrictEqual(index.sids.map(({ length }) => length), mixed.map(({ length }) => length))
        }
      }))
  }
})

describe("the extra token as MiniOneRec writes it", () => {
  const kind = kindOf("-rqkmeans-plus")
  const files = kind === "" ? [] : list(folder, kind).filter((file) => file.startsWith("fourth-token"))
  if (files.length === 0) it.skipIf(true)("no case is here", () => {})
  for (const file of files) {
    for (
      const [name, one] of Object.entries<{ codes: ReadonlyArray<ReadonlyArray<number>>; index: object }>(
        json(folder, kind, file)
      )
    ) {
      it.effect(name, () =>
        Effect.gen(function*() {
          const codes = sidsOf(one.codes)
          const resolved = yield* CollisionPolicy.extraToken.resolve(codes, codes[0]!.map(() => 256) as never, never)
          assert.deepStrictEqual(SidIndex.toJson(SidIndex.fromResolved(resolved, "extra-token"), 1), one.index as never)
        }))
    }
  }
})

describe("SinkhornRepair against MiniOneRec's program", () => {
  const kind = kindOf("-index")
  const files = kind === "" ? [] : list(folder, kind).filter((file) => file.endsWith(".json"))
  if (files.length === 0) it.skipIf(true)("no case is here", () => {})
  for (const file of files) {
    it.effect(`the same codes round by round: ${file}`, () =>
      Effect.gen(function*() {
        const info = json(folder, kind, file)
        const all = tensors(folder, kind, file.replace(".json", ".safetensors"))
        const { config } = info
        const rqVae = yield* RqVaeModel.make(
          Schema.decodeSync(RqVaeModel.RqVaeConfig)({
            network: { layers: config.layers, width: config.e_dim, codes: config.num_emb_list }
          }),
          config.in_dim,
          1
        )
        const model = new Map<string, ModelTensor>()
        for (const [name, { data, shape }] of all) {
          if (name.startsWith("model.")) {
            model.set(name.slice("model.".length), { shape, data: Float32Array.from(data as Float32Array) })
          }
        }
        yield* rqVae.load({ codebookSizes: config.num_emb_list, tensors: model })
        const x: Matrix = {
          rows: config.N,
          width: config.in_dim,
          data: Float32Array.from(all.get("x")!.data as Float32Array)
        }
        const initial = yield* rqVae.encode(x)
        assert.deepStrictEqual([...initial.codes], [...all.get("initial_codes")!.data as Int32Array])
        const levels: number = config.num_emb_list.length
        const distances: CollisionPolicy.Distances = (items, sids, level) => {
          const codes: Codes.Codes = { levels, codes: Int32Array.from(sids.flatMap((codes) => [...codes])) }
          const rows = items.flatMap((item) => [...x.data.subarray(item * x.width, (item + 1) * x.width)])
          return rqVae.distances({ rows: items.length, width: x.width, data: Float32Array.from(rows) }, codes, level)
        }
        const rounds = all.get("round_codes")!
        const size = config.N * levels
        for (let round = 1; round <= rounds.shape[0]!; round++) {
          const policy = SinkhornRepair.policy({
            epsilon: config.repair_epsilon,
            iterations: config.sk_iters,
            rounds: round
          })
          const { sids } = yield* policy.resolve(Codes.rowsOf(initial), config.num_emb_list, distances)
          const expected = (rounds.data as Int32Array).slice((round - 1) * size, round * size)
          assert.deepStrictEqual(sids.flatMap((codes) => [...codes]), [...expected], `after round ${round}`)
        }
        const last = yield* SinkhornRepair.policy({
          epsilon: config.repair_epsilon,
          iterations: config.sk_iters,
          rounds: 20
        }).resolve(Codes.rowsOf(initial), config.num_emb_list, distances)
        assert.deepStrictEqual(last.sids.flatMap((codes) => [...codes]), [
          ...all.get("final_codes")!.data as Int32Array
        ])
        assert.deepStrictEqual(SidIndex.toJson(SidIndex.fromResolved(last, "sinkhorn")), info.final_index)
      }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1 }))))
  }
})

/** Rows, codebooks of few codes and the greedy codes: many collisions. */
const crowded = (rows: number, sizes: ReadonlyArray<number>, seed: number) => {
  const width = 3
  const next = Random.normal(seed)
  const embeddings: Matrix = { rows, width, data: Float32Array.from({ length: rows * width }, next) }
  const codebooks = sizes.map((size, level) => ({
    rows: size,
    width,
    data: Float32Array.from({ length: size * width }, () => next() / 2 ** level)
  }))
  const columns: Array<Int32Array> = []
  let left = embeddings
  for (const centres of codebooks) {
    columns.push(ResidualCodebooks.nearest(SquaredDistances.exact(left, centres)))
    left = ResidualCodebooks.subtract(left, centres, columns.at(-1)!)
  }
  const sids = Array.from({ length: rows }, (_, r) => Int32Array.from(columns, (column) => column[r]!))
  const distances: CollisionPolicy.Distances = (items, chosen, level) => {
    const part = { rows: items.length, width, data: new Float32Array(items.length * width) }
    for (const [at, item] of items.entries()) {
      part.data.set(embeddings.data.subarray(item * width, (item + 1) * width), at * width)
    }
    const codes: Codes.Codes = { levels: sizes.length, codes: Int32Array.from(chosen.flatMap((sid) => [...sid])) }
    const residual = ResidualCodebooks.residual(part, codes, level, codebooks)
    return Effect.succeed(SquaredDistances.exact(residual, codebooks[level]!))
  }
  return { sids, distances, sizes }
}

const unique = (sids: ReadonlyArray<Int32Array>) => new Set(sids.map(String)).size

describe("policies that part colliding items", () => {
  for (const policy of [NearestFreeLeaf.policy, OptimalReassignment.policy]) {
    it.effect(`${policy.name}: every item ends alone, even when the tree is full, and is the same every time`, () =>
      Effect.gen(function*() {
        for (const [rows, sizes] of [[40, [4, 4, 8]], [128, [4, 4, 8]], [30, [2, 16]], [16, [16]]] as const) {
          const { distances, sids } = crowded(rows, sizes, rows)
          const { codebookSizes, sids: resolved } = yield* policy.resolve(sids, sizes, distances)
          assert.strictEqual(unique(resolved), rows)
          assert.deepStrictEqual(codebookSizes, sizes)
          for (const codes of resolved) {
            for (const [level, code] of codes.entries()) assert.isTrue(code >= 0 && code < sizes[level]!)
          }
          assert.deepStrictEqual((yield* policy.resolve(sids, sizes, distances)).sids, resolved)
        }
      }))

    it.effect(`${policy.name}: more items than SIDs is an error that says so`, () =>
      Effect.gen(function*() {
        const { distances, sids } = crowded(33, [4, 8], 1)
        const error = yield* Effect.flip(policy.resolve(sids, [4, 8], distances))
        assert.include(error.message, "33 items cannot have a SID each: 4 x 8 codes make 32")
      }))
  }

  it.effect("placing all items level by level is placing them one after another", () =>
    Effect.gen(function*() {
      for (const [rows, sizes] of [[128, [4, 4, 8]], [30, [2, 16]], [60, [4, 4, 4]], [16, [16]]] as const) {
        const { distances, sids } = crowded(rows, sizes, rows + 1)
        const items = Array.from(sids.keys()).filter((item) => item % 5 !== 0)
        const left = sids.filter((codes, item) => item % 5 === 0)
        const placed = yield* NearestFreeLeaf.placeAll(items, sids, FreeLeaves.make(left, sizes), distances)
        const taken = new Set(left.map(String))
        const beside = sizes.reduce((all: ReadonlyArray<ReadonlyArray<number>>, size) =>
          all.flatMap((codes) => Array.from({ length: size }, (_, code) => [...codes, code])), [[]])
        for (const [i, item] of items.entries()) {
          const free = beside.filter((codes) =>
            !taken.has(String(codes))
          )
          const own = sids[item]!
          const common = (codes: ReadonlyArray<number>) => {
            const at = codes.slice(0, -1).findIndex((code, level) => code !== own[level])
            return at < 0 ? codes.length - 1 : at
          }
          const kept = Math.max(...free.map(common))
          let open = free.filter((codes) => common(codes) === kept)
          for (let level = kept; level < sizes.length; level++) {
            const row = (yield* distances([item], [Int32Array.from(open[0]!)], level)).data
            const best = Math.min(...open.map((codes) => row[codes[level]!]!))
            open = open.filter((codes) => row[codes[level]!]! === best)
          }
          assert.deepStrictEqual([...placed[i]!], open[0])
          taken.add(String(open[0]))
        }
      }
    }))

  it.effect("nearest-free-leaf leaves those alone that share with nobody, and one of each group", () =>
    Effect.gen(function*() {
      const { distances, sids, sizes } = crowded(60, [4, 4, 16], 9)
      const { sids: resolved } = yield* NearestFreeLeaf.policy.resolve(sids, sizes, distances)
      for (const group of Diagnostics.groups(sids)) {
        const stayed = group.filter((item) => String(resolved[item]) === String(sids[item]))
        assert.strictEqual(stayed.length, 1)
        const { data, width } = yield* distances(group, group.map((item) => sids[item]!), 2)
        const own = group.map((item, row) => data[row * width + sids[item]![2]!]!)
        assert.strictEqual(group[own.indexOf(Math.min(...own))], stayed[0])
      }
    }))

  it.effect("optimal costs no more than any other way to give out last codes (brute force)", () =>
    Effect.gen(function*() {
      const { distances, sids, sizes } = crowded(9, [2, 5], 4)
      const { sids: resolved } = yield* OptimalReassignment.policy.resolve(sids, sizes, distances)
      for (const items of Diagnostics.groups(sids.map((codes) => codes.subarray(0, 1)))) {
        if (items.length > 5) continue
        const { data } = yield* distances(items, items.map((item) => sids[item]!), 1)
        const best = (row: number, taken: ReadonlySet<number>): number =>
          row === items.length
            ? 0
            : Math.min(
              ...[0, 1, 2, 3, 4].filter((code) => !taken.has(code)).map((code) =>
                data[row * 5 + code]! + best(row + 1, new Set([...taken, code]))
              )
            )
        const cost = items.reduce((sum, item, row) => sum + data[row * 5 + resolved[item]![1]!]!, 0)
        assert.closeTo(cost, best(0, new Set()), 1e-6)
      }
    }))
})

describe("Assignment.solve", () => {
  it("finds the least cost of every small matrix (brute force)", () => {
    const next = Random.uniform(7)
    for (let trial = 0; trial < 200; trial++) {
      const rows = 1 + Math.floor(next() * 5)
      const columns = rows + Math.floor(next() * 3)
      const costs = Float64Array.from({ length: rows * columns }, () => Math.floor(next() * 12) - 3)
      const best = (row: number, taken: number): number =>
        row === rows ? 0 : Math.min(
          ...Array.from(
            { length: columns },
            (_, c) => (taken & (1 << c)) === 0 ? costs[row * columns + c]! + best(row + 1, taken | (1 << c)) : Infinity
          )
        )
      const chosen = LinearAssignment.solve(costs, rows, columns)
      assert.strictEqual(new Set(chosen).size, rows)
      assert.strictEqual(chosen.reduce((sum, c, row) => sum + costs[row * columns + c]!, 0), best(0, 0))
    }
  })

  it("pays as little as linear-sum-assignment for matrices too large for brute force, ties among them", () => {
    const next = Random.uniform(8)
    for (const [rows, columns] of [[1, 300], [40, 40], [64, 256], [100, 130]] as const) {
      for (const levels of [1, 4, 100, Infinity]) {
        const costs = Float64Array.from(
          { length: rows * columns },
          () => levels === Infinity ? next() * 10 - 3 : Math.floor(next() * levels) - 3
        )
        const chosen = LinearAssignment.solve(costs, rows, columns)
        const { rowAssignments } = linearSumAssignment(MlMatrix.Matrix.from1DArray(rows, columns, costs), {
          maximaze: false
        })
        const cost = (columnOf: ArrayLike<number>) =>
          Array.from(columnOf).reduce((sum, c, row) => sum + costs[row * columns + c]!, 0)
        assert.strictEqual(new Set(chosen).size, rows)
        assert.closeTo(cost(chosen), cost(rowAssignments), 1e-9, `${rows} x ${columns}, ${levels} levels`)
      }
    }
  })
})
