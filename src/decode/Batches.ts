/**
 * Searches cut into batches of similar length whose attention fits into memory.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type Prompt } from "../policy/Prompt.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import * as Attention from "../tensor/Attention.ts"

/** Users for whom SIDs were decoded. */
export const users: Metric.Counter<number> = Metric.counter("sidereal.decode.users", {
  description: "Users for whom SIDs were decoded",
  incremental: true
})

/** How to batch. */
export interface BatchOptions {
  /** Prompts that are computed together at most. */
  readonly batch: number
  /** Told how many prompts are done. */
  readonly progress?: ((done: number) => void) | undefined
}

const lengthOf = (prompt: Prompt): number =>
  prompt._tag === "History" ? prompt.history.items.length : prompt.segments.length

/**
 * Runs searches in batches, fewer together where prompts or prefixes are many; results come back in the order given.
 *
 * `beams` returns how many prefixes of a level a search follows.
 */
export const run = Effect.fnUntraced(
  function*<S extends { readonly prompt: Prompt; readonly space: LeafSpace }, A, E, R>(
    searches: ReadonlyArray<S>,
    beams: (search: S) => number,
    { batch, progress }: BatchOptions,
    search: (members: ReadonlyArray<S>) => Effect.Effect<ReadonlyArray<A>, E, R>
  ) {
    const lengths = searches.map(({ prompt }) => lengthOf(prompt))
    const order = searches.map((_, i) => i).toSorted((a, b) => lengths[a]! - lengths[b]! || a - b)
    const results: Array<A> = []
    const sizeOf = (one: number) => {
      const { depth, nodes } = searches[one]!.space
      return 1 + (lengths[one]! + Math.min(beams(searches[one]!), nodes)) * depth
    }
    for (let at = 0, size = batch; at < order.length; at += size) {
      // The longest prompt of a batch stands last.
      size = Math.min(batch, order.length - at)
      while (size > 1 && size * sizeOf(order[at + size - 1]!) ** 2 > Attention.widest) size--
      const members = order.slice(at, at + size)
      const found = yield* search(members.map((i) => searches[i]!))
      for (const [i, member] of members.entries()) results[member] = found[i]!
      yield* Metric.update(users, members.length)
      progress?.(at + members.length)
    }
    return results
  }
)
