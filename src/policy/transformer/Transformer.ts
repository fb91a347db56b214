/**
 * The decoder of Llama, Mistral, Qwen2 and Qwen3: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
 *
 * One pure function over tensors serves training, prefill and decoding: the mask determines what each position attends
 * to, the cache holds earlier keys and values. Parameters have the names and the [out, in] layout of Hugging Face.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Attention from "../../tensor/Attention.ts"
import { type ParameterSpec, type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as RmsNorm from "../../tensor/RmsNorm.ts"
import * as Rotary from "../../tensor/Rotary.ts"
import * as SwiGlu from "../../tensor/SwiGlu.ts"
import { LoraConfig } from "../lora/LoraConfig.ts"
import * as LoraLayer from "../lora/LoraLayer.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const withDefault = <A>(value: A) => Effect.succeed(value)

/** Returns an issue unless each key-value head serves the same number of query heads. */
export const groupIssues = (
  { heads, keyValueHeads }: { readonly heads: number; readonly keyValueHeads: number }
): ReadonlyArray<Schema.FilterIssue> =>
  heads % keyValueHeads === 0 ? [] : [{ path: ["keyValueHeads"], issue: `Expected a divisor of heads, ${heads}` }]

/** Shape of a decoder. */
export class DecoderConfig extends Schema.Class<DecoderConfig>("sidereal/policy/DecoderConfig")(
  Schema.Struct({
    /** Rows of the embedding, V. */
    vocabulary: Count,
    /** Components of a position's state, D. @default 128 */
    width: Count.pipe(Schema.withDecodingDefaultKey(withDefault(128))),
    /** Transformer blocks. @default 4 */
    layers: Count.pipe(Schema.withDecodingDefaultKey(withDefault(4))),
    /** Query heads. @default 4 */
    heads: Count.pipe(Schema.withDecodingDefaultKey(withDefault(4))),
    /** Key-value heads, a divisor of `heads`. @default 2 */
    keyValueHeads: Count.pipe(Schema.withDecodingDefaultKey(withDefault(2))),
    /** Components of a head, an even number. @default 32 */
    headWidth: Count.pipe(Schema.withDecodingDefaultKey(withDefault(32))),
    /** Components of the hidden layer of each feed-forward unit (SwiGLU). @default 344 */
    feedForward: Count.pipe(Schema.withDecodingDefaultKey(withDefault(344))),
    /** Positions of the table of rotary angles; larger positions are not supported. @default 1024 */
    maxPositions: Count.pipe(Schema.withDecodingDefaultKey(withDefault(1024))),
    /** Base of the rotary frequencies. @default 10000 */
    ropeTheta: Schema.Finite.pipe(Schema.withDecodingDefaultKey(withDefault(10_000))),
    /** Frequency scaling of Llama 3. @default none */
    ropeScaling: Schema.optionalKey(Schema.Struct({
      factor: Schema.Finite,
      lowFrequencyFactor: Schema.Finite,
      highFrequencyFactor: Schema.Finite,
      originalPositions: Schema.Finite
    })),
    /**
     * Positions that a position attends to, itself and the ones before it, of Mistral; masks must hide the others.
     * @default all
     */
    slidingWindow: Schema.optionalKey(Count),
    /** Biases on queries, keys and values (Qwen2). @default false */
    attentionBias: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(withDefault(false))),
    /** RMSNorm on the queries and keys of each head (Qwen3). @default false */
    queryKeyNorm: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(withDefault(false))),
    /** Whether embedding and output share one matrix. @default true */
    tied: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(withDefault(true))),
    /** Added to the mean square in RMSNorm before the square root. @default 1e-6 */
    epsilon: Schema.Finite.pipe(Schema.withDecodingDefaultKey(withDefault(1e-6))),
    /** Adapters, whose specifications `Lora.parameters` returns. @default none */
    lora: Schema.optionalKey(LoraConfig)
  }).check(Schema.makeFilter((config) => [
    ...(config.headWidth % 2 === 0
      ? []
      : [{ path: ["headWidth"], issue: "Expected an even value, for rotary positions" }]),
    ...groupIssues(config)
  ]))
) {}

/** Weights by name, as tensors of a program. */
export type Weights = Readonly<Record<string, tf.Tensor>>

