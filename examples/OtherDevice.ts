/**
 * One program on two devices: only the layer differs. With a GPU, weights and optimizer slots stay on it.
 *
 * Run it: `node examples/OtherDevice.ts`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
import * as Lion from "sidereal/optimizer/Lion"
import * as Optimizer from "sidereal/optimizer/Optimizer"
import * as Trainer from "sidereal/optimizer/Trainer"
import * as Random from "sidereal/tensor/Random"
import { float32, hostFloat32 } from "sidereal/tensor/TensorProgram"
import { TensorRuntime } from "sidereal/tensor/TensorRuntime"

const [rows, width] = [64, 16]
const next = Random.normal(1)
const x = Float32Array.from({ length: rows * width }, next)
const y = Float32Array.from({ length: rows }, (_, r) => Math.tanh(x[r * width]! - x[r * width + 1]!))
const draw = (values: Float32Array) => {
  const next = Random.normal(2)
  for (let i = 0; i < values.length; i++) values[i] = 0.3 * next()
}

const program = Effect.gen(function*() {
  const trainer = yield* Trainer.make({
    name: "two-layers",
    parameters: {
      hidden: { shape: [width, 32], initialize: draw },
      out: { shape: [32, 1], initialize: draw }
    },
    inputs: { x: float32("B", width), y: float32("B", 1) },
    loss: ({ hidden, out }, { x, y }) =>
      tf.matMul(tf.matMul(x as tf.Tensor2D, hidden as tf.Tensor2D).tanh(), out as tf.Tensor2D).sub(y).square().mean(),
    optimizer: Optimizer.of(Lion.lion())
  })
  const batch = { x: hostFloat32(x, rows, width), y: hostFloat32(y, rows, 1) }
  let loss = 0
  for (let i = 0; i < 50; i++) loss = (yield* trainer.step(batch, 0.01)).loss
  yield* Effect.log(`${(yield* TensorRuntime).name}: loss ${loss.toFixed(5)} after 50 steps`)
}).pipe(Effect.scoped)

Effect.gen(function*() {
  yield* program.pipe(Effect.provide(OnnxRuntime.layerCpu()))
  yield* program.pipe(
    Effect.provide(OnnxRuntime.layerWebGpu),
    Effect.catchTag("TensorError", (error) => Effect.log(error.message))
  )
}).pipe(NodeRuntime.runMain)
