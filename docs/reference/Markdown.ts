/**
 * The few marks of docstrings as HTML: paragraphs, lists, tables of text, fenced blocks, code, emphasis and links.
 */
import { html, type Markup, raw } from "../../src/report/Html.ts"

const inline = (text: string): ReadonlyArray<Markup> =>
  text.split(/(`[^`]+`|\*\*[^*]+\*\*|https?:\/\/[^\s)]+)/).map((part) =>
    part.startsWith("`") && part.length > 2
      ? html`<code>${part.slice(1, -1)}</code>`
      : part.startsWith("**") && part.length > 4
      ? html`<b>${part.slice(2, -2)}</b>`
      : /^https?:/.test(part)
      ? html`<a href="${part}">${part}</a>`
      : html`${part}`
  )

const block = (text: string): Markup => {
  const fence = /^```\w*\n([\s\S]*?)\n?```$/.exec(text)
  if (fence !== null) return html`<pre>${fence[1]!}</pre>`
  const items = text.split(/^(?:[-*]|\d+\.) /m)
  return items.length > 1 && items[0] === ""
    ? html`<ul>${items.slice(1).map((item) => html`<li>${inline(item.trim())}</li>`)}</ul>`
    : html`<p>${inline(text)}</p>`
}

/** Renders a docstring; tags become headed paragraphs. */
export const render = (text: string): Markup => {
  const [lead, ...tagged] = text.split(/(?:^|\s)(?=@(?:default|example|see|deprecated)\b)/)
  const blocks = (part: string) =>
    part.trim().split(/(^```\w*\n[\s\S]*?\n```$)|\n\s*\n/m).filter((one) => one !== undefined && one.trim() !== "")
      .map((one) => block(one!.trim()))
  const tags = tagged.map((one) => {
    const [, tag, rest] = /^@(\w+)([\s\S]*)$/.exec(one)!
    return tag === "example"
      ? html`<h4>Example</h4>${blocks(rest!)}`
      : html`<p class="tag"><b>${tag!}</b> ${inline(rest!.trim())}</p>`
  })
  return raw([...blocks(lead!), ...tags].map(({ markup }) => markup).join("\n"))
}
