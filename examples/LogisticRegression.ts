/**
 * The engine alone: logistic regression on made-up data, its gradient by tfjs, its graph by onnxruntime.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
import * as Autodiff from "sidereal/tensor/Autodiff"
import { float32, hostFloat32, make } from "sidereal/tensor/TensorProgram"
import { TensorRuntime } from "sidereal/tensor/TensorRuntime"

const step = make({
  name: "logistic-regression",
  inputs: { x: float32("N", 2), y: float32("N", 1), w: float32(2, 1) },
  body: ({ w, x, y }) => {
    const { gradients, value } = Autodiff.valueAndGradients(
      ({ w }) => tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D).mul(y).neg().softplus().mean(),
      { w }
    )
    return { loss: value, gradient: gradients.w }
  }
})

Effect.gen(function*() {
  const program = yield* (yield* TensorRuntime).compile(step)
  const x = Float32Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) * 3)
  const y = Float32Array.from({ length: 200 }, (_, i) => (2 * x[2 * i]! - x[2 * i + 1]! > 0 ? 1 : -1))
  const w = new Float32Array(2)
  for (let i = 0; i <= 200; i++) {
    yield* Effect.scoped(Effect.gen(function*() {
      const out = yield* program.run({ x: hostFloat32(x, 200, 2), y: hostFloat32(y, 200, 1), w: hostFloat32(w, 2, 1) })
      const { data } = yield* out.gradient.read
      w.forEach((value, j) => (w[j] = value - data[j]!))
      if (i % 50 === 0) {
        yield* Effect.log(
          `step ${i}: loss ${(yield* out.loss.read).data[0]!.toFixed(4)}, w ${[...w].map((v) => v.toFixed(2))}`
        )
      }
    }))
  }
}).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu()), NodeRuntime.runMain)
