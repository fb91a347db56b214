/**
 * Settings of SASRec and of its training.
 *
 * The defaults were chosen by validation on Amazon Scientific. On Amazon Beauty (leave-one-out, all items ranked, seed
 * 1) they reach, on test users with the history kept, a recall@10 of .0765 and an NDCG@10 of .0454; with uncalibrated
 * repeats .0714 and .0407.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as AdamW from "../../../optimizer/AdamW.ts"
import * as LearningRate from "../../../optimizer/LearningRate.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Share = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThan(1))
const withDefault = <A>(value: A) => Effect.succeed(value)

/** Settings of SASRec. */
export class SasRecConfig extends Schema.Class<SasRecConfig>("sidereal/evaluation/SasRecConfig")(
  Schema.Struct({
    /**
     * Network: `decoder` is `DecoderNetwork`, `published` MiniOneRec's network of one block and one head.
     * @default decoder
     */
    network: Schema.Literals(["decoder", "published"]).pipe(
      Schema.withDecodingDefaultKey(withDefault("decoder" as const))
    ),
    /** Components of a state, D; for `decoder` a multiple of 2 x `heads`. @default 128 */
    width: Count.pipe(Schema.withDecodingDefaultKey(withDefault(128))),
    /** Transformer blocks; read by `decoder` alone. @default 2 */
    layers: Count.pipe(Schema.withDecodingDefaultKey(withDefault(2))),
    /** Attention heads; read by `decoder` alone. @default 2 */
    heads: Count.pipe(Schema.withDecodingDefaultKey(withDefault(2))),
    /** Components of the hidden layer of each feed-forward unit; read by `decoder` alone. @default 256 */
    feedForward: Count.pipe(Schema.withDecodingDefaultKey(withDefault(256))),
    /** Number of the most recent items of a history that are read. @default 50 */
    window: Count.pipe(Schema.withDecodingDefaultKey(withDefault(50))),
    /**
     * Loss: `full` is the softmax over all items, `binary` MiniOneRec's with one random negative per target.
     * @default full
     */
    loss: Schema.Literals(["full", "binary"]).pipe(Schema.withDecodingDefaultKey(withDefault("full" as const))),
    /**
     * Label smoothing: share of the target distribution that is uniform over all items; read by `full` alone.
     * @default 0
     */
    smoothing: Share.pipe(Schema.withDecodingDefaultKey(withDefault(0))),
    /** Dropout rate in training. @default 0.3 */
    dropout: Share.pipe(Schema.withDecodingDefaultKey(withDefault(0.3))),
    /**
     * Probability of the items of the history: `calibrated` makes its mean equal to the share of repeats in training,
     * `as-trained` keeps that of the network. @default calibrated
     */
    repeats: Schema.Literals(["calibrated", "as-trained"]).pipe(
      Schema.withDecodingDefaultKey(withDefault("calibrated" as const))
    ),
    /** Largest number of passes over the sequences. @default 10 */
    epochs: Count.pipe(Schema.withDecodingDefaultKey(withDefault(10))),
    /** Passes between validations. @default 1 */
    epochsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(withDefault(1))),
    /** Consecutive validations without a better NDCG@10 after which training stops. @default 3 */
    patience: Count.pipe(Schema.withDecodingDefaultKey(withDefault(3))),
    /** Number of users drawn for validation, the same at every validation. @default 5000 */
    validationUsers: Count.pipe(Schema.withDecodingDefaultKey(withDefault(5000))),
    /** Approximate number of positions with a target per optimizer step. @default 512 */
    batchPositions: Count.pipe(Schema.withDecodingDefaultKey(withDefault(512))),
    /** Learning rate. @default peak 3e-3, warm-up 100 steps */
    learningRate: LearningRate.LearningRateConfig.pipe(
      Schema.withDecodingDefaultKey(withDefault({ peak: 3e-3, warmupSteps: 100 }))
    ),
    /** Settings of AdamW. @default averaging 0.98 */
    optimizer: AdamW.AdamWConfig.pipe(Schema.withDecodingDefaultKey(withDefault({ averaging: 0.98 })))
  }).check(Schema.makeFilter(({ heads, network, width }) =>
    network === "published" || width % (2 * heads) === 0
      ? []
      : [{ path: ["heads"], issue: `Expected heads of an even number of components, that divide width, ${width}` }]
  ))
) {}
