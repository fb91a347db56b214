/**
 * Policy families of the programs: ordinary layers over the catalogue and its SIDs.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import { Catalogue } from "../src/catalog/Catalogue.ts"
import { type Dataset } from "../src/catalog/Dataset.ts"
import * as Split from "../src/catalog/Split.ts"
import { LeafDecoder } from "../src/decode/LeafDecoder.ts"
import { EmbeddingError, NoItemEmbeddings } from "../src/embedding/EmbeddingError.ts"
import { ItemEmbeddings } from "../src/embedding/ItemEmbeddings.ts"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import * as ItemPolicy from "../src/policy/item/ItemPolicy.ts"
import * as ParallelPolicy from "../src/policy/parallel/ParallelPolicy.ts"
import { type PolicyError } from "../src/policy/PolicyError.ts"
import { type PolicyModel } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as TextPolicy from "../src/policy/text/TextPolicy.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as ItemTexts from "../src/task/ItemTexts.ts"
import * as TextPrompts from "../src/task/TextPrompts.ts"
import { type TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import * as Prepare from "./Prepare.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Policy for the catalogue and the settings of a run. */
export type PolicyLayer = Layer.Layer<
  PolicyModel,
  PolicyError,
  TensorRuntime | Catalogue | Sids | ItemEmbeddings | Workspace | FileSystem.FileSystem | Path.Path
>

/** Flat policy, with one position per code. */
export const flat: PolicyLayer = Layer.unwrap(
  Effect.map(Workspace, ({ settings }) => FlatPolicy.layer(settings.policy, settings.seed))
)

/** Times of the first training events of items, where the policy reads ages and users' times can be compared. */
const firstTimes = Effect.gen(function*() {
  const { settings } = yield* Workspace
  const dataset = yield* Catalogue
  if (settings.item.time !== "gaps-and-ages" || dataset.comparableTimes === false) return undefined
  // Data that cannot be split are refused before there is a catalogue.
  const split = yield* Effect.orDie(Split.split(dataset, settings.split))
  return Split.firstTimes(split, dataset.items.length)
})

/** Builds a layer of a family with one position per item from the settings. */
const withTimes = (family: typeof ItemPolicy | typeof ParallelPolicy): PolicyLayer =>
  Layer.unwrap(
    Effect.gen(function*() {
      const { settings } = yield* Workspace
      return family.layer(settings.item, settings.seed, yield* firstTimes)
    })
  )

/** Item policy, with one position per item and a depth head. */
export const item: PolicyLayer = withTimes(ItemPolicy)

/** Parallel policy, which writes all digits at once. */
export const parallel: PolicyLayer = withTimes(ParallelPolicy)

/** Text policy, a pretrained decoder of a folder. */
export const text: PolicyLayer = Layer.unwrap(Effect.gen(function*() {
  const { settings: { seed, text } } = yield* Workspace
  const { items } = yield* Catalogue
  // Settings with the family have its own.
  const { tasks, ...config } = text!
  return TextPolicy.layer(config, TextPrompts.words(tasks, ItemTexts.ofItems(items, tasks.category)), seed)
}))

/** Policy of the family in the settings. */
export const chosen: PolicyLayer = Layer.unwrap(
  Effect.map(Workspace, ({ settings }) => ({ flat, item, parallel, text })[settings.family])
)

/** Embeddings from which the SIDs of the run were made, read or computed at their first use. */
const embeddings = ItemEmbeddings.layerLazy(
  Prepare.program().pipe(
    Effect.flatMap(Tokenize.embed),
    Effect.mapError((error) =>
      error instanceof EmbeddingError
        ? error
        : new EmbeddingError({ reason: new NoItemEmbeddings({ detail: error.message }) })
    )
  )
)

/** Provides the catalogue of a run: its data set, SIDs and item embeddings. */
export const catalogue = (dataset: Dataset, index: SidIndex) =>
  Layer.mergeAll(Sids.layer(index), Catalogue.layer(dataset), embeddings)

/** Provides a policy with its parameters and a decoder, over a catalogue. */
export const layer = (policy: PolicyLayer, dataset: Dataset, index: SidIndex) =>
  Layer.merge(PolicyParameters.layer, LeafDecoder.layerBeams()).pipe(
    Layer.provideMerge(policy),
    Layer.provideMerge(catalogue(dataset, index))
  )
