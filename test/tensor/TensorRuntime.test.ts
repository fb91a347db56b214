import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { type TensorError } from "../../src/tensor/TensorError.ts"
import { float32, hostFloat32, hostInt32, type HostTensor, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "./Backends.ts"

const affine = make({
  name: "affine",
  inputs: { x: float32("N", 2), w: float32(2, 3) },
  body: ({ w, x }) => ({ y: tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D).add(tf.scalar(1)) })
})

const x = hostFloat32(Float32Array.of(1, 2, 3, 4), 2, 2)
const w = hostFloat32(Float32Array.of(1, 0, 2, 0, 1, 3), 2, 3)

for (const [name, layer] of backends) {
  describe(`TensorRuntime on ${name}`, () => {
    it.effect("runs one program at several run-time sizes", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const program = yield* runtime.compile(affine)
        const { y } = yield* program.run({ x, w })
        const read = yield* y.read
        assert.deepStrictEqual([...read.shape], [2, 3])
        assert.deepStrictEqual([...read.data], [2, 3, 9, 4, 5, 19])
        const one = yield* program.run({ x: hostFloat32(Float32Array.of(5, 6), 1, 2), w })
        assert.deepStrictEqual([...(yield* one.y.read).data], [6, 7, 29])
        const none = yield* program.run({ x: hostFloat32(new Float32Array(0), 0, 2), w })
        assert.deepStrictEqual([...(yield* none.y.read).shape], [0, 3])
      }).pipe(Effect.provide(layer)))

    it.effect("takes handles as inputs and writes into given arrays", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const program = yield* runtime.compile(make({
          name: "double",
          inputs: { x: float32("N") },
          body: ({ x }) => ({ y: x.mul(tf.scalar(2)) })
        }))
        const first = yield* program.run({ x: hostFloat32(Float32Array.of(1, 2), 2) })
        const target = new Float32Array(2)
        yield* program.run({ x: first.y }, { y: target })
        assert.deepStrictEqual([...target], [4, 8])
      }).pipe(Effect.provide(layer)))

    it.effect("leaves what was read as it is when the handle is released and other runs follow", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const program = yield* runtime.compile(make({
          name: "plus one",
          inputs: { x: float32("N") },
          body: ({ x }) => ({ read: x.add(tf.scalar(1)), unread: x.add(tf.scalar(2)) })
        }))
        const run = (value: number) => program.run({ x: hostFloat32(new Float32Array(5000).fill(value), 5000) })
        const kept: Array<HostTensor["data"]> = []
        for (let i = 0; i < 4; i++) {
          const data = yield* Effect.scoped(
            Effect.flatMap(
              run(i),
              ({ read, unread }) =>
                Effect.scoped(program.run({ x: unread })).pipe(
                  Effect.andThen(Effect.map(read.read, ({ data }) => data))
                )
            )
          )
          kept.push(data)
        }
        for (const [i, data] of kept.entries()) assert.isTrue(data.every((value) => value === i + 1))
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.effect("names both shapes of an input that does not fit", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const program = yield* runtime.compile(affine)
        const error: TensorError = yield* Effect.flip(
          program.run({ x: hostFloat32(new Float32Array(6), 2, 3), w })
        )
        assert.strictEqual(error.reason._tag, "ShapeMismatch")
        assert.include(error.message, "\"x\"")
        assert.include(error.message, "expected [N=2, 2], got [2, 3]")
      }).pipe(Effect.provide(layer)))

    it.effect("fails after its scope is closed, and leaves nothing alive", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const scope = yield* Scope.make()
        const program = yield* runtime.compile(affine).pipe(Scope.provide(scope))
        const { y } = yield* program.run({ x, w }).pipe(Scope.provide(scope))
        assert.deepStrictEqual(yield* runtime.usage, { handles: 1, bytes: 24, executables: 1 })
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* runtime.usage, { handles: 0, bytes: 0, executables: 0 })
        const read = yield* Effect.flip(y.read)
        assert.strictEqual(read.reason._tag, "UseAfterRelease")
        const run = yield* Effect.flip(program.run({ x, w }))
        assert.strictEqual(run.reason._tag, "UseAfterRelease")
      }).pipe(Effect.provide(layer)))

    it.effect("differentiates through gathers whose indices repeat", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const program = yield* runtime.compile(make({
          name: "embedding",
          inputs: { table: float32(3, 2), ids: int32("N") },
          body: ({ ids, table }) => {
            const { gradients, value } = Autodiff.valueAndGradients(
              ({ table }) => tf.gather(table, ids).square().sum(),
              { table }
            )
            return { value, gradient: gradients.table }
          }
        }))
        const out = yield* program.run({
          table: hostFloat32(Float32Array.of(1, 2, 3, 4, 5, 6), 3, 2),
          ids: hostInt32(Int32Array.of(2, 0, 2, 2), 4)
        })
        assert.strictEqual((yield* out.value.read).data[0], 1 + 4 + 3 * (25 + 36))
        assert.deepStrictEqual([...(yield* out.gradient.read).data], [2, 4, 0, 0, 30, 36])
      }).pipe(Effect.provide(layer)))
  })
}

