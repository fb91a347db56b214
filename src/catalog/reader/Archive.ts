/**
 * Service for archives of several files.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type CatalogError } from "../CatalogError.ts"

/** Unpacker of archives. */
export class Archive extends Context.Service<Archive, {
  /** Unpacks a `.tar.xz` into a folder that is removed with the Scope; returns the folder. */
  unpackTarXz(path: string): Effect.Effect<string, CatalogError, Scope.Scope>
}>()("sidereal/catalog/Archive") {}
