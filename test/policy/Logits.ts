/**
 * Logits of a decoder whose weights are in a buffer.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Attention from "../../src/tensor/Attention.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

/** Returns a function of rows of token ids, all of one length, that computes their logits [B x T, V]. */
export const compile = Effect.fnUntraced(
  function*(config: Transformer.DecoderConfig, buffer: ParameterBuffer.ParameterBuffer) {
    const runtime = yield* TensorRuntime
    const program = yield* runtime.compile(make({
      name: "logits",
      inputs: {
        ...ParameterBuffer.inputs(buffer.slots),
        tokens: int32("B", "T"),
        positions: int32("B", "T"),
        segments: int32("B", "T")
      },
      body: (x: Readonly<Record<string, tf.Tensor>>) => {
        const { hidden } = Transformer.forward(config, x, {
          tokens: x["tokens"]!,
          positions: x["positions"]!,
          mask: Attention.packedMask(x["segments"]!, x["positions"]!, config.slidingWindow)
        })
        return {
          logits: tf.matMul(hidden as tf.Tensor2D, x[Transformer.headName(config)] as tf.Tensor2D, false, true)
        }
      }
    }))
    return (rows: ReadonlyArray<ArrayLike<number>>) =>
      Effect.gen(function*() {
        const [batch, length] = [rows.length, rows[0]!.length]
        const { logits } = yield* program.run({
          ...buffer.tensors("weights"),
          tokens: hostInt32(Int32Array.from(rows.flatMap((row) => Array.from(row))), batch, length),
          positions: hostInt32(Int32Array.from({ length: batch * length }, (_, i) => i % length), batch, length),
          segments: hostInt32(new Int32Array(batch * length), batch, length)
        })
        return ((yield* logits!.read).data as Float32Array).slice()
      }).pipe(Effect.scoped)
  }
)
