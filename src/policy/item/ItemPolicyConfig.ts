/**
 * Settings of policies with one position per item.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Transformer from "../transformer/Transformer.ts"
import * as EventTimes from "./EventTimes.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Share = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9))
const Weight = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Dropout rates by site, each 0 to 0.9. */
export class ItemDropout extends Schema.Class<ItemDropout>("sidereal/policy/ItemDropout")({
  /** Rate on the states of items, the input of the first block. @default 0.3 */
  input: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.3))),
  /** Rate on the weights of attention. @default 0 */
  attention: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** Rate on what every block adds to the residual stream. @default 0.4 */
  residual: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.4))),
  /** Rate on the states that the item head and the depth head read. @default 0.4 */
  head: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.4))),
  /** Rate on the states from which the parallel family writes digits. @default that of `head` */
  digits: Schema.optionalKey(Share)
}) {}

/** Settings of the policy's shape and of its training batches. */
export class ItemPolicyConfig extends Schema.Class<ItemPolicyConfig>("sidereal/policy/ItemPolicyConfig")(
  Schema.Struct({
    /** Components D of a position's state, a multiple of 2 x `heads`. @default 128 */
    width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(128))),
    /** Transformer blocks. @default 2 */
    layers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
    /** Query and key-value heads, each of width / heads components. @default 4 */
    heads: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4))),
    /** Components of the hidden layer of each feed-forward unit. @default 256 */
    feedForward: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(256))),
    /** Latest items of a history that are read, at most 10,000. @default 50 */
    historyItems: Count.check(Schema.isLessThanOrEqualTo(10_000)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(50))
    ),
    /** Positions (items) per training batch. @default 1024 */
    batchItems: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1024))),
    dropout: ItemDropout.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /**
     * Label smoothing in supervised training, 0 to 0.9: share of the target distribution that is uniform over the classes
     * of each softmax, which are the children of a node, or items.
     * @default 0
     */
    labelSmoothing: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
    /**
     * Content of an item beside its id and codes: the embedding from which its SID was made, or that of its text alone.
     * @default fused
     */
    content: Schema.Literals(["fused", "text"]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("fused" as const))
    ),
    /**
     * Times of the events that are read: none, the gap of each event to the one before it, or that and the time since the
     * first training event of its item; both in buckets that double.
     * @default none
     */
    time: EventTimes.TimeInputs,
    /**
     * Whether the items of the history get a learned addition to their scores by the item head and, in the parallel
     * family, by the digits.
     * @default false
     */
    repeats: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
    /** Weight of the item head's loss beside that of the SIDs. @default 1 */
    itemWeight: Weight.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
    /** Uniform negatives of a softmax over items; a catalogue with fewer items is not sampled. @default 2048 */
    negatives: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2048))),
    /**
     * Components of the direction of a digit, for the parallel family; "tied" takes those of the codes' embedding in the
     * input, of `width` components, as the directions of the codes.
     * @default 64
     */
    digitWidth: Schema.Union([Count, Schema.Literal("tied")]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(64 as const))
    ),
    /** Temperature of the cosines of digits, for the parallel family. @default 0.05 */
    temperature: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(0.05))
    ),
    /** Base of the rotary frequencies. @default 1000 */
    ropeTheta: Schema.Finite.check(Schema.isGreaterThan(1)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000)))
  }).check(Schema.makeFilter(({ heads, width }) =>
    width % (2 * heads) === 0
      ? []
      : [{ path: ["width"], issue: `Expected a multiple of ${2 * heads}, an even width for each of ${heads} heads` }]
  ))
) {}

/** Returns the configuration of the transformer over item states, for a vocabulary of `tokens` rows. */
export const decoderConfig = (config: ItemPolicyConfig, tokens: number, tied: boolean): Transformer.DecoderConfig =>
  new Transformer.DecoderConfig({
    vocabulary: tokens,
    width: config.width,
    layers: config.layers,
    heads: config.heads,
    keyValueHeads: config.heads,
    headWidth: config.width / config.heads,
    feedForward: config.feedForward,
    maxPositions: config.historyItems + 2,
    ropeTheta: config.ropeTheta,
    attentionBias: false,
    queryKeyNorm: false,
    tied,
    epsilon: 1e-6
  })
