/**
 * Page of a comparison of tokenizers: recommendation, tables, plots, and the SID trees with item titles.
 */
import { type Item } from "../catalog/Dataset.ts"
import type * as Laboratory from "../laboratory/Laboratory.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Chart from "./Chart.ts"
import { html, type Markup, raw } from "./Html.ts"
import { style } from "./Style.ts"
import * as Tree from "./Tree.ts"

/** Data of the page. */
export interface LaboratoryPageData {
  readonly dataset: string
  readonly items: number
  readonly users: number
  readonly seed: number
  readonly recommendation: Laboratory.Recommendation | undefined
  readonly entries: ReadonlyArray<Laboratory.Entry>
  readonly catalogue: ReadonlyArray<Item>
  readonly indexes: ReadonlyMap<string, SidIndex>
}

const percent = (value: number, digits = 1) => (Number.isFinite(value) ? `${(100 * value).toFixed(digits)} %` : "–")

interface Column {
  readonly title: string
  readonly of: (entry: Laboratory.Entry) => string
}

const table = (entries: ReadonlyArray<Laboratory.Entry>, columns: ReadonlyArray<Column>): Markup =>
  html`<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">Tokenizer</th>${
    columns.map(({ title }) => html`<th scope="col">${title}</th>`)
  }</tr></thead><tbody>${
    entries.map((entry) =>
      html`<tr><th scope="row">${entry.name}</th>${columns.map((column) => html`<td>${column.of(entry)}</td>`)}</tr>`
    )
  }</tbody></table></div>`

const quality: ReadonlyArray<Column> = [
  { title: "NDCG@10", of: ({ prediction }) => prediction.ndcg10.toFixed(4) },
  {
    title: "95 % interval",
    of: ({ prediction: { ndcg10Interval: [low, high] } }) => `${low.toFixed(4)}–${high.toFixed(4)}`
  },
  { title: "HR@10", of: ({ prediction }) => prediction.hr10.toFixed(4) },
  { title: "Bits per item", of: ({ prediction }) => prediction.bits.toFixed(2) },
  { title: "Collisions", of: (entry) => percent(entry.collisionRate) },
  { title: "of training events", of: (entry) => percent(entry.collidingEvents) },
  { title: "of test targets", of: (entry) => percent(entry.collidingTargets) },
  { title: "Variance lost", of: (entry) => percent(entry.varianceLeft) },
  { title: "Seconds", of: (entry) => entry.seconds.toFixed(1) }
]

const shape: ReadonlyArray<Column> = [
  { title: "Codes used", of: ({ levels }) => levels.map(({ codes, used }) => `${used}/${codes}`).join("  ") },
  { title: "Perplexity", of: ({ levels }) => levels.map(({ perplexity }) => perplexity.toFixed(0)).join("  ") },
  { title: "Gini, level a", of: (entry) => entry.gini.toFixed(3) },
  { title: "Prefixes", of: ({ nodes }) => nodes.slice(1).join("  ") },
  { title: "Children", of: ({ branching }) => branching.map((value) => value.toFixed(1)).join("  ") },
  { title: "Policy", of: (entry) => entry.collisionPolicy },
  { title: "Items moved", of: (entry) => percent(entry.moved) },
  { title: "SIDs after", of: (entry) => String(entry.distinct) }
]

const agreement = (entries: ReadonlyArray<Laboratory.Entry>): Markup => {
  const levels = Math.max(0, ...entries.map((entry) => entry.agreement.length))
  const columns = Array.from(
    { length: levels },
    (_, prefix) =>
      (["category", "brand", "buyers"] as const).map((kind): Column => ({
        title: prefix === 0 ? `${kind}, any pair` : `${kind}, ${prefix} common`,
        of: (entry) => percent(entry.agreement[prefix]?.[kind] ?? Number.NaN)
      }))
  )
  return table(entries, columns.flat())
}

const plots = (entries: ReadonlyArray<Laboratory.Entry>): Markup =>
  html`<div class="charts">${
    Chart.intervalPlot(
      "NDCG@10 of counts over SIDs, validation users",
      entries.map(({ name, prediction }) => ({ name, value: prediction.ndcg10, bounds: prediction.ndcg10Interval }))
    )
  }${
    Chart.bars(
      "Collisions before the policy, share of items",
      entries.map(({ collisionRate, name }) => ({ name, value: collisionRate }))
    )
  }${
    Chart.bars(
      "Variance of the embeddings lost",
      entries.map(({ name, varianceLeft }) => ({ name, value: varianceLeft }))
    )
  }${
    Chart.bars(
      "Least perplexity of a level, as a share of its codes",
      entries.map(({ levels, name }) => ({
        name,
        value: Math.min(...levels.map(({ codes, perplexity }) => perplexity / codes))
      }))
    )
  }</div>`

/** Renders the page. */
export const render = (data: LaboratoryPageData): string => {
  const { catalogue, dataset, entries, indexes, items, recommendation, seed, users } = data
  const ordered = entries.toSorted((a, b) => b.prediction.ndcg10 - a.prediction.ndcg10)
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${dataset}: tokenizers compared</title><style>${raw(style)}</style></head>
<body><header><p class="quiet">Sidereal laboratory</p><h1>${dataset}</h1>
<p>${entries.length} tokenizers, ${items} items, ${users} validation users, ${
    entries[0]?.prediction.users ?? 0
  } of them used; seed ${seed}.</p>
<nav><a href="#recommendation">Recommendation</a><a href="#quality">Quality</a><a href="#shape">Shape</a><a href="#neighbours">Neighbours</a><a href="#trees">Trees</a></nav></header>
<main>
<section id="recommendation"><h2>${
    recommendation === undefined ? "Only control tokenizers were compared" : `Recommended: ${recommendation.name}`
  }</h2>
<ul class="verdict">${(recommendation?.reasons ?? []).map((reason) => html`<li>${reason}</li>`)}</ul>
<p class="quiet">The rule: ${recommendation?.rule ?? ""}</p></section>
<section id="quality"><h2>Quality</h2>${plots(ordered)}${table(ordered, quality)}
<p class="quiet">NDCG@10, HR@10 and bits: the next item of validation users by interpolated counts over SIDs in training
sequences, full ranking, history excluded, the expectation over items that share a SID. Collisions: before the policy.
Variance lost: squared difference of embeddings and decoded codes over the embeddings' variance.</p></section>
<section id="shape"><h2>Codes and trees</h2>${table(ordered, shape)}
<p class="quiet">By level, first to last. Perplexity: effective number of equally used codes. Children: mean per prefix with children.</p></section>
<section id="neighbours"><h2>Do items with common codes belong together?</h2>${agreement(ordered)}
<p class="quiet">Share of pairs with the same finest category, the same brand, or a common user in training, by the minimum
number of first codes in common.</p></section>
<section id="trees"><h2>What the trees look like</h2>${
    ordered.map(({ name }) => {
      const index = indexes.get(name)
      return index === undefined
        ? raw("")
        : html`<details><summary>${name}</summary>${Tree.render(index, catalogue, 12)}</details>`
    })
  }</section>
</main></body></html>
`.markup
}
