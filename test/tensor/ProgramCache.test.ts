import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as ProgramCache from "../../src/tensor/ProgramCache.ts"
import { BackendFailure, TensorError } from "../../src/tensor/TensorError.ts"
import { float32, hostFloat32, make, type TensorProgram } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { backends } from "./Backends.ts"

interface Key {
  readonly by: number
  readonly parts: ReadonlyArray<string>
}

const times = ({ by, parts }: Key): TensorProgram =>
  make({ name: parts.join("+"), inputs: { x: float32("N") }, body: ({ x }) => ({ y: x.mul(by) }) })

/** The runtime of the context, slow to compile, that writes down what it compiles and fails as often as it is told to. */
const slow = Effect.map(TensorRuntime, (runtime) => {
  const compiled: Array<string> = []
  const state = { failures: 0 }
  const own = TensorRuntime.of({
    ...runtime,
    compile: (program) =>
      Effect.gen(function*() {
        compiled.push(program.name)
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        if (state.failures-- > 0) {
          return yield* new TensorError({
            reason: new BackendFailure({ backend: "slow", program: program.name, cause: "no room" })
          })
        }
        return yield* runtime.compile(program)
      })
  })
  return { compiled, own, state }
})

const x = hostFloat32(Float32Array.of(1, 2), 2)

describe("ProgramCache", () => {
  it.live("compiles once for fibers that ask at a time, and for keys that are equal", () =>
    Effect.gen(function*() {
      const { compiled, own } = yield* slow
      const program = yield* ProgramCache.make(own, times)
      const key = (): Key => ({ by: 3, parts: ["a", "b"] })
      const found = yield* Effect.forEach([1, 2, 3], () => program(key()), { concurrency: "unbounded" })
      assert.strictEqual(new Set([...found, yield* program(key())]).size, 1)
      assert.deepStrictEqual(compiled, ["a+b"])
      const outputs = yield* found[0]!.run({ x })
      assert.deepStrictEqual([...(yield* outputs["y"]!.read).data], [3, 6])
      assert.notStrictEqual(yield* program({ by: 4, parts: ["a", "b"] }), found[0])
      assert.notStrictEqual(yield* program({ by: 3, parts: ["a"] }), found[0])
      assert.deepStrictEqual(compiled, ["a+b", "a+b", "a"])
    }).pipe(Effect.scoped, Effect.provide(backends[0]![1])))

  it.live("tells every fiber of a failure and tries again afterwards", () =>
    Effect.gen(function*() {
      const { compiled, own, state } = yield* slow
      const program = yield* ProgramCache.make(own, times)
      state.failures = 1
      const key = { by: 2, parts: ["p"] }
      const exits = yield* Effect.forEach([1, 2], () => Effect.flip(program(key)), { concurrency: "unbounded" })
      assert.deepStrictEqual(exits.map(({ reason }) => reason._tag), ["BackendFailure", "BackendFailure"])
      yield* program(key)
      assert.deepStrictEqual(compiled, ["p", "p"])
    }).pipe(Effect.scoped, Effect.provide(backends[0]![1])))

  it.live("goes on compiling for one fiber when another one that asked first is interrupted", () =>
    Effect.gen(function*() {
      const { compiled, own } = yield* slow
      const program = yield* ProgramCache.make(own, times)
      const key = { by: 2, parts: ["p"] }
      const first = yield* Effect.forkChild(program(key), { startImmediately: true })
      const second = yield* Effect.forkChild(program(key), { startImmediately: true })
      yield* Fiber.interrupt(first)
      const found = yield* Fiber.join(second)
      assert.strictEqual(found.name, "p")
      assert.deepStrictEqual(compiled, ["p"])
    }).pipe(Effect.scoped, Effect.provide(backends[0]![1])))

  it.effect("releases its programs with its scope, and says so to who runs one later", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const scope = yield* Scope.make()
      const program = yield* ProgramCache.make(runtime, times).pipe(Scope.provide(scope))
      const key = { by: 2, parts: ["p"] }
      yield* program(key)
      assert.strictEqual((yield* runtime.usage).executables, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* runtime.usage).executables, 0)
      const late = yield* Effect.flip(
        Effect.flatMap(program(key), (executable) => Effect.scoped(executable.run({ x })))
      )
      assert.strictEqual(late.reason._tag, "UseAfterRelease")
    }).pipe(Effect.provide(backends[0]![1])))
})
