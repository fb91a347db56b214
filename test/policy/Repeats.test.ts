import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ItemNetwork from "../../src/policy/item/ItemNetwork.ts"
import * as ItemRows from "../../src/policy/item/ItemRows.ts"
import * as Repeats from "../../src/policy/item/Repeats.ts"
import * as DigitHead from "../../src/policy/parallel/DigitHead.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import { enliven, itemFamilies, layer, leavesOf, settings, walk } from "./FamilyFixture.ts"

const [item, , parallel] = itemFamilies as [typeof itemFamilies[0], unknown, typeof itemFamilies[0]]

describe("Repeats.feeds", () => {
  it("marks the items of the same sequence up to each position", () => {
    const histories = [[4, 1, 4], [], [2], [1, 8, 3, 2]].map((items) => Int32Array.from(items))
    const rows = ItemRows.pack(histories, 9)
    const classes = Int32Array.of(8, 1, 0, 4, 2)
    const found = Repeats.classesOf(ItemRows.feeds(rows), classes, 9)
    const { repeats } = Repeats.feeds(found, [rows.rows, rows.length], 5)
    assert.deepStrictEqual(repeats!.shape, [rows.rows, rows.length, 5])
    const expected = new Float32Array(rows.rows * rows.length * 5)
    for (const [s, items] of histories.entries()) {
      for (let t = 0; t <= items.length; t++) {
        for (const [c, own] of classes.entries()) {
          if (items.subarray(0, t).includes(own)) expected[(rows.starts[s]! + t) * 5 + c] = 1
        }
      }
    }
    assert.deepStrictEqual(repeats!.data, expected)
    assert.strictEqual(expected.reduce((a, b) => a + b, 0), 14)
  })
})

/** Log-probabilities of items 0 to 8 by the item head, and by the SIDs, after a history. */
const logProbs = Effect.fnUntraced(function*(history: ReadonlyArray<number>) {
  const policy = yield* PolicyModel
  const { index, space } = yield* Sids
  const weights = yield* (yield* PolicyParameters).weights
  const prompt = Prompt.ofItems(Int32Array.from(history))
  const { data } = yield* Option.getOrThrow(policy.scoreItems)([prompt], weights)
  const session = yield* policy.open([prompt], { weights, space, normaliser: "children" })
  const leaves = leavesOf(space, (yield* walk(session, [space]))[0]!)
  return { head: Array.from(data), sids: Array.from(index.leafOf, (leaf) => leaves.get(leaf)!) }
}, Effect.scoped)

/** Adds to the scores of some items and normalises again. */
const shifted = (logProbs: ReadonlyArray<number>, items: ReadonlySet<number>, by: number): ReadonlyArray<number> => {
  const moved = logProbs.map((value, i) => value + (items.has(i) ? by : 0))
  const logSum = Math.log(moved.reduce((sum, value) => sum + Math.exp(value), 0))
  return moved.map((value) => value - logSum)
}

describe("the addition of repeats", () => {
  for (const family of [item, parallel]) {
    it.effect(`multiplies the odds of what the policy reads of the history, once: ${family.name}`, () =>
      Effect.gen(function*() {
        const { buffer } = yield* PolicyParameters
        yield* enliven
        const parameters = [ItemNetwork.names.repeats, DigitHead.names.repeats].filter((name) =>
          buffer.slots.some((slot) => slot.name === name)
        )
        assert.strictEqual(parameters.length, family === item ? 1 : 2)
        const set = (value: number) => parameters.forEach((name) => buffer.view("weights", name).fill(value))
        // Item 7 is older than the items that are read.
        for (const history of [[], [3], [7, 5, 1, 5, 0]]) {
          const read = new Set(history.slice(-settings.historyItems))
          set(0)
          const before = yield* logProbs(history)
          set(-0.5)
          const after = yield* logProbs(history)
          for (const [i, value] of shifted(before.head, read, -2).entries()) assert.closeTo(after.head[i]!, value, 1e-4)
          const sids = family === item ? before.sids : shifted(before.sids, read, -2)
          for (const [i, value] of sids.entries()) assert.closeTo(after.sids[i]!, value, 1e-4)
        }
      }).pipe(Effect.provide(layer(family))))
  }
})

describe("training", () => {
  for (
    const [what, sequences, sign] of [
      ["buy the same again", [[1, 1, 1, 1], [4, 4, 4], [7, 2, 7, 2]], 1],
      ["never do", [[1, 5, 0, 3], [4, 2, 8], [7, 2, 6, 0]], -1]
    ] as const
  ) {
    it.effect(`moves the addition ${sign > 0 ? "up" : "down"} where people ${what}`, () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        const examples = sequences.map((items, user) => Prompt.everyPosition({ user, items: Int32Array.from(items) }))
        const [batch] = yield* policy.plan(examples, 1, 0)
        yield* (yield* policy.supervised).accumulate(store, [{ batch: batch! }], { seed: 1, step: 0 })
        for (const name of [ItemNetwork.names.repeats, DigitHead.names.repeats]) {
          const [slope] = store.buffer.view("gradients", name)
          assert.isAbove(-sign * slope!, 0.1, name)
        }
      }).pipe(Effect.scoped, Effect.provide(layer(parallel))))
  }
})
