/**
 * Tokenizers and collision policies by their names in the settings.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Import from "../src/catalog/Import.ts"
import { type Progress } from "../src/run/Progress.ts"
import * as NearestFreeLeaf from "../src/sid/collision/NearestFreeLeaf.ts"
import * as OptimalReassignment from "../src/sid/collision/OptimalReassignment.ts"
import * as SinkhornRepair from "../src/sid/collision/SinkhornRepair.ts"
import * as CollisionPolicy from "../src/sid/CollisionPolicy.ts"
import { type Quantizer, SidShape } from "../src/sid/Quantizer.ts"
import * as BalancedRqKMeans from "../src/sid/quantizer/BalancedRqKMeans.ts"
import * as ControlCodes from "../src/sid/quantizer/ControlCodes.ts"
import * as Fsq from "../src/sid/quantizer/Fsq.ts"
import * as GivenCodes from "../src/sid/quantizer/GivenCodes.ts"
import * as Opq from "../src/sid/quantizer/Opq.ts"
import * as RqKMeans from "../src/sid/quantizer/RqKMeans.ts"
import * as RqKMeansPlus from "../src/sid/quantizer/RqKMeansPlus.ts"
import * as RqVae from "../src/sid/quantizer/RqVae.ts"
import * as UniformRqKMeans from "../src/sid/quantizer/UniformRqKMeans.ts"
import * as RqVaeModel from "../src/sid/rqvae/RqVaeModel.ts"
import { BadIndex, BadSetting, SidError } from "../src/sid/SidError.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { type TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Family } from "./Families.ts"
import { type Name, names } from "./QuantizerNames.ts"

/** Parses names separated by commas; `all` means every tokenizer except `given` and `rq-vae-minionerec`. */
export const parseNames = (text: string): Effect.Effect<ReadonlyArray<Name>, SidError> =>
  Effect.forEach(
    text === "all"
      ? names.filter((name) => name !== "given" && name !== "rq-vae-minionerec")
      : [...new Set(text.split(",").map((part) => part.trim()))],
    (part) => {
      const found = names.find((name) => name === part)
      return found === undefined
        ? Effect.fail(
          new SidError({
            reason: new BadSetting({
              quantizer: "--compare",
              setting: "a name",
              value: JSON.stringify(part),
              expected: `one of ${names.join(", ")}, or all`
            })
          })
        )
        : Effect.succeed(found)
    }
  )

/** Collision policies by name. */
export const policies: Readonly<Record<(typeof policyNames)[number], CollisionPolicy.CollisionPolicy>> = {
  keep: CollisionPolicy.keep,
  "extra-token": CollisionPolicy.extraToken,
  "nearest-free-leaf": NearestFreeLeaf.policy,
  optimal: OptimalReassignment.policy,
  sinkhorn: SinkhornRepair.policy({ ...SinkhornRepair.defaults, remaining: "moved" })
}

/** Names of the collision policies. */
export const policyNames = ["keep", "extra-token", "nearest-free-leaf", "optimal", "sinkhorn"] as const

/** Settings of a file of SIDs. */
class GivenConfig extends Schema.Class<GivenConfig>("sidereal/programs/GivenConfig")({
  /** Path of an `index.json`, which maps item keys to tokens. */
  path: Schema.String,
  /** Offset from the file's item numbers to the items' keys. @default 0 */
  keyOffset: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
}) {}

/** Settings of the tokenizer and of the collision policy. */
export class TokenizerConfig extends Schema.Class<TokenizerConfig>("sidereal/programs/TokenizerConfig")({
  /** @default rq-kmeans, opq for the parallel family, `given` for data that have SIDs of their own (MiniOneRec's folders) */
  quantizer: Schema.optionalKey(Schema.Literals(names)),
  shape: SidShape.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** @default nearest-free-leaf; `keep` for given SIDs */
  collision: Schema.optionalKey(Schema.Literals(policyNames)),
  rqKMeans: RqKMeans.RqKMeansConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  rqVae: RqVaeModel.RqVaeConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed(RqVae.stabilized))),
  balanced: BalancedRqKMeans.BalancedRqKMeansConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  rqKMeansPlus: RqKMeansPlus.RqKMeansPlusConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  opq: Opq.OpqConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  fsq: Fsq.FsqConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  given: Schema.optionalKey(GivenConfig)
}) {}

