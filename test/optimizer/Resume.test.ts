import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as Sgd from "../../src/optimizer/Sgd.ts"
import { make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { backends, resident } from "../tensor/Backends.ts"
import { given, goesOn, gradients, isMatrix, names, open, optimizers, specs, transforms, valuesOf } from "./Resume.ts"

describe("every optimizer of src/optimizer", () => {
  it("is among those that are tested here", () => {
    const others = new Set(["LearningRate", "Optimizer", "OptimizerProgram", "OptimizerSlots", "ParameterStore"])
    const files = readdirSync(fileURLToPath(new URL("../../src/optimizer", import.meta.url)))
      .map((file) => file.replace(".ts", "")).filter((name) => !others.has(name))
    assert.deepStrictEqual(files.toSorted(), Object.keys(transforms).toSorted())
  })

  // Every optimizer has its turn on every backend in the long suite.
  for (const [at, backend] of [...backends, resident].entries()) {
    goesOn(backend, at === 0 ? Object.keys(optimizers) : ["AdamW, fused", "Lion, averaged beside a frozen group"])
  }

  for (const [backend, layer] of [...backends, resident]) {
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