describe("TensorRuntime.compile on onnx-cpu", () => {
  const layer = backends[0]![1]

  it.effect("names a kernel that it cannot lower, and the line of the model", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const error = yield* Effect.flip(runtime.compile(make({
        name: "exotic",
        inputs: { x: float32(4) },
        body: ({ x }) => ({ y: tf.spectral.fft(x.cast("complex64") as tf.Tensor) })
      })))
      assert.strictEqual(error.reason._tag, "UnsupportedKernel")
      assert.include(error.message, "exotic")
    }).pipe(Effect.provide(layer)))

  // 50,257 rows are those of GPT-2, 151,936 those of Qwen2.5; the others are near the numbers that stand for N, or are one.
  it.effect("returns gradients of tables with as many rows as vocabularies have", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      for (const rows of [50_257, 100_003, 100_004, 128_256, 151_936, 200_006]) {
        const program = yield* runtime.compile(make({
          name: "vocabulary",
          inputs: { table: float32(rows, 1), ids: int32("N") },
          body: ({ ids, table }) => ({
            gradient: Autodiff.valueAndGradients(({ table }) => tf.gather(table, ids).sum(), { table }).gradients
              .table
          })
        }))
        const { gradient } = yield* program.run({
          table: hostFloat32(new Float32Array(rows), rows, 1),
          ids: hostInt32(Int32Array.of(rows - 1, 0, rows - 1), 3)
        })
        const { data, shape } = yield* gradient.read
        assert.deepStrictEqual([...shape], [rows, 1])
        assert.deepStrictEqual([data[0], data[1], data[rows - 1]], [1, 0, 2])
      }
    }).pipe(Effect.provide(layer)))

  it.effect("names both shapes when the body does not fit together", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const error = yield* Effect.flip(runtime.compile(make({
        name: "broken",
        inputs: { a: float32(2, 3), b: float32(4, 5) },
        body: ({ a, b }) => ({ y: tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D) })
      })))
      assert.strictEqual(error.reason._tag, "ShapeMismatch")
      assert.include(error.message, "2,3")
      assert.include(error.message, "4,5")
      assert.include(error.message, "TensorRuntime.test.ts")
    }).pipe(Effect.provide(layer)))

  it.effect("gives the same bits on every run, repeated indices and two threads included", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const rows = 4096
      const program = yield* runtime.compile(make({
        name: "scatter",
        inputs: { table: float32(16, 32), ids: int32(rows), scale: float32(rows, 32) },
        body: ({ ids, scale, table }) => {
          const { gradients } = Autodiff.valueAndGradients(
            ({ table }) => tf.gather(table, ids).mul(scale).sum(),
            { table }
          )
          return { gradient: gradients.table }
        }
      }))
      const feeds = {
        table: hostFloat32(new Float32Array(16 * 32), 16, 32),
        ids: hostInt32(Int32Array.from({ length: rows }, (_, i) => (i * 7) % 16), rows),
        scale: hostFloat32(Float32Array.from({ length: rows * 32 }, (_, i) => Math.sin(i)), rows, 32)
      }
      const first = (yield* (yield* program.run(feeds)).gradient.read).data.slice()
      const exact = new Float64Array(16 * 32)
      for (let r = 0; r < rows; r++) {
        for (let d = 0; d < 32; d++) exact[((r * 7) % 16) * 32 + d]! += Math.sin(r * 32 + d)
      }
      assert.isBelow(distance(first, exact), 1e-4)
      for (let run = 0; run < 10; run++) {
        const again = (yield* (yield* program.run(feeds)).gradient.read).data
        assert.deepStrictEqual(again, first)
      }
    }).pipe(Effect.provide(layer)))
})

