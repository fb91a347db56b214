/**
 * Totals and advantages for other weights of the rewards, recomputed in the report's page.
 *
 * The page contains the source text of `recompute` and `attach`; both therefore refer only to their parameters and to
 * globals of the language. A test checks that `recompute` equals `Advantage.ofRewards` and the reward actor.
 */
import { type GroupTrace } from "../grpo/monitoring/GroupTrace.ts"
import { html, type Markup, raw } from "./Html.ts"

/** Numbers of a trace from which totals and advantages are computed. */
export interface WhatIfData {
  readonly mode: GroupTrace["mode"]
  readonly normalise: GroupTrace["normalise"]
  readonly temperature: number | null
  readonly softening: number
  /** Weights of the rewards in the run. */
  readonly weights: ReadonlyArray<number>
  readonly groups: ReadonlyArray<{
    /** Rewards before normalisation and weight [rewards][G]; null where one does not apply. */
    readonly parts: ReadonlyArray<ReadonlyArray<number> | null>
    /** Log-probability of each candidate under the reference [G]. */
    readonly reference: ReadonlyArray<number>
  }>
}

/** Group under other weights. */
export interface WhatIfGroup {
  /** Weighted sums, [G]. */
  readonly totals: ArrayLike<number>
  /** Advantages, [G]. */
  readonly advantages: ArrayLike<number>
  /** Probabilities of a distillation's teacher over the candidates, [G]; empty for other losses. */
  readonly teacher: ArrayLike<number>
}

/** Returns the numbers of a trace that `recompute` reads. */
export const data = ({ groups, mode, normalise, rewards, softening, temperature }: GroupTrace): WhatIfData => ({
  mode,
  normalise,
  temperature,
  softening,
  weights: rewards.map(({ weight }) => weight),
  groups: groups.map(({ candidates, parts }) => ({ parts, reference: candidates.map(({ reference }) => reference) }))
})

/**
 * Calculates totals, advantages and a distillation's teacher for other weights, in the 32-bit floating point of the
 * program. Statistics over a batch are those over the groups of the trace.
 */
export const recompute = (
  { groups, mode, normalise, softening, temperature }: WhatIfData,
  weights: ReadonlyArray<number>
): ReadonlyArray<WhatIfGroup> => {
  const epsilon = 1e-4
  const meanOf = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
  const deviationOf = (values: ReadonlyArray<number>) => {
    const mean = meanOf(values)
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))
  }
  const rounded = (values: ReadonlyArray<number>) => Array.from(values, Math.fround)
  const zeros = (values: ReadonlyArray<unknown>) => values.map(() => 0)
  const standardised = (values: ReadonlyArray<number>, all: ReadonlyArray<number>) => {
    const mean = meanOf(all)
    const deviation = all.length < 2 ? 0 : deviationOf(all)
    return rounded(values.map((value) => (value - mean) / (deviation + epsilon)))
  }
  const centred = (values: ReadonlyArray<number>, divisor: number) => {
    const mean = meanOf(values)
    return rounded(values.map((value) => (value - mean) / divisor))
  }
  const normalised = (values: ReadonlyArray<number>) =>
    values.length < 2 ? zeros(values) : centred(values, deviationOf(values) + epsilon)
  /** Adds terms of a group by weight, one reward after the other. */
  const summed = (size: number, terms: ReadonlyArray<ReadonlyArray<number> | null>) => {
    let sums = Array.from({ length: size }, () => 0)
    for (const [r, term] of terms.entries()) {
      if (term !== null) sums = rounded(sums.map((sum, c) => sum + weights[r]! * term[c]!))
    }
    return sums
  }
  const everyOf = (r: number) => groups.flatMap(({ parts }) => parts[r] ?? [])
  const totals = groups.map(({ parts, reference }) =>
    summed(
      reference.length,
      parts.map((part, r) =>
        part === null || normalise === "none" ? part : standardised(part, normalise === "group" ? part : everyOf(r))
      )
    )
  )
  const overBatch = (all: ReadonlyArray<number>) => all.length < 2 ? Infinity : deviationOf(all) + epsilon
  const advantagesOf = (): ReadonlyArray<ReadonlyArray<number>> => {
    if (mode === "group") return totals.map(normalised)
    if (mode === "batch") return totals.map((total) => centred(total, overBatch(totals.flat())))
    if (mode === "centred") return totals.map((total) => centred(total, 1))
    if (mode === "leave-one-out") {
      return totals.map((total) => centred(total, total.length < 2 ? Infinity : (total.length - 1) / total.length))
    }
    if (mode === "per-reward") {
      const sums = groups.map(({ parts, reference }) =>
        summed(reference.length, parts.map((part) => part === null ? part : normalised(part)))
      )
      const all = sums.flat()
      const mean = meanOf(all)
      return sums.map((sum) =>
        all.length < 2 ? zeros(sum) : rounded(sum.map((value) => (value - mean) / overBatch(all)))
      )
    }
    return totals
  }
  const softmax = (scores: ReadonlyArray<number>) => {
    const most = Math.max(...scores)
    const odds = scores.map((score) => Math.exp(score - most))
    const sum = odds.reduce((a, b) => a + b, 0)
    return odds.map((odd) => odd / sum)
  }
  const advantages = advantagesOf()
  return groups.map(({ reference }, g) => ({
    totals: totals[g]!,
    advantages: advantages[g]!,
    teacher: temperature === null
      ? []
      : softmax(reference.map((logProb, c) => (logProb + advantages[g]![c]! / temperature) / softening))
  }))
}