/** Levels of a tokenizer for the parallel family: digits that are written at once. */
const digits = 16

/**
 * Returns the tokenizer's settings with its name and, if the data have one, the file of SIDs. For the parallel family a
 * tokenizer without a name is `opq` with 16 levels, unless the settings ask for other than the usual 3.
 */
export const chosen = Effect.fnUntraced(function*(
  { data, family, tokenizer }: {
    readonly data?: string | undefined
    readonly family: Family
    readonly tokenizer: TokenizerConfig
  }
) {
  const own = data === undefined ? undefined : yield* Import.ownIndex(data)
  if (own === undefined) {
    return tokenizer.quantizer === undefined && family === "parallel"
      ? new TokenizerConfig({
        ...tokenizer,
        quantizer: "opq",
        shape: tokenizer.shape.levels === 3 ? new SidShape({ ...tokenizer.shape, levels: digits }) : tokenizer.shape
      })
      : tokenizer
  }
  return new TokenizerConfig({
    ...tokenizer,
    quantizer: tokenizer.quantizer ?? "given",
    given: tokenizer.given ?? Schema.decodeSync(GivenConfig)({ path: own })
  })
})

/** Returns the collision policy of the settings. */
export const policyOf = ({ collision, quantizer }: TokenizerConfig): CollisionPolicy.CollisionPolicy =>
  policies[collision ?? (quantizer === "given" ? "keep" : "nearest-free-leaf")]

const given = (config: GivenConfig | undefined) =>
  Layer.unwrap(Effect.gen(function*() {
    if (config === undefined) {
      return yield* new SidError({
        reason: new BadSetting({
          quantizer: "given",
          setting: "tokenizer.given.path",
          value: "absent",
          expected: "the path of an index.json, item key to tokens"
        })
      })
    }
    const fs = yield* FileSystem.FileSystem
    const bad = (value: string) => new SidError({ reason: new BadIndex({ item: "(whole file)", value }) })
    const text = yield* fs.readFileString(config.path).pipe(Effect.mapError((error) => bad(error.message)))
    const json = yield* Effect.try({ try: () => JSON.parse(text) as unknown, catch: (cause) => bad(String(cause)) })
    return GivenCodes.layer({ source: config.path, sids: yield* SidIndex.parse(json), keyOffset: config.keyOffset })
  }))

/** Provides the configured tokenizer. */
export const layer = (
  config: TokenizerConfig,
  seed: number
): Layer.Layer<Quantizer, SidError, TensorRuntime | Progress | FileSystem.FileSystem> => {
  switch (config.quantizer) {
    case undefined:
    case "rq-kmeans":
      return RqKMeans.layer(config.rqKMeans, config.shape, seed)
    case "balanced":
      return BalancedRqKMeans.layer(config.balanced, config.shape, seed)
    case "faiss-uniform":
      return UniformRqKMeans.layer(config.rqKMeans, config.shape, seed)
    case "opq":
      return Opq.layer(config.opq, config.shape, seed)
    case "fsq":
      return Fsq.layer(config.fsq, config.shape)
    case "rq-kmeans-plus":
      return RqKMeansPlus.layer(config.rqKMeansPlus, config.shape, seed)
    case "rq-vae":
      return RqVae.layer(config.rqVae, config.shape, seed)
    case "rq-vae-minionerec":
      return RqVae.layer(
        Schema.decodeSync(RqVaeModel.RqVaeConfig)(RqVae.plain),
        config.shape,
        seed,
        "rq-vae-minionerec"
      )
    case "given":
      return given(config.given)
    default:
      return ControlCodes.layer(config.quantizer, config.shape, seed)
  }
}
