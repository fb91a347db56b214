/**
 * Policy families that a run can be given by name.
 */

/** Names of the families. */
export const families = ["flat", "item", "parallel", "text"] as const

/** Name of a family. */
export type Family = (typeof families)[number]
