import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import * as LevelHead from "../../src/policy/flat/LevelHead.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import { bool, float32, hostBool, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "../tensor/Backends.ts"
import { config, enliven } from "./Fixture.ts"

const width = 4

const vocabularyOf = (sizes: ReadonlyArray<number>, ends: boolean): CompactVocabulary.CompactVocabulary => {
  const offsets: Array<number> = []
  let next = 1
  for (const size of sizes) {
    offsets.push(next)
    next += size
  }
  return { size: Math.ceil(next / 8) * 8, offsets, sizes, ends }
}

const tilesCases = [
  { name: "no rows at all", levels: [] },
  { name: "rows of which none predicts", levels: [-1, -1, -1] },
  { name: "as many rows as places", levels: Array.from({ length: 32 }, (_, i) => i % 2) },
  { name: "as many as places, and one that predicts nothing", levels: [-1, ...Array.from({ length: 32 }, () => 1)] },
  { name: "levels without rows", levels: [5, 2, 2, -1, 5, 31] },
  { name: "a level that is much longer", levels: Array.from({ length: 1500 }, (_, i) => i % 40 === 0 ? i % 7 : 3) }
]

describe("LevelHead.tiles", () => {
  for (const { levels, name } of tilesCases) {
    for (const given of [undefined, 16, 48]) {
      it(`gives every row a place in a tile of its level: ${name}, width ${given ?? "chosen"}`, () => {
        const tiles = LevelHead.tiles(Int32Array.from(levels), given)
        assert.strictEqual(tiles.rows.length, tiles.count * tiles.width)
        assert.strictEqual(tiles.levels.length, tiles.count)
        assert.isAbove(tiles.count, 0)
        const taken = new Set<number>()
        for (const [row, level] of levels.entries()) {
          if (level < 0) continue
          const place = tiles.places[row]!
          assert.isFalse(taken.has(place))
          taken.add(place)
          assert.strictEqual(tiles.rows[place], row)
          assert.strictEqual(tiles.levels[Math.floor(place / tiles.width)], level)
        }
        for (const [row, level] of levels.entries()) {
          if (level >= 0) continue
          assert.isFalse(taken.has(tiles.places[row]!))
          assert.isBelow(tiles.places[row]!, tiles.rows.length)
        }
      })
    }
  }

  it("keeps what it adds below a tenth for even levels, and to less than a tile for each level", () => {
    const even = LevelHead.tiles(Int32Array.from({ length: 2040 }, (_, i) => i % 3))
    assert.isBelow(even.rows.length, 2040 * 1.1)
    for (const { levels } of tilesCases) {
      const { rows, width } = LevelHead.tiles(Int32Array.from(levels))
      assert.isAtMost(rows.length, levels.length + (new Set(levels).size + 1) * width)
    }
  })
})

/** Random positions of random levels, each with its legal columns, one of which is its target. */
const problem = (vocabulary: CompactVocabulary.CompactVocabulary, rows: number, present: ReadonlyArray<number>) => {
  const next = Random.uniform(rows * 31 + vocabulary.size)
  const levels = Int32Array.from({ length: rows }, () => present[Math.floor(next() * present.length)]!)
  const dense = {
    targets: new Int32Array(rows),
    weights: new Float32Array(rows),
    legal: new Uint8Array(rows * vocabulary.size)
  }
  for (const [row, level] of levels.entries()) {
    if (level < 0) {
      dense.legal.fill(1, row * vocabulary.size, (row + 1) * vocabulary.size)
      continue
    }
    const codes = vocabulary.sizes[level]!
    const tokens = Array.from({ length: codes }, (_, code) => CompactVocabulary.token(vocabulary, level, code))
      .filter((_, code) => code === 0 || next() < 0.6)
    if (vocabulary.ends && next() < 0.5) tokens.push(CompactVocabulary.end)
    for (const token of tokens) dense.legal[row * vocabulary.size + token] = 1
    dense.targets[row] = tokens[Math.floor(next() * tokens.length)]!
    dense.weights[row] = next()
  }
  const normal = Random.normal(rows, 0x4ead)
  const values = (...shape: ReadonlyArray<number>) =>
    hostFloat32(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, normal), ...shape)
  return { levels, dense, hidden: values(rows, width), head: values(vocabulary.size, width) }
}

type Inputs = Readonly<Record<string, tf.Tensor>>

const gradientsOf = (loss: (x: Inputs) => tf.Tensor) => (x: Inputs) => {
  const { gradients, value } = Autodiff.valueAndGradients((own) => loss({ ...x, ...own }), {
    hidden: x["hidden"]!,
    head: x["head"]!
  })
  return { loss: value, ...gradients }
}

