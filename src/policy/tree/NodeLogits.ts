/**
 * Log-probabilities of the children of trie nodes, from the logits of the columns of each node's level.
 */
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { type NodeScores } from "../PolicyModel.ts"

/**
 * Outputs of a program for some nodes: the logits of each node's columns and, for the vocabulary normaliser,
 * log-sum-exps.
 */
export interface Scored {
  readonly logits: Float32Array
  readonly logSums: Float32Array | undefined
}

/**
 * Returns scores from logits with `columns` columns per node, of which the last is the end; `find` returns the outputs
 * of a scored node, the offset of its columns and its row.
 */
export const scores = (
  spaces: ReadonlyArray<LeafSpace>,
  columns: number,
  find: (prompt: number, node: number) => { readonly scored: Scored; readonly base: number; readonly row: number }
): NodeScores => {
  const buffer = new Int32Array(Math.max(...spaces.map(({ width }) => width)))
  /**
   * Writes the logits of the children; returns their number, the logit of the end and the logarithm of the normaliser.
   */
  const write = (prompt: number, node: number, into: Float32Array) => {
    const space = spaces[prompt]!
    const count = space.children(node, buffer)
    const { base, row, scored: { logits, logSums } } = find(prompt, node)
    const end = count > 0 && space.ends(node) ? logits[base + columns - 1]! : -Infinity
    let highest = end
    for (let i = 0; i < count; i++) {
      const value = logits[base + space.code(buffer[i]!)]!
      into[i] = value
      if (value > highest) highest = value
    }
    if (logSums !== undefined) return { count, end, logSum: logSums[row]! }
    let sum = 0
    for (let i = 0; i < count; i++) sum += Math.exp(into[i]! - highest)
    if (end > -Infinity) sum += Math.exp(end - highest)
    return { count, end, logSum: highest + Math.log(sum) }
  }
  const spare = new Float32Array(buffer.length)
  return {
    children: (prompt, node, into) => {
      const { count, logSum } = write(prompt, node, into)
      for (let i = 0; i < count; i++) into[i] = into[i]! - logSum
      return count
    },
    end: (prompt, node) => {
      const space = spaces[prompt]!
      if (!space.ends(node)) return -Infinity
      if (space.childCount(node) === 0) return 0
      const { end, logSum } = write(prompt, node, spare)
      return end - logSum
    }
  }
}
