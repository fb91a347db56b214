import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ItemEmbeddings } from "../../src/embedding/ItemEmbeddings.ts"
import * as DepthHead from "../../src/policy/item/DepthHead.ts"
import * as ItemModel from "../../src/policy/item/ItemModel.ts"
import * as ItemNetwork from "../../src/policy/item/ItemNetwork.ts"
import { ItemPolicyConfig } from "../../src/policy/item/ItemPolicyConfig.ts"
import * as ItemRows from "../../src/policy/item/ItemRows.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Random from "../../src/statistics/Random.ts"
import { make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { content, enliven, itemFamilies, layer, onnx, settings } from "./FamilyFixture.ts"
import { index } from "./Fixture.ts"

const historiesOf = (count: number, longest: number) => {
  const next = Random.uniform(count, longest)
  return Array.from(
    { length: count },
    () => Int32Array.from({ length: Math.floor(next() * (longest + 1)) }, () => Math.floor(next() * 9))
  )
}

describe("ItemRows", () => {
  for (const [count, longest] of [[1, 0], [1, 5], [3, 4], [200, 6], [60, 63], [300, 90]] as const) {
    it(`packs ${count} histories of up to ${longest} items without loss or overlap`, () => {
      const histories = historiesOf(count, longest)
      const rows = ItemRows.pack(histories, 9)
      const { items, length, positions, segments, starts } = rows
      const total = histories.reduce((sum, history) => sum + 1 + history.length, 0)
      assert.isAtLeast(length, Math.max(...histories.map((history) => 1 + history.length)))
      assert.deepStrictEqual(
        [items.length, positions.length, segments.length, starts.length],
        [rows.rows * length, rows.rows * length, rows.rows * length, count]
      )
      const owners = new Int32Array(items.length).fill(-1)
      for (const [s, history] of histories.entries()) {
        const start = starts[s]!
        // A sequence does not cross into the next row.
        assert.strictEqual(Math.floor(start / length), Math.floor((start + history.length) / length))
        assert.deepStrictEqual([...items.subarray(start, start + 1 + history.length)], [9, ...history])
        assert.deepStrictEqual(
          [...positions.subarray(start, start + 1 + history.length)],
          Array.from({ length: 1 + history.length }, (_, t) => t)
        )
        for (let at = start; at <= start + history.length; at++) {
          assert.strictEqual(owners[at], -1)
          owners[at] = s
        }
      }
      for (const [at, owner] of owners.entries()) {
        if (owner < 0) assert.deepStrictEqual([items[at], segments[at]], [9, -1])
      }
      // Positions have one segment exactly where they have one owner, in every row.
      for (let row = 0; row < rows.rows; row++) {
        const pairs = new Set<string>()
        for (let at = row * length; at < (row + 1) * length; at++) pairs.add(`${owners[at]} ${segments[at]}`)
        assert.strictEqual(pairs.size, new Set([...pairs].map((pair) => pair.split(" ")[0])).size)
        assert.strictEqual(pairs.size, new Set([...pairs].map((pair) => pair.split(" ")[1])).size)
      }
      if (count >= 200) assert.isAtMost(rows.rows * length, 1.2 * total)
    })
  }

  it("assigns by first fit, in order", () => {
    assert.deepStrictEqual(ItemRows.assign([3, 4, 2, 5, 1, 1], 6), {
      places: [
        { row: 0, offset: 0 },
        { row: 1, offset: 0 },
        { row: 0, offset: 3 },
        { row: 2, offset: 0 },
        { row: 0, offset: 5 },
        { row: 1, offset: 4 }
      ],
      rows: 3
    })
    assert.deepStrictEqual(ItemRows.assign([], 6), { places: [], rows: 0 })
  })

  it.effect("computes the states of packed prompts as those of each alone, at every position", () =>
    Effect.gen(function*() {
      const { feeds: weights } = yield* enliven
      const model = yield* ItemModel.make("item", { ...settings, historyItems: 70 }, DepthHead.generator, 11, false)
      const program = yield* (yield* TensorRuntime).compile(make({
        name: "states",
        inputs: ItemModel.inputs(model),
        body: (inputs: ItemNetwork.Inputs) => ({ states: ItemNetwork.states(model.shape, inputs, inputs) })
      }))
      const run = Effect.fnUntraced(function*(histories: ReadonlyArray<Int32Array>) {
        const { feeds, last } = ItemModel.promptFeeds(model, histories.map((items) => ({ items })))
        const { states } = yield* program.run({ ...weights, ...feeds })
        const data = (yield* states.read).data as Float32Array
        return histories.map((history, p) =>
          data.slice((last[p]! - history.length) * settings.width, (last[p]! + 1) * settings.width)
        )
      })
      for (const histories of [historiesOf(30, 6), historiesOf(12, 70), historiesOf(2, 2)]) {
        const packed = yield* run(histories)
        for (const [p, history] of histories.entries()) {
          const [alone] = yield* run([history])
          assert.strictEqual(alone!.length, (1 + history.length) * settings.width)
          assert.isBelow(distance(packed[p]!, alone!), 1e-5)
        }
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.merge(
        itemFamilies[0]!.layerOn(index).pipe(Layer.provideMerge(onnx)),
        ItemEmbeddings.layer(content(9))
      ))
    ))
})

for (const family of itemFamilies) {
  it.effect(`the ${family.name} policy plans every target once, with its weight, in an order of seed and epoch`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* PolicyParameters
      const sequences = historiesOf(200, 7)
      const examples: ReadonlyArray<Prompt.TrainingExample> = [
        ...sequences.map((items, user) => ({ ...Prompt.everyPosition({ user, items }), weight: 1 + user % 2 })),
        { prompt: Prompt.ofItems(Int32Array.of(0, 1, 2, 3, 4, 5)), answer: [{ item: 6 }, { item: 7 }], weight: 3 }
      ]
      const read = Effect.fnUntraced(function*(seed: number, epoch: number) {
        const batches = yield* policy.plan(examples, seed, epoch)
        const targets: Array<string> = []
        let padded = 0
        for (const { feeds, targets: count } of batches) {
          const [weights, items] = [feeds["weights"]!.data, feeds["targets"]!.data]
          const inputs = feeds["items"]!.data
          const segments = feeds["segments"]!.data
          padded += weights.length
          const own: Array<[string, number]> = []
          let sum = 0
          let from = 0
          for (const [at, weight] of Array.from(weights).entries()) {
            if (inputs[at] === 9 && segments[at] !== -1) from = at
            if (weight === 0) continue
            sum += weight
            own.push([`${Array.from(inputs).slice(from + 1, at + 1).join(",")} -> ${items[at]}`, weight])
          }
          assert.closeTo(sum, 1, 1e-5)
          assert.strictEqual(own.length, count)
          const least = Math.min(...own.map(([, weight]) => weight))
          for (const [target, weight] of own) targets.push(`${target} x${Math.round(weight / least)}`)
        }
        return { targets, padded }
      })
      const expected = [
        ...sequences.flatMap((items, user) => {
          const kept = items.subarray(-(settings.historyItems + 1))
          return Array.from(kept, (item, t) => `${kept.subarray(0, t).join(",")} -> ${item} x${1 + user % 2}`)
        }),
        "3,4,5 -> 6 x3",
        "3,4,5,6 -> 7 x3"
      ]
      const first = yield* read(5, 0)
      assert.deepStrictEqual(first.targets.toSorted(), expected.toSorted())
      assert.isBelow(first.padded, expected.length * 1.3)
      assert.deepStrictEqual(yield* read(5, 0), first)
      const second = yield* read(5, 1)
      assert.notDeepEqual(second.targets, first.targets)
      assert.deepStrictEqual(second.targets.toSorted(), first.targets.toSorted())
    }).pipe(Effect.provide(layer(family))))
}

for (const [which, width] of [["fused", 5], ["text", 3]] as const) {
  it.effect(`the content of an item is its ${which} embedding when the settings say so`, () =>
    Effect.gen(function*() {
      const { catalogue, shape } = yield* ItemModel.make(
        "item",
        new ItemPolicyConfig({ ...settings, content: which }),
        DepthHead.generator,
        11,
        false
      )
      assert.strictEqual(shape.contentWidth, width)
      const found = catalogue["catalogue.content"]!
      assert.deepStrictEqual(found.shape, [10, width])
      const given = content(9, width).data
      const scale = (found.data[0] as number) / given[0]!
      for (const [i, value] of given.entries()) assert.closeTo(found.data[i] as number, scale * value, 1e-6)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.mergeAll(onnx, Sids.layer(index), ItemEmbeddings.layer(content(9), content(9, 3))))
    ))
}
