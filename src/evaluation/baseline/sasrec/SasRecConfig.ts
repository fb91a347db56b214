/**
 * Settings of SASRec and of its training.
 *
 * The defaults were chosen by validation on Amazon Scientific. On Amazon Beauty (leave-one-out, all items ranked, seed 1)
 * they reach, on test with the history kept, a recall@10 of .0765 and an NDCG@10 of .0454; with repeats as trained .0714
 * and .0407.
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
    /** `decoder`, or `published`: one block and one head with MiniOneRec's names and quirks. @default decoder */
    network: Schema.Literals(["decoder", "published"]).pipe(
      Schema.withDecodingDefaultKey(withDefault("decoder" as const))
    ),
    /** Components of a state. @default 128 */
    width: Count.pipe(Schema.withDecodingDefaultKey(withDefault(128))),
    /** Blocks of the decoder. @default 2 */
    layers: Count.pipe(Schema.withDecodingDefaultKey(withDefault(2))),
    /** Heads of the decoder. @default 2 */
    heads: Count.pipe(Schema.withDecodingDefaultKey(withDefault(2))),
    /** Components of the decoder's gated unit. @default 256 */
    feedForward: Count.pipe(Schema.withDecodingDefaultKey(withDefault(256))),
    /** Most items of a history: the newest. @default 50 */
    window: Count.pipe(Schema.withDecodingDefaultKey(withDefault(50))),
    /** `full`: softmax over all items; `binary`: MiniOneRec's, one random negative for each target. @default full */
    loss: Schema.Literals(["full", "binary"]).pipe(Schema.withDecodingDefaultKey(withDefault("full" as const))),
    /** Share of a target's probability that all items have in equal parts; only of the full loss. @default 0 */
    smoothing: Share.pipe(Schema.withDecodingDefaultKey(withDefault(0))),
    /** Share of components that dropout removes. @default 0.3 */
    dropout: Share.pipe(Schema.withDecodingDefaultKey(withDefault(0.3))),
    /**
     * `calibrated`: the mass on items of the history is the share of repeats in training; `as-trained`: what the network
     * gives. @default calibrated
     */
    repeats: Schema.Literals(["calibrated", "as-trained"]).pipe(
      Schema.withDecodingDefaultKey(withDefault("calibrated" as const))
    ),
    /** Most passes over the sequences. @default 10 */
    epochs: Count.pipe(Schema.withDecodingDefaultKey(withDefault(10))),
    /** Passes between validations. @default 1 */
    epochsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(withDefault(1))),
    /** Validations without a better NDCG@10 before training stops. @default 3 */
    patience: Count.pipe(Schema.withDecodingDefaultKey(withDefault(3))),
    /** Users drawn for validation, the same ones every time. @default 5000 */
    validationUsers: Count.pipe(Schema.withDecodingDefaultKey(withDefault(5000))),
    /** Positions with a target in a step, about. @default 512 */
    batchPositions: Count.pipe(Schema.withDecodingDefaultKey(withDefault(512))),
    /** By default to 3e-3 in 100 steps. */
    learningRate: LearningRate.LearningRateConfig.pipe(
      Schema.withDecodingDefaultKey(withDefault({ peak: 3e-3, warmupSteps: 100 }))
    ),
    /** By default with an average of 0.98. */
    optimizer: AdamW.AdamWConfig.pipe(Schema.withDecodingDefaultKey(withDefault({ averaging: 0.98 })))
  }).check(Schema.makeFilter(({ heads, network, width }) =>
    network === "published" || width % (2 * heads) === 0
      ? []
      : [{ path: ["heads"], issue: `Expected heads of an even number of components, that divide width, ${width}` }]
  ))
) {}
