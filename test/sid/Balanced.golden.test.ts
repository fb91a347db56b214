import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as BalancedAssignment from "../../src/sid/clustering/BalancedAssignment.ts"
import * as BalancedKMeans from "../../src/sid/clustering/BalancedKMeans.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"

const folder = join(golden, "sid")
const kind = list(folder).find((name) => name.endsWith("-balanced-kmeans"))

const exact: BalancedKMeans.SquaredDistances = (rows, centres) =>
  Effect.sync(() =>
    Float64Array.from({ length: rows.rows * centres.rows }, (_, i) => {
      const [r, k] = [Math.floor(i / centres.rows), i % centres.rows]
      let sum = 0
      for (let d = 0; d < rows.width; d++) {
        sum += (rows.data[r * rows.width + d]! - centres.data[k * rows.width + d]!) ** 2
      }
      return sum
    })
  )

const sizesOf = (labels: ArrayLike<number>, clusters: number) => {
  const sizes = Array.from({ length: clusters }, () => 0)
  for (let r = 0; r < labels.length; r++) sizes[labels[r]!]!++
  return sizes
}

describe("BalancedAssignment against k-means-constrained", () => {
  if (kind === undefined) it.skipIf(true)("no case is here", () => {})
  else {
    const info = json(folder, kind, "assignment.json")
    const all = tensors(folder, kind, "assignment.safetensors")
    for (const [name, one] of Object.entries<Record<string, never>>(info.cases)) {
      it(`costs and optimum: ${name}`, () => {
        const distances = Float64Array.from(all.get(`${name}.distances`)!.data as Float64Array)
        const costs = BalancedKMeans.costsOf(distances.map((value) => value * value), "thousandths", 1)
        // Squaring and rooting may move a distance that lies exactly between two thousandths.
        const given = Float64Array.from(all.get(`${name}.cost`)!.data as Int32Array)
        for (const [i, cost] of costs.entries()) {
          if (Math.abs((1000 * distances[i]!) % 1 - 0.5) > 1e-9) assert.strictEqual(cost, given[i])
        }
        const bounds = { least: one["size_min"]!, most: one["size_max"]! }
        const found = BalancedAssignment.solve(given, one["n"]!, one["k"]!, bounds)
        assert.strictEqual(found.cost, one["optimal_cost"])
        const sizes = sizesOf(found.labels, one["k"]!)
        for (const size of sizes) assert.isTrue(size >= bounds.least && size <= bounds.most)
        if (one["optimum_is_unique"] === true) assert.deepStrictEqual([...found.labels], one["labels_if_unique"])
      })
    }
    for (const check of info.size_checks) {
      it(`bounds ${check.size_min}..${check.size_max} for ${check.n} rows and ${check.k} clusters`, () => {
        const problem = BalancedAssignment.problemOf(check.n, check.k, { least: check.size_min, most: check.size_max })
        assert.strictEqual(problem === undefined, check.feasible)
      })
    }
  }
})

describe("BalancedKMeans against k-means-constrained", () => {
  if (kind === undefined) it.skipIf(true)("no case is here", () => {})
  else {
    const all = tensors(folder, kind, "kmeans.safetensors")
    for (const [name, one] of Object.entries<Record<string, never>>(json(folder, kind, "kmeans.json"))) {
      it.effect(`the same iterations, labels, centres and inertia: ${name}`, () =>
        Effect.gen(function*() {
          const dense = (key: string): BalancedKMeans.Dense => {
            const { data, shape } = all.get(`${name}.${key}`)!
            return { rows: shape[0]!, width: shape[1]!, data: Float64Array.from(data as Float64Array) }
          }
          const found = yield* BalancedKMeans.lloyd(exact, dense("x"), dense("init"), {
            bounds: { least: one["size_min"]!, most: one["size_max"]! },
            maximumIterations: one["max_iter"]!,
            tolerance: one["tol"]!,
            cost: "thousandths",
            returned: "last-step"
          })
          const trace = one["trace"] as unknown as ReadonlyArray<Record<string, number>>
          assert.strictEqual(found.trace.length, trace.length)
          for (const [i, step] of found.trace.entries()) {
            assert.closeTo(step.inertia, trace[i]!["inertia"]!, 1e-8)
            assert.strictEqual(step.cost, trace[i]!["assignment_cost"])
            assert.closeTo(step.shift, trace[i]!["centre_shift"]!, 1e-8)
          }
          assert.deepStrictEqual([...found.labels], [...all.get(`${name}.labels`)!.data as Int32Array].map(Number))
          assert.isBelow(distance(found.centres.data, all.get(`${name}.centres`)!.data as Float64Array), 1e-9)
          assert.closeTo(found.inertia, one["inertia"]!, 1e-8)
        }))
    }
  }
})

describe("BalancedAssignment.solve", () => {
  /** The least cost by trying everything, or Infinity. */
  const brute = (
    costs: Float64Array,
    rows: number,
    clusters: number,
    bounds: BalancedAssignment.SizeBounds
  ): number => {
    const sizes = new Int32Array(clusters)
    const visit = (row: number): number => {
      if (row === rows) return sizes.every((size) => size >= bounds.least) ? 0 : Infinity
      let best = Infinity
      for (let k = 0; k < clusters; k++) {
        if (sizes[k]! >= bounds.most) continue
        sizes[k]!++
        best = Math.min(best, costs[row * clusters + k]! + visit(row + 1))
        sizes[k]!--
      }
      return best
    }
    return visit(0)
  }

  it("finds the least cost from any start (brute force)", () => {
    const next = Random.uniform(3)
    for (let trial = 0; trial < 300; trial++) {
      const clusters = 2 + Math.floor(next() * 3)
      const rows = clusters + Math.floor(next() * 5)
      const least = Math.floor(next() * (rows / clusters + 1))
      const most = Math.min(rows, Math.ceil(rows / clusters) + Math.floor(next() * 3))
      const bounds = { least: Math.min(least, Math.floor(rows / clusters)), most }
      assert.isUndefined(BalancedAssignment.problemOf(rows, clusters, bounds))
      const costs = Float64Array.from({ length: rows * clusters }, () => Math.floor(next() * 20))
      const expected = brute(costs, rows, clusters, bounds)
      const cold = BalancedAssignment.solve(costs, rows, clusters, bounds)
      assert.strictEqual(cold.cost, expected)
      const wild = Float64Array.from({ length: clusters }, () => Math.floor(next() * 41) - 20)
      for (const start of [cold.prices, wild]) {
        const warm = BalancedAssignment.solve(costs, rows, clusters, bounds, start)
        assert.strictEqual(warm.cost, expected)
        for (const size of sizesOf(warm.labels, clusters)) assert.isTrue(size >= bounds.least && size <= bounds.most)
      }
    }
  })
})
