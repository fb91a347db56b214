/**
 * Rows to clusters at the least total cost, every cluster with between `least` and `most` rows: exact.
 *
 * A minimum-cost flow whose graph is folded onto the clusters: an edge a -> b is the cheapest row to move from a to b, so
 * that a path is found among K nodes instead of N + K. Every cluster has a price; rows take the cheapest cluster by cost
 * plus price, and what is too much is moved along shortest paths while prices follow (successive shortest paths, Ahuja
 * et al. 1993, section 9.7). Prices of a similar problem, such as the iteration before, leave few rows to move. Costs
 * must be integers below 2^40, which keeps all sums exact.
 */
import { BadSetting, SidError } from "../SidError.ts"

/** Bounds of every cluster's size, in rows, both included. */
export interface SizeBounds {
  readonly least: number
  readonly most: number
}

/** An assignment of least total cost. */
export interface BalancedAssignment {
  readonly labels: Int32Array
  readonly cost: number
  /** Dual prices of the size bounds, one per cluster; a warm start for a similar problem. */
  readonly prices: Float64Array
}

/** Returns the error that says why no assignment exists; undefined where one does. */
export const problemOf = (rows: number, clusters: number, { least, most }: SizeBounds): SidError | undefined => {
  const bad = (setting: string, value: string, expected: string) =>
    new SidError({ reason: new BadSetting({ quantizer: "balanced k-means", setting, value, expected }) })
  if (!(least >= 0)) return bad("the least size", String(least), "0 or more")
  if (most < least) return bad("the most", String(most), `at least the least size, ${least}`)
  if (most > rows) return bad("the most", String(most), `at most the number of rows, ${rows}`)
  if (least * clusters > rows) {
    return bad(
      "the least size",
      String(least),
      `at most ${Math.floor(rows / clusters)}: ${rows} rows, ${clusters} clusters`
    )
  }
  if (most * clusters < rows) {
    return bad("the most", String(most), `at least ${Math.ceil(rows / clusters)}: ${rows} rows, ${clusters} clusters`)
  }
  return undefined
}

const rounds = 24

/**
 * Takes subgradient steps of the dual while many rows exceed some bound, and assigns every row to its cheapest cluster:
 * one step over all costs is cheaper than a shortest path for each of those rows.
 */
const approach = (
  costs: Float64Array | Int32Array,
  rows: number,
  K: number,
  least: Int32Array,
  most: Int32Array,
  price: Float64Array
): { readonly labels: Int32Array; readonly sizes: Int32Array } => {
  const labels = new Int32Array(rows)
  const sizes = new Int32Array(K)
  let gap = 0
  const choose = () => {
    sizes.fill(0)
    gap = 0
    for (let r = 0; r < rows; r++) {
      let best = 0
      let value = Infinity
      let second = Infinity
      for (let k = 0, at = r * K; k < K; k++, at++) {
        const cost = costs[at]! + price[k]!
        if (cost < second) {
          if (cost < value) {
            second = value
            value = cost
            best = k
          } else second = cost
        }
      }
      labels[r] = best
      sizes[best]!++
      if (K > 1) gap += second - value
    }
  }
  const misplaced = () => {
    let sum = 0
    for (let k = 0; k < K; k++) sum += Math.max(0, sizes[k]! - most[k]!) + Math.max(0, least[k]! - sizes[k]!)
    return sum
  }
  choose()
  let fewest = misplaced()
  let kept = price.slice()
  for (let round = 0; round < rounds && fewest > rows / 32; round++) {
    const step = gap / rows * K / rows * 0.93 ** round
    for (let k = 0; k < K; k++) {
      price[k] = price[k]! + Math.round(step * (Math.max(0, sizes[k]! - most[k]!) - Math.max(0, least[k]! - sizes[k]!)))
    }
    choose()
    const now = misplaced()
    if (now < fewest) {
      fewest = now
      kept = price.slice()
    }
  }
  price.set(kept)
  choose()
  return { labels, sizes }
}

/** Solves costs [N, K] with the same bounds for every cluster; they must be feasible (`problemOf`). */
export const solve = (
  costs: Float64Array | Int32Array,
  rows: number,
  clusters: number,
  { least, most }: SizeBounds,
  start?: Float64Array
): BalancedAssignment =>
  solveEach(costs, rows, new Int32Array(clusters).fill(least), new Int32Array(clusters).fill(most), start)

