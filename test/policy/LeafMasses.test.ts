import { assert, describe, it } from "@effect/vitest"
import { type DigitColumns } from "../../src/policy/parallel/DigitLoss.ts"
import * as DigitScores from "../../src/policy/parallel/DigitScores.ts"
import * as LeafMasses from "../../src/policy/parallel/LeafMasses.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"

/** SIDs of 1 to 4 codes, many of which begin others or are shared. */
const random = (seed: number) => {
  const next = Random.uniform(seed, 77)
  const items = 3 + Math.floor(next() * 25)
  return SidIndex.make(
    Array.from(
      { length: items },
      () => Int32Array.from({ length: 1 + Math.floor(next() * 4) }, () => Math.floor(next() * 3))
    ),
    [3, 3, 3, 3],
    "keep"
  )
}

const codesOf = (space: LeafSpace.LeafSpace, node: number) => LeafSpace.path(space, node).map((one) => space.code(one))

const begins = (sid: ArrayLike<number>, prefix: ReadonlyArray<number>) =>
  sid.length >= prefix.length && prefix.every((code, level) => sid[level] === code)

/** Log of the sum of the exponentials. */
const logSum = (values: ReadonlyArray<number>) => {
  const most = Math.max(...values)
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0))
}

/** Log-probabilities of steps by looking at all allowed items, without masses. */
const bruteForce = (
  { sids }: SidIndex.SidIndex,
  allowed: ReadonlyArray<number>,
  scores: Float64Array,
  prefix: ReadonlyArray<number>,
  chosen: (sid: ArrayLike<number>) => boolean
) => {
  const under = allowed.filter((item) => begins(sids[item]!, prefix))
  return logSum(under.filter((item) => chosen(sids[item]!)).map((item) => scores[item]!)) -
    logSum(under.map((item) => scores[item]!))
}

/** Inner nodes of a space with what may follow each. */
const stepsOf = (space: LeafSpace.LeafSpace) => {
  const steps: Array<{ readonly node: number; readonly child: number | undefined }> = []
  const visit = (node: number) => {
    const children = LeafSpace.childNodes(space, node)
    for (const child of children) {
      steps.push({ node, child })
      visit(child)
    }
    if (children.length > 0 && space.ends(node)) steps.push({ node, child: undefined })
  }
  visit(0)
  return steps
}

const filters: ReadonlyArray<readonly [string, (items: number) => ReadonlyArray<number>]> = [
  ["all items", () => []],
  ["some items left out", (items) => Array.from({ length: items }, (_, item) => item).filter((item) => item % 3 === 1)],
  ["two items", (items) => Array.from({ length: items - 2 }, (_, item) => item)]
]

for (const [name, missingOf] of filters) {
  describe(`LeafMasses: ${name}`, () => {
    it("is the softmax of all items, summed (float64)", () => {
      for (let seed = 0; seed < 40; seed++) {
        const index = random(seed)
        const items = index.sids.length
        const normal = Random.normal(seed, 3)
        // Up to far apart, and far from 0.
        const scores = Float64Array.from({ length: items }, () => normal() * (1 + seed % 5 * 8) + (seed - 20) * 100)
        const missing = missingOf(items)
        const allowed = Array.from({ length: items }, (_, item) => item).filter((item) => !missing.includes(item))
        const space = LeafSpace.without(LeafSpace.ofTrie(index.trie), missing)
        const masses = LeafMasses.of(space, scores)
        const total = logSum(allowed.map((item) => scores[item]!))
        for (const item of allowed) assert.closeTo(masses.items[item]!, Math.exp(scores[item]! - total), 1e-12)
        for (const item of missing) assert.strictEqual(masses.items[item], 0)
        assert.closeTo(masses.below[0]!, 1, 1e-12)
        const steps = stepsOf(space)
        const sums = new Map<number, number>()
        for (const { child, node } of steps) {
          const prefix = codesOf(space, node)
          const found = child === undefined
            ? LeafMasses.toEnd(masses, node)
            : LeafMasses.toChild(masses, node, child)
          const expected = bruteForce(
            index,
            allowed,
            scores,
            prefix,
            (sid) => child === undefined ? sid.length === prefix.length : sid[prefix.length] === space.code(child)
          )
          assert.closeTo(found, expected, 1e-9 * Math.max(1, Math.abs(expected)))
          sums.set(node, (sums.get(node) ?? 0) + Math.exp(found))
        }
        for (const sum of sums.values()) assert.closeTo(sum, 1, 1e-12)
      }
    })

    it("carries derivatives back to the scores (central differences)", () => {
      let ends = 0
      for (let seed = 0; seed < 25; seed++) {
        const index = random(seed)
        const items = index.sids.length
        const normal = Random.normal(seed, 4)
        const scores = Float64Array.from({ length: items }, () => 1.5 * normal())
        const space = LeafSpace.without(LeafSpace.ofTrie(index.trie), missingOf(items))
        const steps = stepsOf(space).map((step) => ({ ...step, weight: normal() }))
        ends += steps.filter(({ child }) => child === undefined).length
        const value = () => {
          const masses = LeafMasses.of(space, scores)
          return steps.reduce((sum, { child, node, weight }) =>
            sum + weight *
              (child === undefined ? LeafMasses.toEnd(masses, node) : LeafMasses.toChild(masses, node, child)), 0)
        }
        const masses = LeafMasses.of(space, scores)
        const pulls = LeafMasses.noPulls(masses)
        for (const { child, node, weight } of steps) {
          if (child === undefined) LeafMasses.pullEnd(masses, pulls, node, weight)
          else LeafMasses.pullChild(masses, pulls, node, child, weight)
        }
        const found = LeafMasses.pullBack(masses, pulls)
        for (let item = 0; item < items; item++) {
          const [kept, h] = [scores[item]!, 1e-5]
          scores[item] = kept + h
          const above = value()
          scores[item] = kept - h
          const below = value()
          scores[item] = kept
          assert.closeTo(found[item]!, (above - below) / (2 * h), 1e-7, `item ${item} of ${seed}`)
        }
        // A constant added to all scores changes nothing.
        assert.closeTo(found.reduce((sum, pull) => sum + pull, 0), 0, 1e-10)
      }
      if (name !== "two items") assert.isAbove(ends, 20)
    })
  })
}

