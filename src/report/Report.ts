/**
 * Report of a run: one self-contained HTML file.
 */
import { type Count, type Item } from "../catalog/Dataset.ts"
import * as EvaluationRecord from "../evaluation/EvaluationRecord.ts"
import { type GroupTrace } from "../grpo/monitoring/GroupTrace.ts"
import { type Manifest } from "../run/Manifest.ts"
import { type RunEvent } from "../run/RunLog.ts"
import { type Diagnostics } from "../sid/Diagnostics.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Chart from "./Chart.ts"
import * as GrpoPage from "./GrpoPage.ts"
import { html, type Markup, raw } from "./Html.ts"
import * as RewardDebugger from "./RewardDebugger.ts"
import * as StepSeries from "./StepSeries.ts"
import { style } from "./Style.ts"
import * as Tree from "./Tree.ts"

/** Data of a report. */
export interface ReportData {
  readonly manifest: Manifest
  readonly counts: ReadonlyArray<Count>
  readonly items: ReadonlyArray<Item>
  readonly index: SidIndex
  /** Groups for the reward debugger. @default none */
  readonly groups?: GroupTrace | undefined
  readonly diagnostics: Diagnostics
  readonly events: ReadonlyArray<RunEvent>
  readonly record: EvaluationRecord.EvaluationRecord
  /** Sentences that summarise the record. */
  readonly verdict: ReadonlyArray<string>
  readonly examples: ReadonlyArray<{
    readonly user: string
    readonly history: ReadonlyArray<string>
    readonly recommendations: ReadonlyArray<{ readonly title: string; readonly logProb: number; readonly hit: boolean }>
    readonly truth: string
  }>
  /** Settings, with defaults. */
  readonly settings: unknown
}

const metrics = ["HR@1", "HR@5", "HR@10", "HR@20", "HR@50", "NDCG@5", "NDCG@10", "NDCG@20", "MRR"] as const

const modelNames: Readonly<Record<string, string>> = {
  popularity: "Popularity",
  "item-knn": "ItemKNN",
  sasrec: "SASRec",
  sft: "SFT",
  "sft continued": "SFT continued",
  grpo: "GRPO",
  oracle: "Oracle"
}

const nameOf = (name: string) => name.split(" + ").map((part) => modelNames[part] ?? part).join(" + ")

const scroll = (content: Markup): Markup => html`<div class="scroll" tabindex="0">${content}</div>`

const comparison = (rows: ReadonlyArray<EvaluationRecord.ModelRow>): Markup =>
  scroll(html`<table>
<thead><tr><th scope="col">Model</th>${
    metrics.map((metric) => html`<th scope="col">${metric}</th>`)
  }<th scope="col">Coverage</th><th scope="col">Gini</th><th scope="col">Seconds</th></tr></thead>
<tbody>${
    rows.map((row) =>
      html`<tr><th scope="row">${nameOf(row.name)}</th>${
        metrics.map((metric) => {
          const bounds = row.ci95[metric]
          return html`<td>${row.metrics[metric]?.toFixed(4) ?? "–"}${
            bounds === undefined ? raw("") : html`<small>${bounds[0].toFixed(4)}–${bounds[1].toFixed(4)}</small>`
          }</td>`
        })
      }<td>${(100 * row.coverage).toFixed(1)} %</td><td>${row.gini.toFixed(3)}</td><td>${
        row.seconds.toFixed(1)
      }</td></tr>`
    )
  }</tbody></table>`)