/** Solves costs [N, K] with separate bounds per cluster; the bounds must be feasible for N rows. */
export const solveEach = (
  costs: Float64Array | Int32Array,
  rows: number,
  least: Int32Array,
  most: Int32Array,
  start?: Float64Array
): BalancedAssignment => {
  const K = least.length
  // Node K stands for "outside": clusters give it between `least` and `most` rows, it takes N.
  const T = K
  const price = new Float64Array(K + 1)
  if (start !== undefined) price.set(start.subarray(0, K))
  const { labels, sizes: size } = approach(costs, rows, K, least, most, price)

  // Rows of each cluster, as lists in one array of places.
  const members: Array<Array<number>> = Array.from({ length: K }, () => [])
  for (let r = 0; r < rows; r++) members[labels[r]!]!.push(r)
  const weight = new Float64Array(K * K)
  const mover = new Int32Array(K * K)
  const scan = (a: number) => {
    const base = a * K
    weight.fill(Infinity, base, base + K)
    for (const r of members[a]!) {
      const from = r * K
      const own = costs[from + a]!
      for (let b = 0; b < K; b++) {
        const change = costs[from + b]! - own
        if (change < weight[base + b]!) {
          weight[base + b] = change
          mover[base + b] = r
        }
      }
    }
  }
  for (let a = 0; a < K; a++) scan(a)

  // Rows that a cluster gives outside: all it may while its price is above 0, as few as it must while it is below.
  const given = new Int32Array(K)
  const excess = new Int32Array(K + 1)
  excess[T] = -rows
  for (let k = 0; k < K; k++) {
    given[k] = price[k]! > 0
      ? most[k]!
      : price[k]! < 0
      ? least[k]!
      : Math.min(most[k]!, Math.max(least[k]!, size[k]!))
    excess[k] = size[k]! - given[k]!
    excess[T] = excess[T]! + given[k]!
  }

  const distance = new Float64Array(K + 1)
  const settled = new Uint8Array(K + 1)
  const before = new Int32Array(K + 1)
  const order = new Int32Array(K + 1)
  const augment = (): boolean => {
    distance.fill(Infinity)
    settled.fill(0)
    let any = false
    for (let v = 0; v <= K; v++) {
      if (excess[v]! <= 0) continue
      distance[v] = 0
      before[v] = -1
      any = true
    }
    if (!any) return false
    let count = 0
    let found = -1
    while (true) {
      let u = -1
      let least_ = Infinity
      for (let v = 0; v <= K; v++) {
        if (settled[v] === 0 && distance[v]! < least_) {
          least_ = distance[v]!
          u = v
        }
      }
      if (u < 0) break
      settled[u] = 1
      order[count++] = u
      if (excess[u]! < 0) {
        found = u
        break
      }
      const at = distance[u]!
      if (u === T) {
        for (let k = 0; k < K; k++) {
          if (settled[k] === 1 || given[k]! <= least[k]!) continue
          const through = at + Math.max(0, price[k]! - price[T]!)
          if (through < distance[k]!) {
            distance[k] = through
            before[k] = T
          }
        }
        continue
      }
      const base = u * K
      const own = at - price[u]!
      for (let b = 0; b < K; b++) {
        if (settled[b] === 1) continue
        const through = own + weight[base + b]! + price[b]!
        if (through < distance[b]!) {
          distance[b] = through
          before[b] = u
        }
      }
      if (settled[T] === 0 && given[u]! < most[u]!) {
        const through = own + price[T]!
        if (through < distance[T]!) {
          distance[T] = through
          before[T] = u
        }
      }
    }
    const end = distance[found]!
    for (let i = 0; i < count; i++) price[order[i]!] = price[order[i]!]! + end - distance[order[i]!]!
    const touched = new Set<number>()
    let node = found
    while (before[node]! >= 0) {
      const from = before[node]!
      if (node === T) given[from] = given[from]! + 1
      else if (from === T) given[node] = given[node]! - 1
      else {
        const r = mover[from * K + node]!
        const list = members[from]!
        list[list.indexOf(r)] = list.at(-1)!
        list.pop()
        members[node]!.push(r)
        labels[r] = node
        touched.add(from)
        touched.add(node)
      }
      node = from
    }
    excess[node]!--
    excess[found]!++
    for (const a of touched) scan(a)
    return true
  }
  while (augment());

  let cost = 0
  for (let r = 0; r < rows; r++) cost += costs[r * K + labels[r]!]!
  const outside = price[T]!
  return { labels, cost, prices: price.slice(0, K).map((value) => value - outside) }
}
