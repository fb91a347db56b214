/**
 * Examples of docstrings and guides as programs: they are written to a folder of the repository, where the package finds
 * itself by its name, type-checked together and run one after the other.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"

/** Program in a docstring or a guide. */
export interface Example {
  /** Path of the docstring's file or of the guide, in the repository. */
  readonly file: string
  /** Line of its first line, from 1. */
  readonly line: number
  readonly code: string
}

/** Folder for the programs, in the repository; git ignores it. */
export const folder = ".examples"

const lineAt = (text: string, at: number): number => text.slice(0, at).split("\n").length

/** Returns the programs of the docstrings of a source: the blocks of `@example`, which are all programs. */
export const ofSource = (file: string, text: string): ReadonlyArray<Example> =>
  [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap((comment) =>
    [...comment[0].matchAll(/@example[^\n]*\n\s*\* ?```ts\n([\s\S]*?)\n\s*\* ?```/g)].map((found) => ({
      file,
      line: lineAt(text, comment.index + found.index + found[0].indexOf("```ts")) + 1,
      code: found[1]!.split("\n").map((line) => line.replace(/^\s*\* ?/, "")).join("\n")
    }))
  )

/** Returns the programs of a guide: the blocks of TypeScript that begin with an import. */
export const ofGuide = (file: string, text: string): ReadonlyArray<Example> =>
  [...text.matchAll(/^```ts\n(import [\s\S]*?)\n```$/gm)].map((found) => ({
    file,
    line: lineAt(text, found.index) + 1,
    code: found[1]!
  }))

/** Reads the programs of sources and guides, given as paths in the repository. */
export const read = (
  root: string,
  sources: ReadonlyArray<string>,
  guides: ReadonlyArray<string>
): ReadonlyArray<Example> => [
  ...sources.flatMap((file) => ofSource(file, readFileSync(join(root, file), "utf8"))),
  ...guides.flatMap((file) => ofGuide(file, readFileSync(join(root, file), "utf8")))
]

/** Returns the path of an example's program in the repository. */
export const programOf = ({ file, line }: Example): string =>
  join(folder, dirname(file), `${basename(file).replace(/\.\w+$/, "")}-${line}.ts`)

/** Writes the programs of examples with the settings of the compiler for them; returns their paths, in order. */
export const write = (root: string, examples: ReadonlyArray<Example>): ReadonlyArray<string> => {
  const own = join(root, folder)
  rmSync(own, { recursive: true, force: true })
  mkdirSync(own)
  writeFileSync(join(own, "tsconfig.json"), JSON.stringify({ extends: "../tsconfig.json", include: ["**/*.ts"] }))
  return examples.map((example) => {
    const path = join(root, programOf(example))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `${example.code}\n`)
    return relative(root, path)
  })
}
