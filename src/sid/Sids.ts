/**
 * The SIDs of the catalogue that a policy writes and a decoder searches.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { type SidIndex } from "./SidIndex.ts"
import * as LeafSpace from "./trie/LeafSpace.ts"

/** The index and all of its leaves as a space. */
export class Sids extends Context.Service<Sids, {
  readonly index: SidIndex
  readonly space: LeafSpace.LeafSpace
}>()("sidereal/sid/Sids") {
  /** Provides an index. */
  static readonly layer = (index: SidIndex): Layer.Layer<Sids> =>
    Layer.sync(Sids, () => Sids.of({ index, space: LeafSpace.ofTrie(index.trie) }))
}
