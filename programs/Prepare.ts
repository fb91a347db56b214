/**
 * Data of a run: imported or generated, split, and kept.
 */
import * as Effect from "effect/Effect"
import { FilterConfig } from "../src/catalog/Assemble.ts"
import { type Dataset } from "../src/catalog/Dataset.ts"
import * as DatasetFile from "../src/catalog/DatasetFile.ts"
import * as Import from "../src/catalog/Import.ts"
import * as Shop from "../src/catalog/shop/Shop.ts"
import * as Split from "../src/catalog/Split.ts"
import { Progress } from "../src/run/Progress.ts"
import * as Note from "./Note.ts"
import { artefacts } from "./RunSettings.ts"
import { type Settings } from "./Settings.ts"
import { Workspace } from "./Workspace.ts"

/** Data set with its split. */
export interface Prepared {
  readonly dataset: Dataset
  readonly split: Split.Split
}

/** Imports data with the settings' filters. */
export const load = (path: string, { core, filter, seed, strict }: Settings) =>
  Import.load(path, { filter: core === undefined ? filter : new FilterConfig({ ...filter, core }), strict, seed })

/** Returns the data set of the run and its split. */
export const program = Effect.fn("prepare")(function*() {
  const { artefact, recordSources, settings } = yield* Workspace
  const { data, seed, shop, split } = settings
  const progress = yield* Progress
  const dataset: Dataset = yield* artefact(
    artefacts.dataset,
    (data === undefined
      ? Effect.sync(() => {
        const tracker = progress.part("generate a shop", shop.users, "users")
        const generated = Shop.generate(shop, seed, tracker.update)
        tracker.finish()
        return generated
      })
      : recordSources(data).pipe(
        Effect.andThen(load(data, settings)),
        Effect.tap(({ sources }) => recordSources(data, sources)),
        Effect.tap(({ notes = [] }) => Effect.forEach(notes, Note.print))
      )).pipe(
        // Data that the settings cannot split are not kept, so that the settings can still be changed.
        Effect.tap((dataset) => Split.split(dataset, split))
      ),
    DatasetFile
  )
  return { dataset, split: yield* Split.split(dataset, split) } satisfies Prepared
})
