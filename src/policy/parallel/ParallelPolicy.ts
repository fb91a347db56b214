/**
 * Parallel family of policies: one position per item, and all digits of the next item written at once.
 *
 * The digits are the codes of the SIDs, best 16 to 32 of product quantisation. The exact probability of every item
 * follows from them, and that of every node of a trie is the sum over the items below it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type ItemEmbeddings } from "../../embedding/ItemEmbeddings.ts"
import { type Sids } from "../../sid/Sids.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as ItemModel from "../item/ItemModel.ts"
import { type ItemPolicyConfig } from "../item/ItemPolicyConfig.ts"
import * as ItemScores from "../item/ItemScores.ts"
import * as ItemSupervised from "../item/ItemSupervised.ts"
import { type PolicyError } from "../PolicyError.ts"
import { PolicyModel } from "../PolicyModel.ts"
import * as DigitHead from "./DigitHead.ts"
import * as DigitScores from "./DigitScores.ts"
import * as MassSession from "./MassSession.ts"
import * as MassTrees from "./MassTrees.ts"

/** Name of the family. */
export const family = "parallel"

const make = (config: ItemPolicyConfig, seed: number, firstTimes?: Float64Array) =>
  Effect.gen(function*() {
    const model = yield* ItemModel.make(
      family,
      config,
      DigitHead.generator(config, config.dropout.digits),
      seed,
      true,
      firstTimes
    )
    const scoreAll = yield* DigitScores.make(model, config)
    return PolicyModel.of({
      family,
      get parameters() {
        return model.parameters
      },
      positions: (prompt) => ItemModel.positions(model, prompt),
      open: MassSession.make(scoreAll),
      plan: (examples, seed, epoch) => ItemSupervised.plan(model, examples, seed, epoch),
      score: MassTrees.score(model, scoreAll),
      scoreItems: Option.some(yield* ItemScores.make(model)),
      supervised: ItemSupervised.gradient(model),
      groupGradient: (objective) => MassTrees.groupGradient(model, config, scoreAll, objective)
    })
  })

/**
 * Builds the parallel policy for the catalogue of the context, its initial weights drawn from `seed`. Ages count from
 * `firstTimes`, the times of the first training event of each item, [N]; without them none is known.
 */
export const layer = (
  config: ItemPolicyConfig,
  seed: number,
  firstTimes?: Float64Array
): Layer.Layer<PolicyModel, PolicyError, TensorRuntime | Sids | ItemEmbeddings> =>
  Layer.effect(PolicyModel, make(config, seed, firstTimes))
