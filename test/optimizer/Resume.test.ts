import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Adafactor from "../../src/optimizer/Adafactor.ts"
import * as Adagrad from "../../src/optimizer/Adagrad.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as Lion from "../../src/optimizer/Lion.ts"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as RmsProp from "../../src/optimizer/RmsProp.ts"
import * as Sgd from "../../src/optimizer/Sgd.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as Random from "../../src/statistics/Random.ts"
import { type ParameterSpecs } from "../../src/tensor/ParameterBuffer.ts"
import { float32, hostFloat32, type HostTensor, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as TrainingState from "../../src/training/TrainingState.ts"
import { backends, resident } from "../tensor/Backends.ts"

const config = (values: typeof AdamW.AdamWConfig.Encoded = {}) => Schema.decodeSync(AdamW.AdamWConfig)(values)

/** By the file that has them. */
const transforms: Readonly<Record<string, Optimizer.Transform>> = {
  Adafactor: Adafactor.adafactor({ weightDecay: 0.1 }),
  Adagrad: Adagrad.adagrad({ initial: 0.1 }),
  Adam: Adam.adamW(config({ averaging: 0 })).transform,
  AdamW: Adam.adamW(config({ averaging: 0.9 })).transform,
  Lion: Lion.lion({ weightDecay: 0.1 }),
  RmsProp: RmsProp.rmsProp(),
  Sgd: Sgd.sgd({ momentum: 0.9, nesterov: true })
}

const isMatrix = ({ shape }: Optimizer.Parameter) => shape.length > 1

/** Every optimizer as it is, with an average, in groups of its own, and beside another. */
const optimizers: Readonly<Record<string, Optimizer.Optimizer>> = {
  "AdamW, fused": Adam.adamW(config({ averaging: 0.9 })),
  "AdamW, fused, no average": Adam.adamW(config({ averaging: 0 })),
  "Sgd, no slots": Optimizer.of(Sgd.sgd()),
  ...Object.fromEntries(
    Object.entries(transforms).flatMap(([name, transform]) => [
      [name, Optimizer.of(transform)],
      [
        `${name}, in two groups`,
        Optimizer.of(Optimizer.groups((p) => isMatrix(p) ? "a" : "b", { a: transform, b: transform }))
      ],
      [
        `${name}, averaged beside a frozen group`,
        Optimizer.of(Optimizer.groups((p) => isMatrix(p) ? "moving" : "still", {
          moving: name === "AdamW" ? transform : Optimizer.chain(transform, Optimizer.averageWeights(0.5)),
          still: Optimizer.frozen
        }))
      ]
    ])
  )
}

const shapes = { matrix: [3, 4], vector: [5], scalar: [] } as const
const names = Object.keys(shapes) as ReadonlyArray<keyof typeof shapes>
const size = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

const specs = (seed = 1): ParameterSpecs =>
  Object.fromEntries(names.map((name, i) => {
    const next = Random.normal(seed, i)
    return [name, { shape: shapes[name], initialize: (values) => values.forEach((_, at) => (values[at] = next())) }]
  }))

/** A program whose gradients are what it is fed. */
const given = make({
  name: "given",
  inputs: Object.fromEntries(names.flatMap((name) => [
    [name, float32(...shapes[name])],
    [`given.${name}`, float32(...shapes[name])]
  ])),
  body: (inputs) => Object.fromEntries(names.map((name) => [name, inputs[`given.${name}`]!.add(0)]))
})

const gradients = (step: number) =>
  Object.fromEntries(names.map((name, i) => {
    const next = Random.normal(7, step, i)
    return [
      `given.${name}`,
      hostFloat32(Float32Array.from({ length: size(shapes[name]) }, () => next()), ...shapes[name])
    ]
  }))

const open = Effect.fnUntraced(function*(seed?: number) {
  const runtime = yield* TensorRuntime
  const store = yield* ParameterStore.make(specs(seed))
  const executable = yield* runtime.compile(given)
  const train = Effect.fnUntraced(function*(optimizer: Optimizer.Optimizer, from: number, to: number) {
    for (let step = from; step < to; step++) {
      yield* Effect.scoped(store.differentiate(executable, [{ feeds: gradients(step) }]))
      yield* store.apply(optimizer, 0.01 * (step + 1))
    }
  })
  return { store, train }
})

const counters = {
  step: 3,
  epoch: 3,
  best: 0,
  bestEpoch: 3,
  sinceBest: 0,
  start: -1,
  asked: 0,
  origin: -1
}

const valuesOf = Effect.fnUntraced(function*(feeds: ParameterStore.Feeds) {
  const all: Record<string, ReadonlyArray<number>> = {}
  for (const [name, feed] of Object.entries(feeds)) {
    const { data }: HostTensor = "read" in feed ? yield* feed.read : feed
    all[name] = Array.from(data)
  }
  return all
})

describe("every optimizer of src/optimizer", () => {
  it("is among those that are tested here", () => {
    const others = new Set(["LearningRate", "Optimizer", "OptimizerProgram", "OptimizerSlots", "ParameterStore"])
    const files = readdirSync(fileURLToPath(new URL("../../src/optimizer", import.meta.url)))
      .map((file) => file.replace(".ts", "")).filter((name) => !others.has(name))
    assert.deepStrictEqual(files.toSorted(), Object.keys(transforms).toSorted())
  })

  for (const [backend, layer] of [...backends, resident]) {
    it.effect(
      `goes on from a checkpoint as if it had never stopped, bit for bit, on ${backend}`,
      () =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          for (const [name, optimizer] of Object.entries(optimizers)) {
            const folder = yield* fs.makeTempDirectoryScoped()
            const [whole, first, second] = [yield* open(), yield* open(), yield* open(2)]
            yield* whole.train(optimizer, 0, 6)
            const between = yield* Effect.gen(function*() {
              yield* first.train(optimizer, 0, 3)
              yield* TrainingState.save(first.store, "sft", counters, true)
              const between = yield* first.store.save
              yield* TrainingState.resume(second.store, "sft", config({ averaging: 0 }))
              return between
            }).pipe(Effect.provide(Checkpointer.layer(folder)))
            assert.deepStrictEqual(yield* second.store.save, between, name)
            const evaluated = [first, second].map(({ store }) =>
              Effect.scoped(Effect.flatMap(store.evaluation, ({ feeds }) => valuesOf(feeds)))
            )
            assert.deepStrictEqual(yield* evaluated[1]!, yield* evaluated[0]!, name)
            yield* second.train(optimizer, 3, 6)
            assert.deepStrictEqual(yield* second.store.save, yield* whole.store.save, name)
            assert.strictEqual(yield* second.store.version, 6)
          }
        }).pipe(Effect.scoped, Effect.provide([layer, NodeServices.layer])),
      120_000
    )

    it.effect(`is not taken for another one, on ${backend}`, () =>
      Effect.gen(function*() {
        const [first, second] = [yield* open(), yield* open()]
        yield* first.train(optimizers["AdamW, fused"]!, 0, 3)
        const state = yield* first.store.save
        yield* second.store.restore(state)
        const other = Optimizer.of(
          Optimizer.groups((p) => isMatrix(p) ? "a" : "b", { a: transforms["AdamW"]!, b: transforms["Lion"]! })
        )
        const error = yield* Effect.flip(second.train(other, 3, 4))
        assert.strictEqual(error.reason._tag, "OtherOptimizer")
        assert.include(error.message, "a/first.matrix")
        assert.include(error.message, "restored at step 3")
        assert.deepStrictEqual(yield* second.store.save, state)
        yield* second.store.restore({ ...state, version: 0, average: new Map(), slots: new Map() })
        yield* second.train(other, 0, 1)
        assert.strictEqual(yield* second.store.version, 1)
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect(`is evaluated by its averages, those of groups too, else by its weights, on ${backend}`, () =>
      Effect.gen(function*() {
        const grouped = Optimizer.of(
          Optimizer.groups((p) => isMatrix(p) ? "a" : "b", {
            a: Optimizer.chain(Sgd.sgd(), Optimizer.averageWeights(0.9)),
            b: Sgd.sgd()
          })
        )
        const cases = [
          [optimizers["AdamW, fused"]!, ["matrix", "vector", "scalar"]],
          [grouped, ["matrix"]],
          [optimizers["AdamW, fused, no average"]!, []]
        ] as const
        for (const [optimizer, averaged] of cases) {
          const { store, train } = yield* open()
          const weights: Array<Record<string, ReadonlyArray<number>>> = []
          for (let step = 0; step < 4; step++) {
            weights.push(yield* valuesOf((yield* store.weights).feeds))
            yield* train(optimizer, step, step + 1)
          }
          weights.push(yield* valuesOf((yield* store.weights).feeds))
          const evaluated = yield* Effect.scoped(Effect.flatMap(store.evaluation, ({ feeds }) => valuesOf(feeds)))
          for (const name of names) {
            const mean = weights[0]![name]!.map((start, i) =>
              weights.slice(1).reduce((value, now, step) => {
                const keep = Math.min(0.9, (step + 1) / (step + 11))
                return keep * value + (1 - keep) * now[name]![i]!
              }, start)
            )
            const expected = (averaged as ReadonlyArray<string>).includes(name) ? mean : weights.at(-1)![name]!
            for (const [i, value] of evaluated[name]!.entries()) assert.closeTo(value, expected[i]!, 1e-5, name)
          }
          const { average } = yield* store.save
          assert.deepStrictEqual([...average.keys()].toSorted(), averaged.toSorted())
        }
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect(`leaves frozen parameters without gradient and slots, on ${backend}`, () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        for (const optimizer of [optimizers["AdamW, fused"]!, Optimizer.of(transforms["AdamW"]!)]) {
          const store = yield* ParameterStore.make(
            Object.fromEntries(
              Object.entries(specs()).map(([name, spec]) => [name, { ...spec, trainable: name !== "matrix" }])
            ),
            { optimizer }
          )
          const before = yield* store.save
          const executable = yield* runtime.compile(make({
            ...given,
            body: (inputs) => ({ vector: inputs["given.vector"]!.add(0), scalar: inputs["given.scalar"]!.add(0) })
          }))
          for (const share of [1, 0.5]) {
            yield* Effect.scoped(
              store.differentiate(executable, Array.from({ length: 1 / share }, () => ({ feeds: gradients(1), share })))
            )
            yield* store.apply(optimizer, 0.1)
          }
          const after = yield* store.save
          assert.deepStrictEqual(after.weights.get("matrix"), before.weights.get("matrix"))
          assert.notDeepEqual(after.weights.get("vector"), before.weights.get("vector"))
          assert.deepStrictEqual([...after.average.keys()].toSorted(), ["scalar", "vector"])
          assert.deepStrictEqual([...after.slots.keys()].toSorted(), [
            "first.scalar",
            "first.vector",
            "second.scalar",
            "second.vector"
          ])
          const evaluated = yield* Effect.scoped(Effect.flatMap(store.evaluation, ({ feeds }) => valuesOf(feeds)))
          assert.deepStrictEqual(evaluated["matrix"], Array.from(before.weights.get("matrix")!.data))
          assert.deepStrictEqual(evaluated["vector"], Array.from(after.average.get("vector")!.data))
        }
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect(`keeps every snapshot until its Scope closes, whatever others are taken and released, on ${backend}`, () =>
      Effect.gen(function*() {
        const { store, train } = yield* open()
        const optimizer = optimizers["AdamW, fused"]!
        const first = yield* store.snapshot("weights")
        const before = yield* valuesOf(first.feeds)
        for (let step = 0; step < 3; step++) {
          yield* train(optimizer, step, step + 1)
          yield* Effect.scoped(Effect.gen(function*() {
            const [weights, average] = [yield* store.snapshot("weights"), yield* store.snapshot("average")]
            const state = yield* store.save
            for (const [feeds, saved] of [[weights.feeds, state.weights], [average.feeds, state.average]] as const) {
              const values = yield* valuesOf(feeds)
              assert.deepStrictEqual(
                values,
                Object.fromEntries(names.map((name) => [name, [...(saved.get(name) ?? state.weights.get(name)!).data]]))
              )
            }
          }))
        }
        assert.deepStrictEqual(yield* valuesOf(first.feeds), before)
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect(`leaves snapshots as they are, and a gradient that is not finite leaves everything, on ${backend}`, () =>
      Effect.gen(function*() {
        const { store, train } = yield* open()
        const optimizer = optimizers["AdamW, fused"]!
        yield* train(optimizer, 0, 2)
        const frozen = [yield* store.snapshot("weights"), yield* store.snapshot("average")]
        const before = yield* Effect.forEach(frozen, ({ feeds }) => valuesOf(feeds))
        const state = yield* store.save
        assert.deepStrictEqual(
          before[0],
          Object.fromEntries(names.map((name) => [name, [...state.weights.get(name)!.data]]))
        )
        assert.deepStrictEqual(
          before[1],
          Object.fromEntries(names.map((name) => [name, [...state.average.get(name)!.data]]))
        )
        const runtime = yield* TensorRuntime
        if (!runtime.resident) {
          // A worker thread reads them where they lie.
          for (const { feeds } of frozen) {
            for (const feed of Object.values(feeds)) {
              assert.instanceOf("data" in feed && feed.data.buffer, SharedArrayBuffer)
            }
          }
        }
        yield* train(optimizer, 2, 4)
        assert.deepStrictEqual(yield* Effect.forEach(frozen, ({ feeds }) => valuesOf(feeds)), before)
        assert.deepStrictEqual(frozen.map(({ version }) => version), [2, 2])
        assert.strictEqual((yield* store.weights).version, 4)
        const bad = gradients(4)
        bad["given.vector"]!.data[1] = Number.NaN
        const last = yield* store.save
        yield* Effect.scoped(store.differentiate(yield* runtime.compile(given), [{ feeds: bad }]))
        for (const tried of [optimizer, Optimizer.of(transforms["AdamW"]!)]) {
          const error = yield* Effect.flip(store.apply(tried, 0.1))
          assert.strictEqual(error.reason._tag, "NonFinite")
          assert.include(error.message, "step 5")
        }
        assert.deepStrictEqual(yield* store.save, last)
      }).pipe(Effect.scoped, Effect.provide(layer)))
  }
})
