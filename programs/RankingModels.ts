/**
 * Names of the models that rank, on the command line and in the evaluation record.
 */

/** Names of the scorers that can stand beside a policy as a prior. */
export const priors = ["item-knn", "sasrec"] as const

/** Names of the phases whose policies can rank, latest last. */
export const phases = ["sft", "grpo"] as const

/** Model that ranks: the generator or the item head of a phase's policy, alone or with the prior of a scorer. */
export interface RankingModel {
  readonly phase: (typeof phases)[number]
  readonly isItemHead: boolean
  /** Name of the prior's scorer. @default none */
  readonly prior?: (typeof priors)[number] | undefined
}

/** Models that can be selected, by their names. */
export const models: ReadonlyMap<string, RankingModel> = new Map(
  [undefined, ...priors].flatMap((prior) =>
    [false, true].flatMap((isItemHead) =>
      phases.map((phase) => [
        `${phase}${isItemHead ? "-item-head" : ""}${prior === undefined ? "" : `+${prior}`}`,
        { phase, isItemHead, prior }
      ])
    )
  )
)

/** Names of the models that can be selected. */
export const names: ReadonlyArray<string> = Array.from(models.keys())
