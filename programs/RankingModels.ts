/**
 * Names of the models that rank, on the command line and in the evaluation record.
 */

/** Names of the models that can be selected. */
export const names = ["sft", "grpo", "sft+item-knn", "grpo+item-knn"] as const

/** Name of a model. */
export type Name = (typeof names)[number]
