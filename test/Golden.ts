/**
 * Where golden numbers and real data lie, and how tests find them: by listing folders, never by naming cases.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Safetensors from "../src/storage/Safetensors.ts"

const beside = (name: string) => fileURLToPath(new URL(`../../shared/${name}`, import.meta.url))

/** The folder of golden numbers. */
export const golden = process.env["SIDEREAL_GOLDEN"] ?? beside("golden")

/** The folder of real data sets. */
export const data = process.env["SIDEREAL_DATA"] ?? beside("data")

/** The folder of golden numbers beside the repository, where another folder may lack large files. */
export const goldenBeside = beside("golden")

/** The folder of published tokenizers and small weights. */
export const models = process.env["SIDEREAL_MODELS"] ?? beside("models")

/** Names in a folder, sorted; none when the folder is absent. */
export const list = (...path: ReadonlyArray<string>): ReadonlyArray<string> => {
  const folder = join(...path)
  return existsSync(folder) ? readdirSync(folder).toSorted() : []
}

/** A JSON file. */
// oxlint-disable-next-line typescript/no-explicit-any -- golden files have no schema
export const json = (...path: ReadonlyArray<string>): any => JSON.parse(readFileSync(join(...path), "utf8"))

/** A safetensors file. */
export const tensors = (...path: ReadonlyArray<string>): Map<string, Safetensors.StoredTensor> =>
  Safetensors.decode(readFileSync(join(...path)))

/** Largest absolute difference. */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Infinity
  let most = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    if (!(difference <= most)) most = difference
  }
  return most
}
