import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { float32, hostFloat32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { backends, resident } from "./Backends.ts"

const inputs = { used: float32(3), other: float32(2, 2) }
const feeds = { used: hostFloat32(Float32Array.of(1, 2, 3), 3), other: hostFloat32(Float32Array.of(4, 5, 6, 7), 2, 2) }

const programOf = (compute: (x: Readonly<Record<"used" | "other", tf.Tensor>>) => tf.Tensor) =>
  make({
    name: "autodiff",
    inputs,
    body: (x: Readonly<Record<"used" | "other", tf.Tensor>>) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary((own) => {
        const loss = compute(own)
        return { loss, auxiliary: { twice: loss.mul(2) } }
      }, x)
      return { value, ...auxiliary, ...gradients }
    }
  })

for (const [name, runtime] of [...backends, resident]) {
  describe(`Autodiff on ${name}`, () => {
    it.effect("gives zeros to a parameter that the loss does not depend on", () =>
      Effect.gen(function*() {
        const program = yield* (yield* TensorRuntime).compile(programOf(({ used }) => used.mul(used).sum()))
        for (let again = 0; again < 2; again++) {
          const outputs = yield* program.run(feeds)
          const read = (output: keyof typeof outputs) =>
            Effect.map(outputs[output]!.read, ({ data, shape }) => [shape, Array.from(data)])
          assert.deepStrictEqual(yield* read("value"), [[], [14]])
          assert.deepStrictEqual(yield* read("twice"), [[], [28]])
          assert.deepStrictEqual(yield* read("used"), [[3], [2, 4, 6]])
          assert.deepStrictEqual(yield* read("other"), [[2, 2], [0, 0, 0, 0]])
        }
      }).pipe(Effect.scoped, Effect.provide(runtime)))

    it.effect("refuses a loss that depends on no parameter", () =>
      Effect.gen(function*() {
        const runtime = yield* TensorRuntime
        const program = Effect.flatMap(
          runtime.compile(programOf(() => tf.scalar(2).mul(3))),
          (executable) => executable.run(feeds)
        )
        assert.include((yield* Effect.flip(program)).message, "Cannot compute gradient")
      }).pipe(Effect.scoped, Effect.provide(runtime)))
  })
}
