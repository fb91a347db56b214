import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import { golden, json, list } from "../Golden.ts"

const models = join(golden, "lm", "models")

/** Settings as the models on the hub have them, with shapes of a toy. */
const qwen2 = {
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  hidden_act: "silu",
  hidden_size: 32,
  intermediate_size: 48,
  max_position_embeddings: 32_768,
  max_window_layers: 21,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000.0,
  sliding_window: 32_768,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  use_cache: true,
  use_sliding_window: false,
  vocab_size: 160
}

const { max_window_layers: _, tie_word_embeddings: __, use_sliding_window: ___, ...shape } = qwen2

const llama = {
  ...shape,
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  mlp_bias: false
}

const mistral = { ...shape, model_type: "mistral", architectures: ["MistralForCausalLM"], sliding_window: 4096 }

const qwen3 = {
  ...qwen2,
  model_type: "qwen3",
  architectures: ["Qwen3ForCausalLM"],
  head_dim: 16,
  attention_bias: false
}

const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }

describe("CheckpointConfig", () => {
  it.effect("reads every family with its defaults", () =>
    Effect.gen(function*() {
      const two = (yield* CheckpointConfig.decode(qwen2)).decoder
      assert.deepInclude({ ...two }, {
        vocabulary: 160,
        width: 32,
        layers: 2,
        heads: 4,
        keyValueHeads: 2,
        headWidth: 8,
        feedForward: 48,
        maxPositions: 4096,
        ropeTheta: 1_000_000,
        attentionBias: true,
        queryKeyNorm: false,
        tied: true,
        epsilon: 1e-6
      })
      assert.isUndefined(two.slidingWindow)
      const three = (yield* CheckpointConfig.decode(qwen3, { positions: 100 })).decoder
      assert.deepInclude({ ...three }, { headWidth: 16, attentionBias: false, queryKeyNorm: true, maxPositions: 100 })
      const { head_dim: _, ...without } = qwen3
      assert.strictEqual((yield* CheckpointConfig.decode(without)).decoder.headWidth, 128)
      const { num_key_value_heads: __, torch_dtype: ___, ...old } = llama
      const first = yield* CheckpointConfig.decode({ ...old, max_position_embeddings: 2048 })
      assert.deepInclude({ ...first.decoder }, {
        keyValueHeads: 4,
        maxPositions: 2048,
        tied: false,
        attentionBias: false
      })
      assert.strictEqual(first.dtype, "F32")
      assert.strictEqual((yield* CheckpointConfig.decode(mistral)).decoder.slidingWindow, 4096)
      assert.isUndefined((yield* CheckpointConfig.decode({ ...mistral, sliding_window: null })).decoder.slidingWindow)
    }))

  it.effect("reads both forms of the rotary settings", () =>
    Effect.gen(function*() {
      const scaled = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 8192 }
      for (
        const settings of [
          { rope_theta: 500_000, rope_scaling: { ...llama3, rope_type: "llama3" } },
          { rope_theta: 500_000, rope_scaling: { ...llama3, type: "llama3" } },
          { rope_theta: 7, rope_parameters: { ...llama3, rope_type: "llama3", rope_theta: 500_000 } }
        ]
      ) {
        const { decoder } = yield* CheckpointConfig.decode({ ...llama, ...settings })
        assert.strictEqual(decoder.ropeTheta, 500_000)
        assert.deepEqual({ ...decoder.ropeScaling }, scaled)
      }
      const { rope_theta: _, ...without } = llama
      assert.strictEqual((yield* CheckpointConfig.decode(without)).decoder.ropeTheta, 10_000)
    }))

  it.effect("a window of Qwen is used only where it is switched on, for all layers", () =>
    Effect.gen(function*() {
      const on = { ...qwen2, use_sliding_window: true, sliding_window: 7 }
      const window = (settings: object) => Effect.map(CheckpointConfig.decode(settings), (c) => c.decoder.slidingWindow)
      assert.isUndefined(yield* window(on))
      assert.strictEqual(yield* window({ ...on, max_window_layers: 0 }), 7)
      assert.strictEqual(yield* window({ ...on, layer_types: ["sliding_attention", "sliding_attention"] }), 7)
      assert.isUndefined(yield* window({ ...on, layer_types: ["full_attention", "full_attention"] }))
      const mixed = yield* Effect.flip(window({ ...on, max_window_layers: 1 }))
      assert.include(mixed.message, "max_window_layers 1 is not supported")
    }))

  const refused: ReadonlyArray<readonly [string, object, string, string]> = [
    ["another family", { ...llama, model_type: "gpt2" }, "model_type \"gpt2\"", "use a checkpoint of llama, mistral"],
    ["no family", { ...llama, model_type: null }, "model_type null", "use a checkpoint of"],
    [
      "a classifier",
      { ...llama, architectures: ["LlamaForSequenceClassification"] },
      "architectures",
      "LlamaForCausalLM"
    ],
    ["a quantized model", { ...qwen2, quantization_config: { bits: 4 } }, "quantization_config {\"bits\":4}", "before"],
    ["another activation", { ...qwen2, hidden_act: "gelu" }, "hidden_act \"gelu\"", "silu"],
    ["biases of Llama", { ...llama, attention_bias: true }, "attention_bias true", "without"],
    ["biases of the feed-forward unit", { ...llama, mlp_bias: true }, "mlp_bias true", "without"],
    ["yarn", { ...qwen2, rope_scaling: { type: "yarn", factor: 4 } }, "rope_scaling.rope_type \"yarn\"", "llama3"],
    [
      "half-rotated heads",
      { ...llama, rope_parameters: { partial_rotary_factor: 0.5 } },
      "partial_rotary_factor 0.5",
      "whole"
    ],
    ["8-bit floats", { ...llama, torch_dtype: "float8_e4m3fn" }, "torch_dtype \"float8_e4m3fn\"", "bfloat16"],
    [
      "other layers",
      { ...qwen2, layer_types: ["full_attention", "linear_attention"] },
      "layer_types",
      "full_attention"
    ],
    ["no width", { ...qwen2, hidden_size: undefined }, "hidden_size is nothing", "whole number"],
    ["a text as width", { ...qwen2, hidden_size: "32" }, "hidden_size is \"32\"", "whole number"],
    ["no layers", { ...qwen2, num_hidden_layers: 0 }, "num_hidden_layers is 0", "above 0"],
    ["a billion layers", { ...qwen2, num_hidden_layers: 1e9 }, "num_hidden_layers is 1000000000", "at most 1000"],
    ["unequal groups", { ...qwen2, num_key_value_heads: 3 }, "num_key_value_heads is 3", "divisor of 4"],
    ["odd heads", { ...qwen2, head_dim: 7 }, "head_dim is 7", "even"],
    ["a negative epsilon", { ...qwen2, rms_norm_eps: -1 }, "rms_norm_eps is -1", "above 0"],
    ["an incomplete scaling", { ...llama, rope_scaling: { rope_type: "llama3" } }, "rope_scaling.factor", "above 0"],
    ["a scaling that is no object", { ...llama, rope_scaling: 3 }, "rope_scaling is 3", "object"],
    ["too few layer types", { ...qwen2, layer_types: ["full_attention"] }, "layer_types", "list of 2"],
    ["no object", [], "the content is []", "JSON object"]
  ]
  for (const [name, settings, found, remedy] of refused) {
    it.effect(`refuses ${name}, naming the setting, its value and the remedy`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(CheckpointConfig.decode(settings, { file: "x/config.json" }))
        assert.strictEqual(error._tag, "CheckpointError")
        assert.include(error.message, "x/config.json: ")
        assert.include(error.message, found)
        assert.include(error.message, remedy)
      }))
  }

  it.effect("what is written is read again as the same decoder, and settings of others are kept", () =>
    Effect.gen(function*() {
      const stored = list(models).map((name) => json(models, name, "hf", "config.json"))
      for (
        const given of [
          qwen2,
          qwen3,
          llama,
          mistral,
          { ...llama, rope_scaling: { ...llama3, type: "llama3" } },
          ...stored
        ]
      ) {
        const config = yield* CheckpointConfig.decode({ ...given, my_note: [1] })
        const written = yield* CheckpointConfig.encode(config, "F16")
        const again = yield* CheckpointConfig.decode(written)
        assert.deepStrictEqual(again.decoder, config.decoder)
        assert.strictEqual(again.dtype, "F16")
        assert.deepStrictEqual(written["my_note"], [1])
        for (const [name, value] of Object.entries(given)) {
          if (name === "torch_dtype" || name === "dtype" || value === null) continue
          assert.deepStrictEqual(written[name], value, name)
        }
        // Versions of transformers before 5 read this form only.
        assert.strictEqual(written["rope_theta"], config.decoder.ropeTheta)
        const grown = new Transformer.DecoderConfig({ ...config.decoder, vocabulary: 999 })
        assert.strictEqual((yield* CheckpointConfig.encode({ ...config, decoder: grown }))["vocab_size"], 999)
        const other = new Transformer.DecoderConfig({ ...config.decoder, attentionBias: !config.decoder.attentionBias })
        const error = yield* Effect.flip(CheckpointConfig.encode({ ...config, decoder: other }))
        assert.include(error.message, "attentionBias")
      }
    }))

  it.effect("a decoder of ours gets the family with its parts", () =>
    Effect.gen(function*() {
      const of = (settings: object) =>
        Schema.decodeUnknownSync(Transformer.DecoderConfig)({
          vocabulary: 50,
          tied: false,
          maxPositions: 64,
          ...settings
        })
      const scaling = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 32 }
      for (
        const [family, settings] of [
          ["llama", {}],
          ["llama", { ropeScaling: scaling, tied: true }],
          ["mistral", { slidingWindow: 5 }],
          ["qwen2", { attentionBias: true, slidingWindow: 5 }],
          ["qwen3", { queryKeyNorm: true }]
        ] as const
      ) {
        const decoder = of(settings)
        const config = yield* CheckpointConfig.ofDecoder(decoder, "BF16")
        assert.strictEqual(config.family, family)
        const again = yield* CheckpointConfig.decode(yield* CheckpointConfig.encode(config))
        assert.deepStrictEqual(again.decoder, decoder)
        assert.strictEqual(again.dtype, "BF16")
      }
      const error = yield* Effect.flip(CheckpointConfig.ofDecoder(of({ attentionBias: true, queryKeyNorm: true })))
      assert.include(error.message, "no family has both")
    }))
})
