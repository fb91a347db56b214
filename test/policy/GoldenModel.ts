/**
 * The golden models of the Hugging Face layout: configuration, weights and the inputs of a forward pass.
 */
import { assert } from "@effect/vitest"
import type * as tf from "@tensorflow/tfjs"
import { join } from "node:path"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import { masked } from "../../src/tensor/Attention.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { float32, hostFloat32, hostInt32, int32 } from "../../src/tensor/TensorProgram.ts"
import { golden, json, list, tensors } from "../Golden.ts"

/** Folder of the models. */
export const models = join(golden, "lm", "models")

/** A Hugging Face configuration as ours. */
export const configOf = (name: string): Transformer.DecoderConfig => {
  const hf = json(models, name, "hf", "config.json")
  const rope = hf.rope_parameters ?? { rope_theta: hf.rope_theta, ...hf.rope_scaling }
  const headWidth = hf.head_dim ?? hf.hidden_size / hf.num_attention_heads
  return new Transformer.DecoderConfig({
    vocabulary: hf.vocab_size,
    width: hf.hidden_size,
    layers: hf.num_hidden_layers,
    heads: hf.num_attention_heads,
    keyValueHeads: hf.num_key_value_heads,
    headWidth,
    feedForward: hf.intermediate_size,
    maxPositions: 128,
    ropeTheta: rope.rope_theta,
    ...((rope.rope_type ?? rope.type) === "llama3"
      ? {
        ropeScaling: {
          factor: rope.factor,
          lowFrequencyFactor: rope.low_freq_factor,
          highFrequencyFactor: rope.high_freq_factor,
          originalPositions: rope.original_max_position_embeddings
        }
      }
      : {}),
    attentionBias: hf.model_type === "qwen2",
    queryKeyNorm: hf.model_type === "qwen3",
    tied: hf.tie_word_embeddings === true,
    epsilon: hf.rms_norm_eps
  })
}

/** Weights of a model, by name. */
export const weightsOf = (name: string) => {
  const folder = join(models, name, "hf")
  return new Map(
    list(folder).filter((file) => file.endsWith(".safetensors")).flatMap((file) => [...tensors(folder, file)])
      .map(([key, { data, shape }]) => [key, { shape, data: data as Float32Array }])
  )
}

/** Configuration and parameters of a model. */
export const load = (name: string) => {
  const config = configOf(name)
  const buffer = ParameterBuffer.make(Transformer.parameters(config, () => 0))
  assert.isUndefined(ParameterBuffer.load(buffer, "weights", weightsOf(name)))
  return { config, buffer }
}

/** Causal mask that also hides padded columns; `present` is [B, T]. */
export const maskOf = (present: ArrayLike<number>, batch: number, length: number) => {
  const mask = new Float32Array(batch * length * length).fill(masked)
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      for (let s = 0; s <= t; s++) {
        if (present[b * length + s] === 1 || s === t) mask[(b * length + t) * length + s] = 0
      }
    }
  }
  return hostFloat32(mask, batch, 1, length, length)
}

/** Positions 0 to T-1 of every row. */
export const positionsOf = (batch: number, length: number) =>
  hostInt32(Int32Array.from({ length: batch * length }, (_, i) => i % length), batch, length)

/** Specifications of the weights, tokens, positions and mask. */
export const inputsOf = (buffer: ParameterBuffer.ParameterBuffer) => ({
  ...Object.fromEntries(buffer.slots.map((slot) => [slot.name, float32(...slot.shape)])),
  tokens: int32("B", "T"),
  positions: int32("B", "T"),
  mask: float32("B", 1, "T", "T")
})

/** Tensors by name. */
export type Inputs = Readonly<Record<string, tf.Tensor>>

/** The forward pass over the inputs `tokens`, `positions` and `mask`. */
export const forward = (config: Transformer.DecoderConfig, weights: Inputs, x: Inputs) =>
  Transformer.forward(config, weights, { tokens: x["tokens"]!, positions: x["positions"]!, mask: x["mask"]! })
