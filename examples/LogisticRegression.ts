/**
 * The tensor engine alone: logistic regression in twenty lines.
 *
 * Run it: `node examples/LogisticRegression.ts`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
import * as Optimizer from "sidereal/optimizer/Optimizer"
import * as Sgd from "sidereal/optimizer/Sgd"
import * as Trainer from "sidereal/optimizer/Trainer"
import { float32, hostFloat32 } from "sidereal/tensor/TensorProgram"

const points = Float32Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) * 3)
const labels = Float32Array.from({ length: 200 }, (_, i) => (2 * points[2 * i]! - points[2 * i + 1]! > 0 ? 1 : -1))

Effect.gen(function*() {
  const trainer = yield* Trainer.make({
    name: "logistic-regression",
    parameters: { w: { shape: [2, 1], initialize: (w) => w.fill(0) } },
    inputs: { x: float32("B", 2), y: float32("B", 1) },
    loss: ({ w }, { x, y }) => tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D).mul(y).neg().softplus().mean(),
    optimizer: Optimizer.of(Sgd.sgd())
  })
  for (let i = 0; i <= 200; i++) {
    const { loss } = yield* trainer.step({ x: hostFloat32(points, 200, 2), y: hostFloat32(labels, 200, 1) }, 1)
    if (i % 50 === 0) {
      yield* Effect.log(`step ${i}: loss ${loss.toFixed(4)}, w ${trainer.store.buffer.view("weights", "w")}`)
    }
  }
}).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu()), NodeRuntime.runMain)
