/**
 * The data set that a policy may look into: titles, categories, events.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { type Dataset } from "./Dataset.ts"

/** The data set of the run. */
export class Catalogue extends Context.Service<Catalogue, Dataset>()("sidereal/catalog/Catalogue") {
  /** Provides a data set. */
  static readonly layer = (dataset: Dataset): Layer.Layer<Catalogue> => Layer.succeed(Catalogue, dataset)
}
