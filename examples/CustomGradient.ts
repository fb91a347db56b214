/**
 * A custom loss with a hand-written gradient: robust linear regression on points with large outliers.
 *
 * The pseudo-Huber loss `sqrt(1 + e^2) - 1` has the gradient `e / sqrt(1 + e^2)`; the hand-written gradient reuses the
 * root computed by the loss. `save` passes tensors from the forward pass to the gradient.
 *
 * Run it: `node examples/CustomGradient.ts`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
import * as Adam from "sidereal/optimizer/Adam"
import * as Optimizer from "sidereal/optimizer/Optimizer"
import * as Trainer from "sidereal/optimizer/Trainer"
import { float32, hostFloat32 } from "sidereal/tensor/TensorProgram"

const pseudoHuber = (error: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const [error, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc]
    const root = error.square().add(tf.scalar(1)).sqrt()
    save([error, root])
    return {
      value: root.sub(tf.scalar(1)),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => [dy.mul(saved[0]!.div(saved[1]!))]
    }
  })(error)

const x = Float32Array.from({ length: 100 }, (_, i) => i / 50 - 1)
const y = x.map((value, i) => 3 * value + 1 + (i % 10 === 0 ? 40 : 0))

Effect.gen(function*() {
  const trainer = yield* Trainer.make({
    name: "robust-line",
    parameters: {
      slope: { shape: [], initialize: (values) => values.fill(0) },
      intercept: { shape: [], initialize: (values) => values.fill(0) }
    },
    inputs: { x: float32("B"), y: float32("B") },
    loss: ({ intercept, slope }, { x, y }) => pseudoHuber(x.mul(slope).add(intercept).sub(y)).mean(),
    optimizer: Optimizer.of(Optimizer.chain(Adam.scaleByAdam(0.9, 0.999, 1e-8), Optimizer.scaleByRate()))
  })
  for (let i = 0; i < 400; i++) yield* trainer.step({ x: hostFloat32(x, 100), y: hostFloat32(y, 100) }, 0.05)
  const { buffer } = trainer.store
  const [slope, intercept] = ["slope", "intercept"].map((name) => buffer.view("weights", name)[0]!.toFixed(1))
  yield* Effect.log(`y = ${slope} x + ${intercept}; the true line is 3 x + 1, with one point in ten 40 too high`)
}).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu()), NodeRuntime.runMain)