const heads = [
  { name: "even levels", sizes: [6, 6, 6], ends: false, present: [0, 1, 2] },
  { name: "uneven levels with ends", sizes: [3, 3, 5, 2], ends: true, present: [-1, 0, 1, 2, 3] },
  { name: "levels without positions", sizes: [4, 7, 4, 4], ends: true, present: [-1, 1, 3] },
  { name: "no position that predicts", sizes: [4, 4], ends: false, present: [-1] },
  { name: "16 levels", sizes: Array.from({ length: 16 }, () => 3), ends: true, present: [-1, 0, 3, 4, 15] },
  { name: "32 uneven levels", sizes: Array.from({ length: 32 }, (_, l) => 1 + l % 5), ends: true, present: [2, 30, 31] }
]

describe("LevelHead.operands", () => {
  for (const [backend, layer] of backends) {
    it.effect(
      `has the loss and the gradients of the whole head under a mask (${backend})`,
      () =>
        Effect.gen(function*() {
          const runtime = yield* TensorRuntime
          for (const { ends, name, present, sizes } of heads) {
            const vocabulary = vocabularyOf(sizes, ends)
            const columns = LevelHead.columns(vocabulary)
            const whole = yield* runtime.compile(make({
              name: "whole",
              inputs: {
                hidden: float32("M", width),
                head: float32(vocabulary.size, width),
                targets: int32("M"),
                weights: float32("M"),
                legal: bool("M", vocabulary.size)
              },
              body: gradientsOf(({ head, hidden, legal, targets, weights }) =>
                LinearCrossEntropy.loss(hidden!, head!, { targets: targets!, weights: weights!, legal })
              )
            }))
            const sliced = yield* runtime.compile(make({
              name: "sliced",
              inputs: {
                hidden: float32("M", width),
                head: float32(vocabulary.size, width),
                ...LevelHead.inputs(vocabulary, "M"),
                targets: int32("N", "W"),
                weights: float32("N", "W"),
                legal: bool("N", "W", columns)
              },
              body: gradientsOf((x) => {
                const { classes, rows } = LevelHead.operands(vocabulary, x["hidden"]!, x["head"]!, x)
                return LinearCrossEntropy.loss(rows, classes, {
                  targets: x["targets"]!,
                  weights: x["weights"]!,
                  legal: x["legal"]!
                })
              })
            }))
            for (const count of backend === "reference" ? [1, 40] : [1, 40, 300]) {
              const { dense, head, hidden, levels } = problem(vocabulary, count, present)
              const expected = yield* whole.run({
                hidden,
                head,
                targets: hostInt32(dense.targets, count),
                weights: hostFloat32(dense.weights, count),
                legal: hostBool(dense.legal, count, vocabulary.size)
              })
              const tiles = LevelHead.tiles(levels, count === 300 ? 32 : undefined)
              const places = tiles.rows.length
              const [targets, weights] = [new Int32Array(places), new Float32Array(places)]
              const legal = new Uint8Array(places * columns)
              for (const [row, level] of levels.entries()) {
                if (level < 0) continue
                const place = tiles.places[row]!
                targets[place] = LevelHead.column(vocabulary, level, dense.targets[row]!)
                weights[place] = dense.weights[row]!
                for (let token = 0; token < vocabulary.size; token++) {
                  if (dense.legal[row * vocabulary.size + token] === 0) continue
                  legal[place * columns + LevelHead.column(vocabulary, level, token)] = 1
                }
              }
              const found = yield* sliced.run({
                hidden,
                head,
                ...LevelHead.feeds(vocabulary, tiles, count),
                targets: hostInt32(targets, tiles.count, tiles.width),
                weights: hostFloat32(weights, tiles.count, tiles.width),
                legal: hostBool(legal, tiles.count, tiles.width, columns)
              })
              for (const key of ["loss", "hidden", "head"] as const) {
                const wanted = (yield* expected[key].read).data
                // The loss is a sum over all rows: its rounding grows with it.
                const scale = key === "loss" ? Math.max(1, Math.abs(wanted[0]!)) : 1
                assert.isBelow(
                  distance((yield* found[key].read).data, wanted) / scale,
                  2e-5,
                  `${key} of ${count} rows, ${name}`
                )
              }
            }
          }
        }).pipe(Effect.scoped, Effect.provide(layer)),
      120_000
    )
  }

  it.effect("is the same graph for any number of even levels", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const nodes = yield* Effect.forEach([2, 4, 32], (levels) => {
        const vocabulary = vocabularyOf(Array.from({ length: levels }, () => 5), false)
        return Effect.map(
          runtime.compile(make({
            name: "sliced",
            inputs: {
              hidden: float32("M", width),
              head: float32(vocabulary.size, width),
              ...LevelHead.inputs(vocabulary, "M")
            },
            body: gradientsOf((x) => LevelHead.logits(vocabulary, x["hidden"]!, x["head"]!, x).square().sum())
          })),
          (executable) => executable.nodes
        )
      })
      assert.strictEqual(new Set(nodes).size, 1)
    }).pipe(Effect.scoped, Effect.provide(backends[0]![1])))
})

