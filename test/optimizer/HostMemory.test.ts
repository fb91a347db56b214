import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as Sgd from "../../src/optimizer/Sgd.ts"
import * as HostMemory from "../../src/tensor/HostMemory.ts"
import { type ParameterSpecs } from "../../src/tensor/ParameterBuffer.ts"
import { float32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

const adamW = (averaging: number) => Adam.adamW(Schema.decodeSync(AdamW.AdamWConfig)({ averaging }))

/** A square matrix that must not be made before there is room. */
const square = (side: number, made: () => void = () => {}): ParameterSpecs => ({
  w: { shape: [side, side], initialize: made }
})

const refused = Effect.fnUntraced(function*(specs: ParameterSpecs, optimizer?: Optimizer.Optimizer) {
  const { reason } = yield* Effect.flip(ParameterStore.make(specs, { optimizer }))
  assert.strictEqual(reason._tag, "OutOfMemory")
  return reason as Extract<typeof reason, { readonly _tag: "OutOfMemory" }>
})

describe("a model that does not fit", () => {
  it.effect("is refused with the bytes wanted and available before anything is made", () =>
    Effect.gen(function*() {
      const made: Array<string> = []
      const large = square(1_000_000, () => made.push("w"))
      const block = yield* refused(large)
      assert.deepStrictEqual([block.limit, block.wanted], ["block", 4e12])
      assert.isBelow(block.available, 2 ** 32)
      assert.match(
        block.message,
        /weights of 1000000000000 parameters: 4000000000000 bytes .* one block of memory holds/
      )
      const room = 100 * 2 ** 20
      const fits = square(4096, () => made.push("w"))
      const bytes = 4096 * 4096 * 4
      const wanted = yield* Effect.forEach(
        [adamW(0), adamW(0.9), Optimizer.of(Sgd.sgd()), Optimizer.of(Sgd.sgd({ momentum: 0.9 }))],
        (optimizer) => Effect.map(refused(fits, optimizer), (reason) => reason.wanted / bytes)
      ).pipe(Effect.provideService(HostMemory.Available, () => room))
      assert.deepStrictEqual(wanted, [4, 5, 2, 3])
      assert.deepStrictEqual(made, [])
      yield* ParameterStore.make(fits).pipe(Effect.provideService(HostMemory.Available, () => room))
      assert.deepStrictEqual(made, ["w"])
    }).pipe(Effect.scoped, Effect.provide(Reference.layer)))

  it.effect("is refused wherever it grows, and stays what it was", () =>
    Effect.gen(function*() {
      let available = Infinity
      const store = yield* ParameterStore.make({
        w: { shape: [1024, 1024], initialize: (values) => values.fill(1) }
      }).pipe(Effect.provideService(HostMemory.Available, () => available))
      const runtime = yield* TensorRuntime
      const gradients = yield* runtime.compile(make({
        name: "gradients",
        inputs: { w: float32(1024, 1024) },
        body: ({ w }) => ({ w: w.mul(2) })
      }))
      const step = (optimizer: Optimizer.Optimizer, shares: ReadonlyArray<number> = [1]) =>
        Effect.scoped(store.differentiate(gradients, shares.map((share) => ({ feeds: {}, share })))).pipe(
          Effect.andThen(store.apply(optimizer, 0.1))
        )
      const [momentum, grouped] = [
        Optimizer.of(Sgd.sgd({ momentum: 0.9 })),
        Optimizer.of(Optimizer.groups(() => "all", { all: Sgd.sgd({ momentum: 0.9 }) }))
      ]
      const before = yield* store.save
      const growing: ReadonlyArray<readonly [Effect.Effect<unknown, unknown>, RegExp]> = [
        [step(momentum), /gradients of 1048576 parameters: 4194304 bytes/],
        [step(momentum, [0.5, 0.5]), / 4194304 bytes/],
        [step(adamW(0.9)), /first, second, average of 1048576 parameters: 12582912 bytes/],
        [step(grouped), / 4194304 bytes/],
        [store.save, / [0-9]+ bytes/],
        [Effect.scoped(store.snapshot("weights")), / 4194304 bytes/]
      ]
      for (const [work, words] of growing) {
        available = 0
        const error = yield* Effect.flip(work)
        assert.match((error as Error).message, words)
        assert.match((error as Error).message, /, 0 \(0.00 GiB\) are available/)
        available = Infinity
        assert.deepStrictEqual((yield* store.save).weights, before.weights)
        // What was asked for first is there by now.
        yield* Effect.scoped(store.differentiate(gradients, [{ feeds: {} }]))
      }
      assert.strictEqual(yield* store.version, 0)
      for (const optimizer of [momentum, grouped, adamW(0.9)]) yield* step(optimizer, [0.5, 0.5])
      assert.strictEqual(yield* store.version, 3)
    }).pipe(Effect.scoped, Effect.provide(Reference.layer)))
})

describe("HostMemory.measure", () => {
  it("is a number of bytes that a process may ask for", () => {
    assert.isAbove(HostMemory.measure(), 0)
    assert.isUndefined(HostMemory.check("nothing", 0, HostMemory.measure))
  })
})