/** HR@10 and NDCG@10 of every part of the users. */
const parts = (rows: ReadonlyArray<EvaluationRecord.ModelRow>, slices: EvaluationRecord.EvaluationRecord["slices"]) =>
  scroll(html`<table>
<thead><tr><th scope="col">HR@10, NDCG@10</th>${
    slices.map(({ counts, name, users }) =>
      html`<th scope="col">${name}<small>${
        counts === undefined ? "" : `${counts[0]} to ${counts[1]} training events, `
      }${users} users</small></th>`
    )
  }</tr></thead>
<tbody>${
    rows.map((row) =>
      html`<tr><th scope="row">${nameOf(row.name)}</th>${
        slices.map(({ name }) =>
          html`<td>${row.slices[name]?.["HR@10"]?.toFixed(4) ?? "–"}<small>${
            row.slices[name]?.["NDCG@10"]?.toFixed(4) ?? "–"
          }</small></td>`
        )
      }</tr>`
    )
  }</tbody></table>`)

/** Validation NDCG@10 of every policy alone and with each weight of the prior. */
const weighing = ({ choices, historyExcluded, scorer, users }: EvaluationRecord.Fusion): Markup =>
  html`<h3>${nameOf(scorer)} beside the policies</h3>
<p class="quiet">Its mass is added to the policy's scores while SIDs are written. NDCG@10 of ${users} validation users, history ${
    historyExcluded ? "excluded" : "kept"
  }, by its weight; 0 is the policy alone.</p>
${
    scroll(html`<table><thead><tr><th scope="col">Weight</th>${
      (choices[0]?.weights ?? []).map(({ weight }) => html`<th scope="col">${weight}</th>`)
    }</tr></thead><tbody>${
      choices.map(({ phase, weight: chosen, weights }) =>
        html`<tr><th scope="row">${nameOf(phase)}</th>${
          weights.map(({ ndcg, weight }) =>
            html`<td${raw(weight === chosen ? ` class="hit"` : "")}>${ndcg.toFixed(4)}</td>`
          )
        }</tr>`
      )
    }</tbody></table>`)
  }`

/** The rows of the other history mode, where the record has them. */
const otherRows = (record: EvaluationRecord.EvaluationRecord): Markup => {
  const { history, rows } = EvaluationRecord.otherMode(record)
  return rows.length === 0
    ? raw("")
    : html`<details><summary>The same table, ${history}</summary>${comparison(rows)}</details>`
}

const curves = (events: ReadonlyArray<RunEvent>): Markup => {
  const steps = StepSeries.current(events, "sft.step")
  const validations = StepSeries.current(events, "sft.validation")
  return html`<div class="charts">
${
    Chart.lines("SFT: loss per code (nats)", "step", [
      { name: "training loss", points: StepSeries.points(steps, "loss") }
    ])
  }
${
    Chart.lines("SFT: validation NDCG@10", "step", [
      { name: "NDCG@10", points: StepSeries.points(validations, "NDCG@10") }
    ])
  }
${
    Chart.lines("SFT: learning rate", "step", [
      { name: "learning rate", points: StepSeries.points(steps, "learningRate") }
    ])
  }
</div>`
}

const people = (examples: ReportData["examples"]): Markup =>
  html`${
    examples.map(({ history, recommendations, truth, user }) => {
      const place = recommendations.findIndex(({ hit }) => hit)
      return html`<article class="person">
<h3>${user} <span class="${place >= 0 ? "hit" : "miss"}">${
        place >= 0 ? `found at ${place + 1}` : "not in the top 10"
      }</span></h3>
<div class="columns"><div><h4>History, oldest first</h4><ol class="plain">${
        history.map((title) => html`<li>${title}</li>`)
      }</ol></div>
<div><h4>Recommended</h4><ol>${
        recommendations.map(({ hit, logProb, title }) =>
          html`<li${raw(hit ? ` class="hit"` : "")}>${title} <small>${
            (100 * Math.exp(logProb)).toFixed(1)
          } %</small></li>`
        )
      }</ol></div>
<div><h4>What came next</h4><p>${truth}</p></div></div>
</article>`
    })
  }`

