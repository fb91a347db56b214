import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import * as Docstrings from "../../docs/reference/Docstrings.ts"
import * as Examples from "../../docs/reference/Examples.ts"
import * as Markdown from "../../docs/reference/Markdown.ts"
import * as Pages from "../../docs/reference/Pages.ts"
import * as PublicExports from "../../docs/reference/PublicExports.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const run = (command: string, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly status: number; readonly out: string; readonly error: string }>((resolve) => {
    const child = execFile(
      command,
      [...args],
      { cwd: root, maxBuffer: 2 ** 26, env: { ...process.env, NODE_OPTIONS: "" } },
      (_, out, error) => resolve({ status: child.exitCode ?? 1, out, error })
    )
  })

describe("public exports", () => {
  it("every one has a docstring whose first sentence says what it is", () => {
    const modules = PublicExports.read(root)
    const all = modules.flatMap((module) => module.exports)
    assert.isAbove(all.length, 1500)
    assert.deepStrictEqual(
      all.flatMap((one) => {
        const members = one.members.map(({ name, text }) => ({
          name: `${one.name}.${name}`,
          text,
          kind: "function" as const
        }))
        return [one, ...members].flatMap((documented) => {
          const problem = Docstrings.problemOf(documented)
          return problem === undefined ? [] : [`${one.file}:${one.line} ${documented.name} ${problem}`]
        })
      }),
      []
    )
    const trie = modules.find(({ path }) => path === "sid/trie/Trie")!
    const build = trie.exports.find(({ name }) => name === "build")!
    assert.strictEqual(build.kind, "function")
    assert.strictEqual(build.signature, "(sids: ReadonlyArray<ArrayLike<number>>) => Trie")
  })

  it("the rules of docstrings find what breaks them", () => {
    const problem = (kind: PublicExports.Kind, text: string) => Docstrings.problemOf({ kind, text }) ?? ""
    assert.include(problem("function", ""), "no docstring")
    assert.include(problem("function", "The nearest integer."), "verb")
    assert.include(problem("function", "Process that answers."), "verb")
    assert.include(problem("interface", "Where the iterations ended."), "noun")
    assert.include(problem("type", "Finds the first centres."), "noun")
    assert.include(problem("constant", "What a step did."), "question")
    assert.include(problem("constant", "Name of a thing"), "no sentence")
    assert.include(problem("constant", "name of a thing."), "middle")
    assert.strictEqual(problem("function", "Half-whitens rows, [N, D]."), "")
    assert.strictEqual(problem("interface", "Result of the iterations."), "")
  })
})

describe("pages of the reference", () => {
  const modules = PublicExports.read(root)
  const pages = new Map(
    Pages.render(modules, "1.2.3", (file) => readFileSync(join(root, file), "utf8")).map((
      { path, text }
    ) => [path, text])
  )

  it("show every export with its type, docstring and example, by folder", () => {
    for (const module of modules) {
      const page = pages.get(`${module.path}.html`) ?? ""
      for (const one of module.exports) assert.include(page, `id="${one.name}"`, module.path)
    }
    const trie = pages.get("sid/trie/Trie.html")!
    assert.include(trie, "build: (sids: ReadonlyArray&lt;ArrayLike&lt;number&gt;&gt;) =&gt; Trie")
    assert.include(trie, "Trie.find(trie, [3, 1])")
    assert.include(trie, "import * as Trie from &quot;sidereal/sid/trie/Trie&quot;")
    const decoder = pages.get("decode/LeafDecoder.html")!
    assert.match(decoder, /LeafDecoder\.layerExact<\/h3>[\s\S]*Provides exact search/)
    assert.match(pages.get("index.html")!, /1\.2\.3[\s\S]*<h2>catalog<\/h2>[\s\S]*<h2>layers\/onnx<\/h2>/)
  })

  it("link to sources and to each other without a network", () => {
    for (const [path, text] of pages) {
      for (const [, link] of text.matchAll(/href="([^"]+)"/g)) {
        if (/^https?:/.test(link!)) continue
        const [to, anchor] = link!.split("#") as [string, string | undefined]
        const target = to === "" ? text : pages.get(normalize(join(dirname(path), to)))
        assert.isDefined(target, `${path} links to ${link}`)
        if (anchor !== undefined) assert.include(target!, `id="${anchor}"`, `${path} links to ${link}`)
      }
      assert.notMatch(text, /(?:src|href)="(?:https?:)?\/\/[^"]+\.(?:js|css)/)
    }
  })

  it("render the marks of docstrings, and escape the rest", () => {
    const { markup } = Markdown.render(
      "Returns `a < b`.\n\n- one\n- **two**\n\n@default 1\n@example\n```ts\na<b>()\n```"
    )
    assert.include(markup, "<code>a &lt; b</code>")
    assert.include(markup, "<ul><li>one</li><li><b>two</b></li></ul>")
    assert.include(markup, "<b>default</b> 1")
    assert.include(markup, "<h4>Example</h4><pre>a&lt;b&gt;()</pre>")
  })
})

describe("documents", () => {
  it("link to files that exist", () => {
    const broken = globSync("{README.md,docs/*.md,docs/guides/*.md,docs/decisions/*.md}", { cwd: root }).flatMap((
      file
    ) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!.split("#")[0]!)
        .filter((link) => link !== "" && !/^\w+:/.test(link) && !existsSync(join(root, dirname(file), link)))
        .map((link) => `${file} links to ${link}`)
    )
    assert.deepStrictEqual(broken, [])
  })
})

describe("examples of docstrings and guides", () => {
  const sources = PublicExports.sources(root).map(({ file }) => file)
  const guides = [...globSync("docs/**/*.md", { cwd: root }), "README.md"]
    .filter((file) => !file.startsWith("docs/api/"))
    .toSorted()
  const examples = Examples.read(root, sources, guides)

  it("are found where they stand", () => {
    const text =
      "/**\n * Adds.\n *\n * @example\n * ```ts\n * import * as A from \"a\"\n *\n * A.b()\n * ```\n */\nconst a = 1"
    assert.deepStrictEqual(Examples.ofSource("a.ts", text), [
      { file: "a.ts", line: 6, code: "import * as A from \"a\"\n\nA.b()" }
    ])
    assert.deepStrictEqual(
      Examples.ofGuide("a.md", "Text\n\n```ts\nimport \"a\"\n```\n\n```ts\nf(x)\n```\n").map((
        { code, line }
      ) => [code, line]),
      [["import \"a\"", 4]]
    )
    assert.isAbove(examples.length, 20)
  })

  it("have the types that they claim, and run", { timeout: 180_000 }, async () => {
    const programs = Examples.write(root, examples)
    const types = await run(join(root, "node_modules/.bin/tsc"), "-p", Examples.folder)
    assert.strictEqual(types.status, 0, types.out)
    const ran = await run(process.execPath, "docs/reference/run.ts", ...programs)
    assert.deepStrictEqual([ran.out, ran.status], ["", 0], ran.error)
  })
})