/** Part of an element of the page that the script uses. */
export interface Element {
  value: string
  textContent: string | null
  addEventListener(kind: string, listener: () => void): void
}

/** Part of the document that the script uses. */
export interface Page {
  getElementById(id: string): Element | null
}

/**
 * Connects the controls of the weights to the cells of the page. Reward r has the slider `weight-r` and the number
 * `weight-r-number`; candidate c of group g has the cells `total-g-c`, `advantage-g-c` and, in a distillation,
 * `teacher-g-c`; the button `weights-reset` restores the weights of the run.
 */
export const attach = (page: Page, calculate: typeof recompute): void => {
  const known: WhatIfData = JSON.parse(page.getElementById("what-if-data")!.textContent!)
  const weights = [...known.weights]
  const write = (id: string, text: string) => {
    const cell = page.getElementById(id)
    if (cell !== null) cell.textContent = text
  }
  const show = () => {
    for (const [g, { advantages, teacher, totals }] of calculate(known, weights).entries()) {
      for (const c of Array.from(totals).keys()) {
        write(`total-${g}-${c}`, totals[c]!.toFixed(3))
        write(`advantage-${g}-${c}`, advantages[c]!.toFixed(3))
        if (c in teacher) write(`teacher-${g}-${c}`, `${(100 * teacher[c]!).toFixed(1)} %`)
      }
    }
  }
  const controls = known.weights.map((_, r) =>
    [`weight-${r}`, `weight-${r}-number`].map((id) => page.getElementById(id)!)
  )
  const set = (r: number, weight: number) => {
    weights[r] = weight
    for (const control of controls[r]!) if (Number(control.value) !== weight) control.value = String(weight)
  }
  for (const [r, both] of controls.entries()) {
    for (const control of both) {
      control.addEventListener("input", () => {
        const weight = Number(control.value)
        if (control.value === "" || !Number.isFinite(weight)) return
        set(r, weight)
        show()
      })
    }
  }
  page.getElementById("weights-reset")!.addEventListener("click", () => {
    for (const [r, weight] of known.weights.entries()) set(r, weight)
    show()
  })
}

/** Renders the data and the script for the controls and cells of a trace. */
export const script = (trace: GroupTrace): Markup =>
  html`<script type="application/json" id="what-if-data">${
    raw(JSON.stringify(data(trace)).replaceAll("<", "\\u003c"))
  }</script>
<script>(${raw(attach.toString())})(document, ${raw(recompute.toString())})</script>`
