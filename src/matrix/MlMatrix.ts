/**
 * The package ml-matrix, which computes decompositions.
 */
import type * as Library from "ml-matrix"
import { createRequire } from "node:module"
import * as Packages from "../run/Packages.ts"

/** Dense matrix of the package. */
export type Dense = Library.Matrix

/** Returns the package, which is loaded at the first call; throws `MissingPackage` where it is not installed. */
export const library: () => typeof Library = Packages.required("ml-matrix", createRequire(import.meta.url))