describe("TensorRuntime when memory runs out", () => {
  it.effect("fails with a typed error and goes on", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const program = yield* runtime.compile(make({
        name: "outer",
        inputs: { x: float32("N", 1) },
        body: ({ x }) => ({ y: tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D, false, true).mul(x).sum() })
      }))
      const column = (rows: number) => hostFloat32(new Float32Array(rows).fill(1), rows, 1)
      const error = yield* Effect.flip(Effect.scoped(program.run({ x: column(1_000_000) })))
      assert.strictEqual(error.reason._tag, "BackendFailure")
      assert.match(error.message, /outer.*(alloc|memory)/is)
      const { y } = yield* program.run({ x: column(10) })
      assert.strictEqual((yield* y.read).data[0], 100)
      assert.strictEqual((yield* runtime.usage).handles, 1)
    }).pipe(Effect.scoped, Effect.provide(backends[0]![1])))
})

describe("TensorRuntime on a worker thread", () => {
  const heavy = make({
    name: "heavy",
    inputs: { x: float32(1024, 1024) },
    body: ({ x }) => {
      let y = x as tf.Tensor2D
      for (let i = 0; i < 12; i++) y = tf.matMul(y, x as tf.Tensor2D)
      return { y: y.sum() }
    }
  })
  const x = hostFloat32(new Float32Array(1024 * 1024).fill(1e-3), 1024, 1024)

  it.live("leaves the calling thread free while it runs", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const program = yield* runtime.compile(heavy)
      let ticks = 0
      const timer = setInterval(() => ticks++, 1)
      const started = performance.now()
      yield* Effect.scoped(program.run({ x }))
      clearInterval(timer)
      assert.isAbove(performance.now() - started, 20)
      assert.isAbove(ticks, 5)
    }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1, worker: true }))))

  it.effect("copies what is placed once, into memory that its thread shares", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const placed = yield* runtime.place({
        x: hostFloat32(Float32Array.of(1, 2), 2),
        whole: hostInt32(Int32Array.of(3), 1)
      })
      for (const handle of Object.values(placed)) {
        assert.instanceOf((yield* handle.read).data.buffer, SharedArrayBuffer)
      }
      const shared = new Float32Array(new SharedArrayBuffer(8))
      const { y } = yield* runtime.place({ y: hostFloat32(shared, 2) })
      assert.strictEqual((yield* y.read).data, shared)
    }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1, worker: true }))))

  it.live("is interrupted when the run in progress is complete, and leaves nothing alive", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const program = yield* runtime.compile(heavy)
      const fiber = yield* Effect.forkChild(Effect.scoped(Effect.forever(Effect.scoped(program.run({ x })))))
      yield* Effect.sleep("50 millis")
      const started = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - started, 5_000)
      assert.strictEqual((yield* runtime.usage).handles, 0)
      const { y } = yield* program.run({ x })
      assert.isTrue(Number.isFinite((yield* y.read).data[0]))
    }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1, worker: true }))))
})