describe("LeafMasses", () => {
  it("stays finite where probabilities are below the least float64", () => {
    const index = SidIndex.make([[0, 0], [0, 1], [1], [1, 2]].map((codes) => Int32Array.from(codes)), [2, 3], "keep")
    const space = LeafSpace.ofTrie(index.trie)
    const masses = LeafMasses.of(space, Float64Array.of(5000, 0, -5000, -6000))
    const pulls = LeafMasses.noPulls(masses)
    for (const { child, node } of stepsOf(space)) {
      const logProb = child === undefined ? LeafMasses.toEnd(masses, node) : LeafMasses.toChild(masses, node, child)
      assert.isTrue(Number.isFinite(logProb))
      assert.isAtMost(logProb, 0)
      if (child === undefined) LeafMasses.pullEnd(masses, pulls, node, 1)
      else LeafMasses.pullChild(masses, pulls, node, child, 1)
    }
    assert.strictEqual(LeafMasses.toChild(masses, 0, LeafSpace.find(space, [0])), 0)
    for (const pull of LeafMasses.pullBack(masses, pulls)) assert.isTrue(Number.isFinite(pull))
  })
})

describe("DigitScores", () => {
  const draw = (seed: number) => {
    const next = Random.uniform(seed, 9)
    const [items, levels, width] = [1 + Math.floor(next() * 20), 1 + Math.floor(next() * 5), 12]
    const columns = Int32Array.from(
      { length: items * levels },
      () => next() < 0.2 ? -1 : Math.floor(next() * width)
    )
    const normal = Random.normal(seed, 10)
    return { items, normal, digits: { columns, levels, width } satisfies DigitColumns }
  }

  it("adds the digits of every item and its bias, and none beyond the end of a SID", () => {
    for (let seed = 0; seed < 30; seed++) {
      const { digits, items, normal } = draw(seed)
      const [logits, biases] = [Float32Array.from({ length: 12 }, normal), Float32Array.from({ length: items }, normal)]
      const found = DigitScores.sum(digits, logits, biases)
      assert.strictEqual(found.length, items)
      for (let item = 0; item < items; item++) {
        const own = Array.from(digits.columns).slice(item * digits.levels, (item + 1) * digits.levels)
        const expected = own.reduce((sum, column) => column < 0 ? sum : sum + logits[column]!, biases[item]!)
        assert.closeTo(found[item]!, expected, 1e-12)
      }
    }
  })

  it("scatters derivatives to the digits that an item was the sum of, onto what is there", () => {
    for (let seed = 0; seed < 30; seed++) {
      const { digits, items, normal } = draw(seed)
      const pulls = Float64Array.from({ length: items }, normal)
      const before = Float64Array.from({ length: 12 }, normal)
      const found = before.slice()
      DigitScores.scatter(digits, pulls, found)
      for (let column = 0; column < 12; column++) {
        let expected = before[column]!
        for (const [at, own] of digits.columns.entries()) {
          if (own === column) expected += pulls[Math.floor(at / digits.levels)]!
        }
        assert.closeTo(found[column]!, expected, 1e-12)
      }
      // The transpose of the sum.
      const logits = Float32Array.from({ length: 12 }, normal)
      const scores = DigitScores.sum(digits, logits, new Float32Array(items))
      const left = scores.reduce((sum, score, item) => sum + score * pulls[item]!, 0)
      const right = logits.reduce((sum, logit, column) => sum + logit * (found[column]! - before[column]!), 0)
      assert.closeTo(left, right, 1e-9)
    }
  })
})
