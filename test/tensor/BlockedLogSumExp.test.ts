import { assert, describe, it } from "@effect/vitest"
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Random from "../../src/statistics/Random.ts"
import { masked } from "../../src/tensor/Attention.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as BlockedLogSumExp from "../../src/tensor/BlockedLogSumExp.ts"
import { float32, hostFloat32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "./Backends.ts"

const [rows, width, first, second] = [5, 4, 19, 6]
const values = (seed: number, count: number) => {
  const normal = Random.normal(seed, 0xb10c)
  return Float32Array.from({ length: count }, () => 2 * normal())
}
const h = values(1, rows * width)
const one = values(2, first * width)
const two = values(3, second * width)
const weights = values(4, rows)
const bias = Float32Array.from({ length: first }, (_, v) => v % 5 === 2 ? masked : v / 10)

/** The log-sum-exps and the gradients of their product with `weights`, in float64. */
const expected = (() => {
  const all = [...one, ...two]
  const added = [...bias, ...Array.from({ length: second }, () => 0)]
  const value = new Float64Array(rows)
  const dh = new Float64Array(rows * width)
  const dClasses = new Float64Array(all.length)
  for (let m = 0; m < rows; m++) {
    const logits = added.map((b, v) => {
      let sum = b
      for (let i = 0; i < width; i++) sum += h[m * width + i]! * all[v * width + i]!
      return sum
    })
    const highest = Math.max(...logits)
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0)
    value[m] = highest + Math.log(total)
    for (const [v, logit] of logits.entries()) {
      const share = Math.exp(logit - highest) / total * weights[m]!
      for (let i = 0; i < width; i++) {
        dh[m * width + i]! += share * all[v * width + i]!
        dClasses[v * width + i]! += share * h[m * width + i]!
      }
    }
  }
  return { value, h: dh, one: dClasses.subarray(0, one.length), two: dClasses.subarray(one.length) }
})()

describe("BlockedLogSumExp", () => {
  for (const [backend, layer] of backends) {
    for (const most of [4, 7, 1000]) {
      it.effect(`has the values and gradients of the formula in blocks of at most ${most}: ${backend}`, () =>
        Effect.gen(function*() {
          const runtime = yield* TensorRuntime
          const program = yield* runtime.compile(make<string, string>({
            name: "sums",
            inputs: {
              h: float32("M", width),
              one: float32(first, width),
              two: float32(second, width),
              weights: float32("M")
            },
            body: ({ weights, ...inputs }: Readonly<Record<string, tf.Tensor>>) => {
              const apply = ({ h, one, two }: Readonly<Record<string, tf.Tensor>>) =>
                BlockedLogSumExp.apply(h!, [{ rows: one!, bias }, { rows: two! }], most)
              const { gradients } = Autodiff.valueAndGradients((own) => apply(own).mul(weights!).sum(), inputs)
              return { value: apply(inputs), ...gradients }
            }
          }))
          const out = yield* program.run({
            h: hostFloat32(h, rows, width),
            one: hostFloat32(one, first, width),
            two: hostFloat32(two, second, width),
            weights: hostFloat32(weights, rows)
          })
          for (const [name, want] of Object.entries(expected)) {
            assert.isBelow(distance((yield* out[name]!.read).data, want), 2e-5, name)
          }
        }).pipe(Effect.scoped, Effect.provide(layer)))
    }
  }
})
