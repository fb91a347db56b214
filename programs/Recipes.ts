/**
 * Recipes of the policy families: the settings with which a new run begins, beneath those that are given.
 *
 * A run records its recipe in its manifest, so that later versions with other recipes continue it unchanged.
 */
import * as Families from "./Families.ts"
import type * as Settings from "./Settings.ts"

/** Family of new runs. */
export const defaultFamily: Families.Family = "flat"

/** Settings of new runs by family. */
export const recipes: Readonly<Record<Families.Family, Settings.PartialSettings>> = {
  flat: { family: "flat" },
  item: { family: "item", sft: { epochs: 18 } },
  parallel: {
    family: "parallel",
    tokenizer: { quantizer: "opq", shape: { levels: 16 } },
    sft: { epochs: 16, learningRate: { peak: 4e-3, warmupSteps: 100 }, optimizer: { averaging: 0.98 } }
  }
}

/** Returns the recipe of a family by its name; that of new runs for a name that is not given or not known. */
export const of = (family: unknown): Settings.PartialSettings =>
  recipes[Families.families.find((name) => name === family) ?? defaultFamily]