const codes = (diagnostics: Diagnostics, index: SidIndex): Markup =>
  html`<p>${diagnostics.items} items had ${diagnostics.distinct} distinct codes before the collision policy
(${(100 * diagnostics.collisionRate).toFixed(1)} % collisions, ${diagnostics.collidingItems} items share theirs).
Policy: ${index.collisionPolicy}.</p>
${
    scroll(
      html`<table><thead><tr><th scope="col">Level</th><th scope="col">Codes</th><th scope="col">Used</th><th scope="col">Perplexity</th></tr></thead><tbody>${
        diagnostics.levels.map((level, l) =>
          html`<tr><th scope="row">${
            String.fromCharCode(97 + l)
          }</th><td>${level.codes}</td><td>${level.used}</td><td>${level.perplexity.toFixed(1)}</td></tr>`
        )
      }</tbody></table>`
    )
  }`

/** Renders the page. */
export const render = (data: ReportData): string => {
  const { counts, diagnostics, events, examples, groups, index, items, manifest, record, settings, verdict } = data
  const bars = record.models.map((row): Chart.IntervalRow => ({
    name: nameOf(row.name),
    value: row.metrics["NDCG@10"]!,
    bounds: row.ci95["NDCG@10"] ?? [row.metrics["NDCG@10"]!, row.metrics["NDCG@10"]!]
  }))
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${manifest.name}: Sidereal report</title><style>${raw(style)}</style></head>
<body><header><p class="quiet">Sidereal report</p><h1>${manifest.name}</h1>
<p>${record.users} test users, ${record.items} items. ${record.protocol.split} split, full ranking, ${record.beams} beams, ${record.invalid} invalid SIDs, ${
    EvaluationRecord.describeHistory(record)
  }.</p>
<nav><a href="#results">Results</a><a href="#training">Training</a>${
    GrpoPage.isEmpty(events) && groups === undefined ? raw("") : html`<a href="#grpo">GRPO</a>`
  }<a href="#people">People</a><a href="#sids">SIDs</a><a href="#settings">Settings</a></nav></header>
<main>
<section id="results"><h2>Results</h2>
<ul class="verdict">${verdict.map((line) => html`<li>${line}</li>`)}</ul>
${Chart.intervalPlot("NDCG@10 with 95 % intervals over users", bars)}
${comparison(record.models)}
<p class="quiet">Item-level: items that share a SID count as the expectation over their order. Below the same at SID level, as most published numbers count.</p>
<details><summary>SID-level table</summary>${comparison(record.sidLevel)}</details>
${otherRows(record)}
${
    record.slices.length === 0
      ? raw("")
      : html`<h3>Parts of the users</h3>
<p class="quiet">Quartiles of the training events of the target, coldest first; whether the target follows the last item of the history in training.</p>
${parts(record.models, record.slices)}`
  }
${record.fusion === undefined ? raw("") : weighing(record.fusion)}</section>
<section id="training"><h2>Training</h2>${curves(events)}</section>
${
    GrpoPage.isEmpty(events) && groups === undefined
      ? raw("")
      : html`<section id="grpo"><h2>GRPO</h2>${GrpoPage.render(events)}${
        groups === undefined ? raw("") : RewardDebugger.render(groups)
      }</section>`
  }
<section id="people"><h2>Ten users</h2>${people(examples)}</section>
<section id="sids"><h2>Semantic ids</h2>${codes(diagnostics, index)}<h3>The tree</h3>${
    Tree.render(index, items, 40)
  }</section>
<section id="settings"><h2>Settings and hashes</h2>
${
    scroll(html`<table><tbody>${
      counts.map(({ count, step }) => html`<tr><th scope="row">${step}</th><td>${count}</td></tr>`)
    }</tbody></table>`)
  }
<details><summary>Settings</summary><pre>${JSON.stringify(settings, undefined, 2)}</pre></details>
<details><summary>Manifest</summary><pre>${JSON.stringify(manifest, undefined, 2)}</pre></details></section>
</main></body></html>
`.markup
}
