/**
 * Batches of decoding searches with prompts of similar length, small enough for their attention to fit into memory.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type Prompt } from "../policy/Prompt.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import * as Attention from "../tensor/Attention.ts"

/** Counter of users for whom SIDs were decoded. */
export const users: Metric.Counter<number> = Metric.counter("sidereal.decode.users", {
  description: "Users for whom SIDs were decoded",
  incremental: true
})

/** Options of the batches. */
export interface BatchOptions {
  /** Largest number of prompts computed together. */
  readonly batch: number
  /** Function called after each batch with the number of searches done so far. @default none */
  readonly progress?: ((done: number) => void) | undefined
}

const lengthOf = (prompt: Prompt): number =>
  prompt._tag === "History" ? prompt.history.items.length : prompt.segments.length

/**
 * Runs searches in batches of at most `batch` prompts, fewer if their attention would exceed `Attention.widest`.
 * Searches with the same prompt object are in one batch, and results are in the order of the searches.
 *
 * `beams` returns the number of prefixes per level that a search follows.
 */
export const run = Effect.fnUntraced(
  function*<S extends { readonly prompt: Prompt; readonly space: LeafSpace }, A, E, R>(
    searches: ReadonlyArray<S>,
    beams: (search: S) => number,
    { batch, progress }: BatchOptions,
    search: (members: ReadonlyArray<S>) => Effect.Effect<ReadonlyArray<A>, E, R>
  ) {
    const order = [...Map.groupBy(searches.keys(), (i) => searches[i]!.prompt)]
      .map(([prompt, members]) => ({ length: lengthOf(prompt), members }))
      .toSorted((a, b) => a.length - b.length)
    const results: Array<A> = []
    const sizeOf = ({ length, members }: (typeof order)[number]) => {
      const { depth, nodes } = searches[members[0]!]!.space
      const followed = members.reduce((sum, i) => sum + beams(searches[i]!), 0)
      return 1 + (length + Math.min(followed, nodes)) * depth
    }
    let done = 0
    for (let at = 0, size = batch; at < order.length; at += size) {
      // The longest prompt of a batch is its last.
      size = Math.min(batch, order.length - at)
      while (size > 1 && size * sizeOf(order[at + size - 1]!) ** 2 > Attention.widest) size--
      const members = order.slice(at, at + size).flatMap((group) => group.members)
      const found = yield* search(members.map((i) => searches[i]!))
      for (const [i, member] of members.entries()) results[member] = found[i]!
      yield* Metric.update(users, size)
      done += members.length
      progress?.(done)
    }
    return results
  }
)
