/**
 * What is done when several items get the same codes.
 */

/** Codes after a policy: SIDs by item, and the codebook size of every level, an extra one included. */
export interface Resolved {
  readonly sids: ReadonlyArray<Int32Array>
  readonly codebookSizes: ReadonlyArray<number>
}

/** A policy: its name, and what it does with codes [N, L]. */
export interface CollisionPolicy {
  readonly name: string
  readonly resolve: (sids: ReadonlyArray<Int32Array>, codebookSizes: ReadonlyArray<number>) => Resolved
}

/** Items by identical codes, in item order. */
export const groups = (sids: ReadonlyArray<Int32Array>): ReadonlyArray<ReadonlyArray<number>> => {
  const byCodes = new Map<string, Array<number>>()
  for (const [item, codes] of sids.entries()) {
    const key = codes.join(",")
    const group = byCodes.get(key)
    if (group === undefined) byCodes.set(key, [item])
    else group.push(item)
  }
  return [...byCodes.values()]
}

/** Items keep their codes and share SIDs. */
export const keep: CollisionPolicy = { name: "keep", resolve: (sids, codebookSizes) => ({ sids, codebookSizes }) }

/**
 * Items that share their codes get one more code, 0, 1, 2 ... in item order; the others stay as they are. No SID begins
 * another, because within a group every member is extended.
 */
export const extraToken: CollisionPolicy = {
  name: "extra-token",
  resolve: (sids, codebookSizes) => {
    const extended = [...sids]
    let most = 0
    for (const group of groups(sids)) {
      if (group.length === 1) continue
      most = Math.max(most, group.length)
      for (const [i, item] of group.entries()) extended[item] = Int32Array.of(...sids[item]!, i)
    }
    return { sids: extended, codebookSizes: most === 0 ? codebookSizes : [...codebookSizes, most] }
  }
}
