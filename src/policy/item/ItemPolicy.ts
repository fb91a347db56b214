/**
 * Item family of policies: one position per item, a depth head that writes the codes, and a head that scores items.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type ItemEmbeddings } from "../../embedding/ItemEmbeddings.ts"
import { type Sids } from "../../sid/Sids.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import { type PolicyError } from "../PolicyError.ts"
import { PolicyModel } from "../PolicyModel.ts"
import * as DepthHead from "./DepthHead.ts"
import * as ItemModel from "./ItemModel.ts"
import { type ItemPolicyConfig } from "./ItemPolicyConfig.ts"
import * as ItemScores from "./ItemScores.ts"
import * as ItemSession from "./ItemSession.ts"
import * as ItemSupervised from "./ItemSupervised.ts"
import * as ItemTrees from "./ItemTrees.ts"

/** Name of the family. */
export const family = "item"

const make = (config: ItemPolicyConfig, seed: number, firstTimes?: Float64Array) =>
  Effect.gen(function*() {
    const model = yield* ItemModel.make(family, config, DepthHead.generator, seed, false, firstTimes)
    return PolicyModel.of({
      family,
      get parameters() {
        return model.parameters
      },
      positions: (prompt) => ItemModel.positions(model, prompt),
      open: yield* ItemSession.make(model),
      plan: (examples, seed, epoch) => ItemSupervised.plan(model, examples, seed, epoch),
      score: yield* ItemTrees.score(model),
      scoreItems: Option.some(yield* ItemScores.make(model)),
      supervised: ItemSupervised.gradient(model),
      groupGradient: (objective) => ItemTrees.groupGradient(model, objective)
    })
  })

/**
 * Builds the item policy for the catalogue of the context, its initial weights drawn from `seed`. Ages count from
 * `firstTimes`, the times of the first training event of each item, [N]; without them none is known.
 */
export const layer = (
  config: ItemPolicyConfig,
  seed: number,
  firstTimes?: Float64Array
): Layer.Layer<PolicyModel, PolicyError, TensorRuntime | Sids | ItemEmbeddings> =>
  Layer.effect(PolicyModel, make(config, seed, firstTimes))
