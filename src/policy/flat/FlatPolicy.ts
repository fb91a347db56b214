/**
 * Flat family of policies: a decoder-only transformer with one position per code, over the compact vocabulary.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { Sids } from "../../sid/Sids.ts"
import * as Random from "../../statistics/Random.ts"
import * as Attention from "../../tensor/Attention.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as ItemPrompt from "../ItemPrompt.ts"
import * as Lora from "../lora/Lora.ts"
import { LoraConfig } from "../lora/LoraConfig.ts"
import { PolicyModel } from "../PolicyModel.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as CodeNetwork from "./CodeNetwork.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import * as FlatDecoder from "./FlatDecoder.ts"
import * as FlatLayout from "./FlatLayout.ts"
import * as FlatSession from "./FlatSession.ts"
import * as FlatSupervised from "./FlatSupervised.ts"
import * as FlatTrees from "./FlatTrees.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Largest number of weights of all blocks; with gradients and moments they need about 10 GB of memory. */
const mostWeights = 2 ** 29

/** Settings of the policy's shape and of its training batches. */
export class FlatPolicyConfig extends Schema.Class<FlatPolicyConfig>("sidereal/policy/FlatPolicyConfig")(
  Schema.Struct({
    /** Components D of a position's state, a multiple of 2 x `heads`. @default 128 */
    width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(128))),
    /** Transformer blocks. @default 4 */
    layers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4))),
    /** Query heads, each of width / heads components. @default 4 */
    heads: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4))),
    /** Key-value heads, a divisor of `heads`. @default 2 */
    keyValueHeads: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
    /** Components of the hidden layer of each feed-forward unit. @default 344 */
    feedForward: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(344))),
    /** Latest items of a history that are read, at most 10,000. @default 50 */
    historyItems: Count.check(Schema.isLessThanOrEqualTo(10_000)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(50))
    ),
    /** Positions (tokens) per training batch. @default 2048 */
    batchTokens: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2048))),
    /** Dropout rate in training, 0 to 0.9. @default 0.2 */
    dropout: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(0.2))
    ),
    /**
     * Label smoothing in supervised training, 0 to 0.9: share of the target distribution that is uniform over the children
     * of a node.
     * @default 0
     */
    labelSmoothing: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(0))
    ),
    /** Adapters, which are trained while all other weights are frozen. @default none: all weights are trained */
    lora: Schema.optionalKey(LoraConfig)
  }).check(Schema.makeFilter(({ feedForward, heads, keyValueHeads, layers, lora, width }) => [
    ...(layers * width * (4 * width + 3 * feedForward) <= mostWeights
      ? []
      : [{ path: ["width"], issue: `Expected at most ${mostWeights} weights in ${layers} layers` }]),
    ...(width % (2 * heads) === 0
      ? []
      : [{ path: ["width"], issue: `Expected a multiple of ${2 * heads}, an even width for each of ${heads} heads` }]),
    ...Transformer.groupIssues({ heads, keyValueHeads }),
    ...(lora?.layers?.some((layer) => layer >= layers) === true
      ? [{ path: ["lora", "layers"], issue: `Expected numbers from 0 to ${layers - 1}, of the ${layers} blocks` }]
      : []),
    // Its states have dropout of their own.
    ...((lora?.dropout ?? 0) > 0
      ? [{ path: ["lora", "dropout"], issue: "Expected 0 in a flat policy, whose states `dropout` drops" }]
      : [])
  ]))
) {}

/** Returns the configuration of the transformer for the SIDs of an index. */
export const decoderConfig = (config: FlatPolicyConfig, index: SidIndex): Transformer.DecoderConfig =>
  new Transformer.DecoderConfig({
    vocabulary: CompactVocabulary.make(index).size,
    width: config.width,
    layers: config.layers,
    heads: config.heads,
    keyValueHeads: config.keyValueHeads,
    headWidth: config.width / config.heads,
    feedForward: config.feedForward,
    maxPositions: Math.max(1024, 1 + (config.historyItems + 1) * index.levels),
    ropeTheta: 10_000,
    attentionBias: false,
    queryKeyNorm: false,
    tied: true,
    epsilon: 1e-6,
    ...(config.lora === undefined ? {} : { lora: config.lora })
  })

const make = (config: FlatPolicyConfig, seed: number, attention: number) =>
  Effect.gen(function*() {
    const { index } = yield* Sids
    const shape = decoderConfig(config, index)
    const specs = () => {
      const base = Transformer.parameters(shape, Random.normal(seed, 0x1417))
      return shape.lora === undefined ? base : Lora.parameters(shape.lora, base, Random.uniform(seed, 0x10a4))
    }
    const slots = Object.entries(specs()).map(([name, { shape, trainable = true }]) => ({ name, shape, trainable }))
    const vocabulary = CompactVocabulary.make(index)
    const most = 1 + config.historyItems * index.levels
    const decoder = yield* FlatDecoder.make({
      network: CodeNetwork.compact(FlatSupervised.family, shape, vocabulary, slots),
      prompt: (prompt) =>
        ItemPrompt.items(FlatSupervised.family, prompt).pipe(
          Effect.map((items) => FlatLayout.prompt(index, vocabulary, items, most))
        )
    })
    return PolicyModel.of({
      family: FlatSupervised.family,
      get parameters() {
        return specs()
      },
      positions: (prompt) => prompt._tag === "History" ? FlatLayout.promptLength(index, prompt.history.items, most) : 0,
      open: (prompts, options) => FlatSession.open(decoder, prompts, options),
      plan: (examples, seed, epoch) => FlatSupervised.plan(decoder, config, examples, seed, epoch),
      score: (groups, weights) => FlatTrees.score(decoder, attention, groups, weights),
      scoreItems: Option.none(),
      supervised: yield* FlatSupervised.gradients(decoder, config),
      groupGradient: (objective) => FlatTrees.groupGradient(decoder, attention, objective)
    })
  })

/**
 * Builds the flat policy for the catalogue of the context, its initial weights drawn from `seed`. Candidate trees are
 * computed in parts of at most `attention` cells (default 2^26, 256 MB of float32).
 */
export const layer = (
  config: FlatPolicyConfig,
  seed: number,
  attention: number = Attention.widest
): Layer.Layer<PolicyModel, never, TensorRuntime | Sids> => Layer.effect(PolicyModel, make(config, seed, attention))