describe("a flat policy", () => {
  const sizes = Array.from({ length: 7 }, () => 19)
  const next = Random.uniform(3)
  const sids = Array.from({ length: 60 }, (_, i) => {
    const codes = Int32Array.from(sizes, (size) => Math.floor(next() * size))
    return i % 4 === 0 ? codes.subarray(0, 3) : codes
  })
  const index = SidIndex.make([...sids, sids[1]!.subarray(0, 5)], sizes, "keep")
  const { ends, size } = CompactVocabulary.make(index)
  const shapes: Array<ReadonlyArray<number>> = []
  /** The oracle, which notes the shape of everything that a program makes. */
  const noting = Layer.effect(
    TensorRuntime,
    Effect.map(TensorRuntime, (runtime) =>
      TensorRuntime.of({
        ...runtime,
        compile: (program) =>
          runtime.compile({
            ...program,
            body: (inputs) => {
              let outputs: ReturnType<typeof program.body> | undefined
              void tf.profile(() => {
                outputs = program.body(inputs)
                return []
              }).then(({ kernels }) => shapes.push(...kernels.flatMap((kernel) => kernel.outputShapes)))
              return outputs!
            }
          })
      }))
  ).pipe(Layer.provide(Reference.layer))

  it.effect("makes no table of positions by vocabulary, in training, trees or sessions", () =>
    Effect.gen(function*() {
      assert.isTrue(ends)
      const policy = yield* PolicyModel
      const store = yield* PolicyParameters
      const { space } = yield* Sids
      const weights = yield* enliven
      const items = Int32Array.of(0, 5, 7, 60)
      const prompts = [Prompt.ofItems(items), Prompt.ofItems(items.subarray(2))]
      const step = { seed: 1, step: 0 }
      const tables: Record<string, number> = {}
      const note = (name: string) =>
        Effect.andThen(
          Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0))),
          Effect.sync(() => {
            assert.isAbove(shapes.length, 0, name)
            // The rows of the head itself have the width of the model.
            tables[name] = shapes.filter((shape) => shape.includes(size) && shape.at(-1) !== config.width).length
            shapes.length = 0
          })
        )
      const [batch] = yield* policy.plan([Prompt.everyPosition({ user: 0, items })], 1, 0)
      yield* (yield* policy.supervised).accumulate(store, [{ batch: batch! }], step)
      yield* note("supervised")
      const groups = prompts.map((prompt) => ({ prompt, leaves: Int32Array.from(new Set(index.leafOf)).slice(0, 9) }))
      const scores = yield* policy.score(groups, weights)
      yield* note("score")
      const gradient = yield* policy.groupGradient(GroupRelative.make({ beta: 0.1 }))
      yield* gradient.accumulate(
        store,
        [{
          batch: groups.map((group, g) => ({
            ...group,
            advantages: Float32Array.from(group.leaves, (_, c) => c - 4),
            behaviour: Array.from(group.leaves, () => new Float32Array(8)),
            reference: scores[g]!
          }))
        }],
        step
      )
      yield* note("group gradient")
      for (const normaliser of ["children", "vocabulary"] as const) {
        const session = yield* policy.open(prompts, { weights, space, normaliser })
        const nodes = (level: number) =>
          Int32Array.from({ length: space.nodes }, (_, n) => n).filter((n) => space.level(n) === level)
        for (const level of [0, 1, 2, 3]) yield* session.score(prompts.map(() => nodes(level)))
        yield* note(`session, ${normaliser}`)
      }
      assert.deepStrictEqual(Object.values(tables), [0, 0, 0, 0, 0])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        PolicyParameters.layer.pipe(
          Layer.provideMerge(
            FlatPolicy.layer(Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...config, layers: 1 }), 11)
          ),
          Layer.provideMerge(Sids.layer(index)),
          Layer.orDie,
          Layer.provide(noting)
        )
      )
    ), 240_000)
})
