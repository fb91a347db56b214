/**
 * The interpreting tensor runtime on tfjs's JavaScript backend: slow, plain, and the oracle of every test.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as Eager from "./Eager.ts"

let greeted = false

/** tfjs's JavaScript backend prints an advertisement on first use, except under its own test flag. */
const quiet = Effect.sync(() => {
  if (greeted) return
  greeted = true
  const before = tf.getBackend()
  tf.env().set("IS_TEST", true)
  void tf.setBackend("cpu")
  tf.scalar(0).dispose()
  tf.env().set("IS_TEST", false)
  if (before !== undefined && before !== "") void tf.setBackend(before)
})

/** Provides the reference runtime. */
export const layer: Layer.Layer<TensorRuntime> = Layer.effect(
  TensorRuntime,
  quiet.pipe(Effect.andThen(Eager.make({ name: "reference", backend: "cpu", resident: false })))
)
