/**
 * Pages of the reference: an index, one page per module, and the sources that they link to. They need no network.
 */
import { html, type Markup, raw } from "../../src/report/Html.ts"
import { style } from "../../src/report/Style.ts"
import * as Markdown from "./Markdown.ts"
import * as PublicExports from "./PublicExports.ts"

/** Page by its path in the folder of the reference. */
export interface Page {
  readonly path: string
  readonly text: string
}

const own = `
pre{background:var(--card);border:1px solid var(--rule);border-radius:4px;padding:12px 14px;overflow-x:auto;font-size:.85rem;line-height:1.45}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
h2 small,h3 small{display:inline;margin-left:.6em}
article{margin:28px 0;padding-top:18px;border-top:1px solid var(--rule)}
.tag{color:var(--soft)}
.modules{columns:3 260px;list-style:none;padding:0}
.modules li{break-inside:avoid;margin:2px 0}
input{font:inherit;width:100%;max-width:480px;padding:8px 10px;border:1px solid var(--rule);border-radius:4px;background:var(--card);color:var(--ink)}
.source span{display:block;white-space:pre}
.source span:target{background:var(--rule)}
`

const page = (title: string, body: ReadonlyArray<Markup>, script = ""): string =>
  html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${title}</title><style>${raw(style + own)}</style></head><body>${body}${
    script === "" ? undefined : raw(`<script>${script}</script>`)
  }</body></html>
`.markup

const up = (path: string): string => "../".repeat(path.split("/").length - 1)

const pathOf = (module: string): string => `${module}.html`

const sourceOf = (file: string): string => `source/${file}.html`

const signatureOf = (one: PublicExports.PublicExport): string =>
  one.signature === ""
    ? one.declaration
    : `${one.kind === "function" ? "" : "const "}${one.name}: ${one.signature}`

const exported = (one: PublicExports.PublicExport, root: string): Markup =>
  html`<article id="${one.name}"><h2><a href="#${one.name}">${one.name}</a> <small>${one.kind} · <a href="${root}${
    sourceOf(one.file)
  }#L${one.line}">source</a></small></h2>
<pre>${signatureOf(one)}</pre>
${Markdown.render(PublicExports.plain(one.comment))}
${
    one.members.map(({ name, signature, text }) =>
      html`<h3>${one.name}.${name}</h3><pre>${name}: ${signature}</pre>${Markdown.render(text)}`
    )
  }</article>`

const modulePage = (module: PublicExports.PublicModule): Page => {
  const path = pathOf(module.path)
  const root = up(path)
  const name = module.path.split("/").at(-1)!
  return {
    path,
    text: page(module.path, [
      html`<header><p><a href="${root}index.html">Reference</a></p><h1>${name}</h1>
<pre>import * as ${name.replaceAll(/\W/g, "")} from "sidereal/${module.path}"</pre>
${Markdown.render(module.text)}
<p class="quiet"><a href="${root}${sourceOf(module.file)}">${module.file}</a></p>
<nav>${module.exports.map((one) => html`<a href="#${one.name}">${one.name}</a>`)}</nav></header>
<main>${module.exports.map((one) => exported(one, root))}</main>`
    ])
  }
}

const sourcePage = (file: string, text: string): Page => {
  const path = sourceOf(file)
  return {
    path,
    text: page(file, [
      html`<header><p><a href="${
        up(path)
      }index.html">Reference</a></p><h1>${file}</h1></header><main><pre class="source">${
        text.trimEnd().split("\n").map((line, i) => html`<span id="L${i + 1}">${line === "" ? " " : line}</span>`)
      }</pre></main>`
    ])
  }
}

/** Returns the folder of a module under which the index lists it: `catalog`, `sid/quantizer`, `layers/onnx`. */
const groupOf = ({ path }: PublicExports.PublicModule): string => path.split("/").slice(0, -1).join("/") || "."

const search = `
const input = document.querySelector("input"), rows = [...document.querySelectorAll("[data-names]")]
input.addEventListener("input", () => {
  const asked = input.value.toLowerCase()
  for (const row of rows) row.hidden = !row.dataset.names.includes(asked)
  for (const group of document.querySelectorAll("section")) group.hidden = !group.querySelector("[data-names]:not([hidden])")
})`

const indexPage = (modules: ReadonlyArray<PublicExports.PublicModule>, version: string): Page => ({
  path: "index.html",
  text: page("Sidereal: reference", [
    html`<header><h1>Sidereal ${version}: reference</h1>
<p>${modules.length} modules with ${
      modules.reduce((sum, module) => sum + module.exports.length, 0)
    } exports. Each is imported by its path: <code>import * as Trie from "sidereal/sid/trie/Trie"</code>.</p>
<input type="search" placeholder="Module or export" aria-label="Module or export"></header><main>${
      [...Map.groupBy(modules, groupOf)].map(([group, some]) =>
        html`<section><h2>${group}</h2><ul class="modules">${
          some.map((module) =>
            html`<li data-names="${
              [
                module.path,
                ...module.exports.map(({ name }) => name)
              ].join(" ").toLowerCase()
            }"><a href="${pathOf(module.path)}">${module.path.split("/").at(-1)!}</a></li>`
          )
        }</ul></section>`
      )
    }</main>`
  ], search)
})

/** Renders the pages of modules; `textOf` reads a source by its path in the repository. */
export const render = (
  modules: ReadonlyArray<PublicExports.PublicModule>,
  version: string,
  textOf: (file: string) => string
): ReadonlyArray<Page> => {
  // Contracts and algorithms first; their implementations and the commands after them.
  const roots = ["src/", "layers/", "programs/"]
  const place = ({ file }: PublicExports.PublicModule) => roots.findIndex((root) => file.startsWith(root))
  const listed = modules.filter((module) => module.exports.length > 0).toSorted((a, b) => place(a) - place(b))
  const files = new Set(listed.flatMap(({ exports, file }) => [file, ...exports.map((one) => one.file)]))
  return [
    indexPage(listed, version),
    ...listed.map(modulePage),
    ...[...files].toSorted().map((file) => sourcePage(file, textOf(file)))
  ]
}
