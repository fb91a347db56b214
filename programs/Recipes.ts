/**
 * Recipes of the policy families: the settings with which a new run begins, beneath those that are given.
 *
 * A run records its recipe in its manifest, so that later versions with other recipes continue it unchanged.
 */
import * as Families from "./Families.ts"
import * as Settings from "./Settings.ts"

/** Settings of new runs by family; `docs/recipe.md` has what was compared. */
export const recipes: Readonly<Record<Families.Family, Settings.PartialSettings>> = {
  flat: { family: "flat" },
  item: {
    family: "item",
    item: {
      batchItems: 256,
      content: "text",
      labelSmoothing: 0.1,
      repeats: true,
      dropout: { input: 0.4, attention: 0.2, residual: 0.5, head: 0.5 }
    },
    sft: { epochs: 14, validationUsers: 2000 },
    // Training positions alone teach most and cost breadth, which whole sequences keep.
    grpo: { prompts: { unlabelledShare: 0.5 } }
  },
  parallel: {
    family: "parallel",
    item: {
      content: "text",
      negatives: 512,
      digitWidth: "tied",
      labelSmoothing: 0.1,
      repeats: true,
      dropout: { input: 0.4, attention: 0.2, residual: 0.3, head: 0.3, digits: 0 }
    },
    // The rate falls to the end, and so does the loss: a stop at two validations that chance made worse costs 5 %.
    sft: {
      epochs: 12,
      patience: 6,
      validationUsers: 2000,
      learningRate: { peak: 4e-3, warmupSteps: 100 },
      optimizer: { averaging: 0.98 }
    },
    // On the training positions the policy knows the answers, and a teacher has nothing to add.
    grpo: { prompts: { positions: "automatic" } }
  },
  text: { family: "text" }
}

/**
 * Settings of new runs on the generated shop, whose catalogue and users are few and where nobody buys the same again:
 * the recipe of `item`, trained shorter at a higher rate.
 */
export const shop: Settings.PartialSettings = Settings.merge(recipes.item, {
  item: { repeats: false },
  sft: { epochs: 11, averagedCheckpoints: 3, learningRate: { peak: 1.5e-3 } },
  // Continued sequences are as many as transitions; on the positions themselves the policy knows the answers.
  grpo: {
    steps: 120,
    stepsPerValidation: 40,
    validationUsers: 2000,
    validationBeams: 50,
    prompts: { positions: "automatic", continuedShare: 1 }
  }
})

/** Names of the sizes, and the shapes of the policies that they stand for; `small` is the default. */
export const sizes = {
  tiny: {
    policy: { width: 64, layers: 2, heads: 2, keyValueHeads: 1, feedForward: 172 },
    item: { width: 64, layers: 1, heads: 2, feedForward: 128 }
  },
  small: {
    policy: { width: 128, layers: 4, heads: 4, keyValueHeads: 2, feedForward: 344 },
    item: { width: 128, layers: 2, heads: 4, feedForward: 256 }
  },
  base: {
    policy: { width: 256, layers: 6, heads: 8, keyValueHeads: 4, feedForward: 688 },
    item: { width: 256, layers: 3, heads: 8, feedForward: 512 }
  }
} as const satisfies Readonly<Record<Families.Size, Settings.PartialSettings>>

/**
 * Returns the recipe of a family by its name. Without a name it is that of `parallel` for data, of `item` for the
 * generated shop, and of `flat` for data that bring SIDs along, `hasSids`, which are too short for digits. The shop has
 * its own recipe of `item`.
 */
export const of = (
  name: unknown,
  { hasData, hasSids }: { readonly hasData: boolean; readonly hasSids: boolean }
): Settings.PartialSettings => {
  const usual = hasSids ? "flat" : hasData ? "parallel" : "item"
  const family = Families.families.find((known) => known === name) ?? usual
  return family === "item" && !hasData ? shop : recipes[family]
}