/** Returns the name of a weight of block `layer`. */
const block = (layer: number, part: string) => `model.layers.${layer}.${part}.weight`
const bias = (layer: number, part: string) => `model.layers.${layer}.${part}.bias`

/** Name of the embedding. */
export const embeddingName = "model.embed_tokens.weight"

/** Returns the name of the output matrix: that of the embedding when tied. */
export const headName = (config: DecoderConfig): string => config.tied ? embeddingName : "lm_head.weight"

/**
 * Returns the names, shapes and initial values of the parameters: normal with standard deviation 0.02 (embedding
 * 0.05), outputs into the residual stream divided by `sqrt(2 layers)` as in GPT-2, gains 1, biases 0. `normal` returns
 * standard normal draws.
 */
export const parameters = (config: DecoderConfig, normal: () => number): ParameterSpecs => {
  const specs: Record<string, ParameterSpec> = {}
  const matrix = (name: string, rows: number, columns: number, deviation = 0.02) => {
    specs[name] = {
      shape: [rows, columns],
      initialize: (values) => {
        for (let i = 0; i < values.length; i++) values[i] = normal() * deviation
      }
    }
  }
  const gain = (name: string, width: number) => {
    specs[name] = { shape: [width], initialize: (values) => values.fill(1) }
  }
  const zeros = (name: string, width: number) => {
    specs[name] = { shape: [width], initialize: () => {} }
  }
  const { feedForward, headWidth, heads, keyValueHeads, layers, vocabulary, width } = config
  const residual = 0.02 / Math.sqrt(2 * layers)
  matrix(embeddingName, vocabulary, width, 0.05)
  for (let l = 0; l < layers; l++) {
    gain(block(l, "input_layernorm"), width)
    matrix(block(l, "self_attn.q_proj"), heads * headWidth, width)
    matrix(block(l, "self_attn.k_proj"), keyValueHeads * headWidth, width)
    matrix(block(l, "self_attn.v_proj"), keyValueHeads * headWidth, width)
    if (config.attentionBias) {
      zeros(bias(l, "self_attn.q_proj"), heads * headWidth)
      zeros(bias(l, "self_attn.k_proj"), keyValueHeads * headWidth)
      zeros(bias(l, "self_attn.v_proj"), keyValueHeads * headWidth)
    }
    if (config.queryKeyNorm) {
      gain(block(l, "self_attn.q_norm"), headWidth)
      gain(block(l, "self_attn.k_norm"), headWidth)
    }
    matrix(block(l, "self_attn.o_proj"), width, heads * headWidth, residual)
    gain(block(l, "post_attention_layernorm"), width)
    matrix(block(l, "mlp.gate_proj"), feedForward, width)
    matrix(block(l, "mlp.up_proj"), feedForward, width)
    matrix(block(l, "mlp.down_proj"), width, feedForward, residual)
  }
  gain("model.norm.weight", width)
  if (!config.tied) matrix("lm_head.weight", vocabulary, width)
  return specs
}

/** Input of a forward pass: B rows of T positions. */
export interface DecoderInput {
  /** Token ids, [B, T], or states of the positions, [B, T, D], in place of rows of the embedding. */
  readonly tokens: tf.Tensor
  /** Rotary positions [B, T]. */
  readonly positions: tf.Tensor
  /** Additive attention mask [B or 1, 1, T, S]; the columns S are those of the cache, then the T new positions. */
  readonly mask: tf.Tensor
  /** Earlier keys and values per layer, in the order of the mask's columns, each [B, keyValueHeads, S_i, headWidth]. */
  readonly cache?: ReadonlyArray<ReadonlyArray<{ readonly key: tf.Tensor; readonly value: tf.Tensor }>> | undefined
  /** Number of blocks of rows in which causal attention is computed, a divisor of T. @default 1 */
  readonly causalBlocks?: number | undefined
  /** Dropout masks, each [B, T, D]: one after the embedding, two per block. @default no dropout */
  readonly dropout?: ReadonlyArray<tf.Tensor> | undefined
  /** Dropout masks of the attention weights of each block, [B, heads, T, S]. @default no dropout */
  readonly attentionDropout?: ReadonlyArray<tf.Tensor> | undefined
  /** Dropout masks of the inputs of adapters, each [B, T, in], by the name of the base weight. @default no dropout */
  readonly adapterDropout?: Readonly<Record<string, tf.Tensor>> | undefined
}

