/**
 * HTML templates that escape every value except markup made by another template or by `raw`.
 */
import * as Printable from "../text/Printable.ts"

/** Markup that is safe to put into a page. */
export interface Markup {
  readonly markup: string
}

const escape = (text: string): string =>
  Printable.text(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    "\"",
    "&quot;"
  )
    .replaceAll("'", "&#39;")

type Part = string | number | Markup | ReadonlyArray<Markup> | undefined

const render = (part: Part): string =>
  part === undefined
    ? ""
    : typeof part === "string"
    ? escape(part)
    : typeof part === "number"
    ? String(part)
    : "markup" in part
    ? part.markup
    : part.map((one) => one.markup).join("")

/** Renders a template as markup, as its tag; every value that is not `Markup` is escaped. */
export const html = (texts: TemplateStringsArray, ...parts: ReadonlyArray<Part>): Markup => ({
  markup: texts.map((text, i) => text + (i < parts.length ? render(parts[i]) : "")).join("")
})

/** Marks a text as markup, such as a style sheet; it is not escaped. */
export const raw = (markup: string): Markup => ({ markup })
