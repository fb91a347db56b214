import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { basename, dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Files of the product and their relative imports. */
type Sources = ReadonlyMap<string, ReadonlyArray<string>>

const importsOf = (file: string, text: string): ReadonlyArray<string> =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => normalize(join(dirname(file), match[1]!)))

const allowed: Readonly<Record<string, ReadonlyArray<string>>> = {
  src: ["src"],
  layers: ["src", "layers"],
  programs: ["src", "layers", "programs", "package.json"]
}

/** Imports against the direction src <- layers <- programs. */
const wrongWay = (sources: Sources): ReadonlyArray<string> =>
  [...sources].flatMap(([file, imports]) =>
    imports.filter((target) => !allowed[file.split("/")[0]!]!.includes(target.split("/")[0]!))
      .map((target) => `${file} imports ${target}`)
  )

/** The rooms of `src`, lowest first: a room imports from itself and from lower ones. */
const rooms = [
  "statistics",
  "storage",
  "tensor",
  "text",
  "run",
  "tokenizer",
  "optimizer",
  "matrix",
  "catalog",
  "embedding",
  "sid",
  "objective",
  "policy",
  "task",
  "decode",
  "training",
  "evaluation",
  "reward",
  "sft",
  "grpo",
  "laboratory",
  "report",
  "testing"
]

const roomOf = (file: string): string | undefined => /^src\/([^/]+)\//.exec(file)?.[1]

/** Imports from a lower room of `src` to a higher one. */
const upward = (sources: Sources): ReadonlyArray<string> =>
  [...sources].flatMap(([file, imports]) =>
    imports.filter((target) =>
      rooms.indexOf(roomOf(target) ?? rooms[0]!) > rooms.indexOf(roomOf(file) ?? rooms.at(-1)!)
    )
      .map((target) => `${file} imports ${target}`)
  )

/** A cycle of imports, when there is one. */
const cycle = (sources: Sources): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const visit = (file: string, path: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const target of sources.get(file) ?? []) {
      const found = visit(target, [...path, file])
      if (found !== undefined) return found
    }
    done.add(file)
    return undefined
  }
  for (const file of sources.keys()) {
    const found = visit(file, [])
    if (found !== undefined) return found
  }
  return undefined
}

const files = globSync("{src,layers,programs}/**/*.ts", { cwd: root }).toSorted()
const sources: Sources = new Map(
  files.map((file) => [file, importsOf(file, readFileSync(join(root, file), "utf8"))])
)

describe("structure", () => {
  it("imports run src <- layers <- programs, and never outside them", () => {
    assert.isAbove(files.length, 60)
    assert.deepStrictEqual(wrongWay(sources), [])
    assert.deepStrictEqual(
      wrongWay(new Map([["src/a/B.ts", ["layers/x/Y.ts"]], ["layers/x/Y.ts", ["programs/Z.ts", "src/a/B.ts"]]])),
      [
        "src/a/B.ts imports layers/x/Y.ts",
        "layers/x/Y.ts imports programs/Z.ts"
      ]
    )
  })

  it("no room of src imports from a higher one", () => {
    for (const file of files.filter((name) => name.startsWith("src/"))) assert.include(rooms, roomOf(file), file)
    assert.deepStrictEqual(upward(sources), [])
    assert.deepStrictEqual(upward(new Map([["src/catalog/A.ts", ["src/evaluation/B.ts", "src/matrix/C.ts"]]])), [
      "src/catalog/A.ts imports src/evaluation/B.ts"
    ])
  })

  it("paths that were public before files moved still lead somewhere", () => {
    const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly exports: Readonly<Record<string, string>>
    }
    for (const [path, target] of Object.entries(exports)) {
      if (!path.includes("*")) assert.isTrue(existsSync(join(root, target)), `${path} leads to ${target}`)
    }
  })

  it("imports make no cycle", () => {
    assert.isUndefined(cycle(sources))
    assert.deepStrictEqual(cycle(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]])), ["b", "c", "b"])
  })

  it("files are named for what they hold", () => {
    for (const file of files) {
      assert.notMatch(file, /(?:^|\/)(?:utils?|helpers?|common|misc|shared)(?:\/|\.ts$)/i)
      if (file !== "programs/cli.ts") assert.match(basename(file), /^[A-Z][A-Za-z0-9]*\.ts$/, file)
    }
  })

  it("no lowering adds through ScatterND, which loses updates of repeated indices", () => {
    for (const file of files.filter((name) => name.startsWith("layers/onnx"))) {
      assert.notMatch(readFileSync(join(root, file), "utf8"), /"ScatterND"/, file)
    }
  })

  it("every concept can be imported by its path", () => {
    for (const file of files.filter((name) => name.startsWith("src/") || name.startsWith("layers/"))) {
      const path = file.replace(/^src\//, "").replace(/\.ts$/, "")
      assert.strictEqual(fileURLToPath(import.meta.resolve(`sidereal/${path}`)), join(root, file))
    }
    assert.strictEqual(
      fileURLToPath(import.meta.resolve("sidereal/programs/Grpo")),
      join(root, "programs/Grpo.ts")
    )
    assert.strictEqual(
      fileURLToPath(import.meta.resolve("sidereal/testing")),
      join(root, "src/testing/Testing.ts")
    )
  })
})
