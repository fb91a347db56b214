/**
 * Names of the models that rank, on the command line and in the evaluation record.
 */

/** Names of the scorers that can stand beside a policy as a prior. */
export const priors = ["item-knn", "sasrec"] as const

/** Names of the models that can be selected. */
export const names = ["sft", "grpo", "sft+item-knn", "grpo+item-knn", "sft+sasrec", "grpo+sasrec"] as const

/** Name of a model. */
export type Name = (typeof names)[number]
