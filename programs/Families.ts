/**
 * Policy families and their sizes that a run can be given by name.
 */

/** Names of the families. */
export const families = ["flat", "item", "parallel", "text"] as const

/** Name of a family. */
export type Family = (typeof families)[number]

/** Names of the sizes of a new policy. */
export const sizes = ["tiny", "small", "base"] as const

/** Name of a size. */
export type Size = (typeof sizes)[number]