/** Output of a forward pass. */
export interface DecoderOutput {
  /** Final states after the last norm, [B x T, D]. */
  readonly hidden: tf.Tensor
  /** States after the embedding and after each block, before the last norm, [B x T, D]. */
  readonly states: ReadonlyArray<tf.Tensor>
  /** New keys and values per layer, [B, keyValueHeads, T, headWidth]. */
  readonly cache: ReadonlyArray<{ readonly key: tf.Tensor; readonly value: tf.Tensor }>
}

/** Returns the number of blocks of 64 rows for causal attention over `length` positions, or 1 unless 64 divides it. */
export const causalBlocks = (length: number): number => length >= 128 && length % 64 === 0 ? length / 64 : 1

/** Returns the number of dropout masks of a decoder. */
export const dropoutSites = (config: DecoderConfig): number => 1 + 2 * config.layers

/** Computes the final states, the states of all blocks and the new keys and values. */
export const forward = (config: DecoderConfig, weights: Weights, input: DecoderInput): DecoderOutput => {
  const { epsilon, headWidth, heads, keyValueHeads, layers, maxPositions, ropeTheta, width } = config
  const [batch, length] = input.tokens.shape as [number, number]
  const rows = batch * length
  const angles = Rotary.tensors(Rotary.table(maxPositions, headWidth, ropeTheta, config.ropeScaling))
  const weight = (name: string) => {
    const found = weights[name]
    if (found === undefined) throw new RangeError(`the weight "${name}" is missing`)
    return found
  }
  let site = 0
  const drop = (x: tf.Tensor) => {
    const mask = input.dropout?.[site++]
    return mask === undefined ? x : x.mul(mask.reshape([rows, width]))
  }
  const linear = (x: tf.Tensor, name: string) => {
    const y = tf.matMul(x as tf.Tensor2D, weight(name) as tf.Tensor2D, false, true)
    return LoraLayer.add(config.lora, weights, { name, x, y, mask: input.adapterDropout?.[name] })
  }

  let x: tf.Tensor = drop(
    input.tokens.rank === 3
      ? input.tokens.reshape([rows, width])
      : tf.gather(weight(embeddingName), input.tokens.reshape([rows]))
  )
  const states: Array<tf.Tensor> = [x]
  const cache: Array<{ key: tf.Tensor; value: tf.Tensor }> = []
  for (let l = 0; l < layers; l++) {
    const h = RmsNorm.apply(x, weight(block(l, "input_layernorm")), epsilon)
    const project = (part: "q" | "k" | "v", count: number) => {
      const name = `self_attn.${part}_proj`
      let y: tf.Tensor = linear(h, block(l, name))
      if (config.attentionBias) y = y.add(weight(bias(l, name)))
      if (config.queryKeyNorm && part !== "v") {
        y = RmsNorm.apply(y.reshape([rows * count, headWidth]), weight(block(l, `self_attn.${part}_norm`)), epsilon)
      }
      const split = y.reshape([batch, length, count * headWidth])
      return part === "v" ? split : Rotary.apply(split, input.positions, angles, count)
    }
    const q = project("q", heads)
    const key = Attention.splitHeads(project("k", keyValueHeads), keyValueHeads)
    const value = Attention.splitHeads(project("v", keyValueHeads), keyValueHeads)
    cache.push({ key, value })
    const earlier = input.cache?.[l] ?? []
    const all = (part: "key" | "value", own: tf.Tensor) =>
      earlier.length === 0 ? own : tf.concat([...earlier.map((entry) => entry[part]), own], 2)
    const [keys, values] = [all("key", key), all("value", value)]
    const attended = Attention.causal(
      q,
      keys,
      values,
      input.mask,
      heads,
      input.causalBlocks ?? 1,
      input.attentionDropout?.[l]
    )
    x = x.add(drop(linear(attended.reshape([rows, heads * headWidth]), block(l, "self_attn.o_proj"))))
    const h2 = RmsNorm.apply(x, weight(block(l, "post_attention_layernorm")), epsilon)
    const gated = SwiGlu.apply(linear(h2, block(l, "mlp.gate_proj")), linear(h2, block(l, "mlp.up_proj")))
    x = x.add(drop(linear(gated, block(l, "mlp.down_proj"))))
    states.push(x)
  }
  return { hidden: RmsNorm.apply(x, weight("model.norm.weight"), epsilon), states, cache }
}
