/**
 * Service with the data set of the run, for components that read titles, categories or events.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { type Dataset } from "./Dataset.ts"

/** Data set of the run. */
export class Catalogue extends Context.Service<Catalogue, Dataset>()("sidereal/catalog/Catalogue") {
  /** Provides `dataset`. */
  static readonly layer = (dataset: Dataset): Layer.Layer<Catalogue> => Layer.succeed(Catalogue, dataset)
}
