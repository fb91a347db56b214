/**
 * Section on GRPO in a report: charts of steps and validations, seconds by phase, and alarms in words.
 */
import { type RunEvent } from "../run/RunLog.ts"
import * as Chart from "./Chart.ts"
import { html, type Markup, raw } from "./Html.ts"
import * as StepSeries from "./StepSeries.ts"

/** Returns whether a log has no GRPO events. */
export const isEmpty = (events: ReadonlyArray<RunEvent>): boolean =>
  !events.some(({ kind }) => kind.startsWith("grpo."))

/** Returns the alarms of the latest pass over each validation. */
const alarms = (events: ReadonlyArray<RunEvent>): ReadonlyArray<RunEvent> => {
  const kept: Array<RunEvent> = []
  for (const event of events) {
    if (event.kind === "grpo.alarm") kept.push(event)
    else if (event.kind === "grpo.validation") { while (kept.length > 0 && kept.at(-1)!.step >= event.step) kept.pop() }
  }
  return kept
}

/** Fields of a chart by their names in its legend. */
type Lines = Readonly<Record<string, string>>

const terms: ReadonlyArray<readonly [title: string, lines: Lines]> = [
  ["Loss of the objective", { loss: "loss" }],
  ["Divergence from the reference, nats", {
    kl: "objective's KL per step",
    candidateKl: "drawn candidates, mean",
    candidateKlP99: "drawn candidates, 99th percentile"
  }],
  ["Policy and teacher over the candidates, nats", {
    forward: "KL(teacher || policy)",
    reverse: "KL(policy || teacher)",
    teacherEntropy: "entropy of the teacher"
  }],
  ["Entropy over the children, nats", { entropy: "entropy" }],
  ["Ratios clipped, share", { clipped: "clipped" }],
  ["Probability of all candidates", { mass: "mass" }],
  ["Norm of the gradient, before clipping", { gradientNorm: "norm" }],
  ["Learning rate", { learningRate: "learning rate" }]
]

const work: ReadonlyArray<readonly [title: string, lines: Lines]> = [
  ["Tree nodes per group", { nodes: "computed", nodesSaved: "saved by merging" }],
  ["Positions per group, prompt included", {
    positions: "computed",
    positionsReplicated: "with a prompt for every candidate"
  }]
]

/** Fields of the first two charts. */
const shares: Lines = { usableGroupShare: "groups that teach", hitShare: "groups with the answer" }

/** Draws fields over steps; returns empty markup if none was recorded. */
const chart = (events: ReadonlyArray<RunEvent>, [title, lines]: readonly [string, Lines]): Markup => {
  const series = Object.entries(lines).map(([field, name]) => ({ name, points: StepSeries.points(events, field) }))
  return series.some(({ points }) => points.length > 0) ? Chart.lines(title, "step", series) : raw("")
}

const withPrefix = (events: ReadonlyArray<RunEvent>, prefix: string): ReadonlyArray<string> => [
  ...new Set(events.flatMap(({ fields }) => Object.keys(fields).filter((field) => field.startsWith(prefix))))
]

/** Draws a difference from the start with its interval. */
const difference = (
  validations: ReadonlyArray<RunEvent>,
  title: string,
  [value, low, high]: readonly [string, string, string]
): Markup => {
  const points = StepSeries.points(validations, value)
  const band = validations.flatMap(({ fields, step }) => {
    const [below, above] = [fields[low], fields[high]]
    return typeof below === "number" && typeof above === "number" ? [[step, below, above] as const] : []
  })
  return points.length === 0
    ? raw("")
    : Chart.lines(title, "step", [
      { name: "difference from the start, 95 % interval", points, band },
      { name: "the start", points: points.map(([step]) => [step, 0] as const) }
    ])
}

const seconds = (steps: ReadonlyArray<RunEvent>): Markup => {
  const phases = withPrefix(steps, "seconds.").map((field) => {
    const all = StepSeries.points(steps, field).reduce((sum, [, value]) => sum + value, 0)
    return { name: field.slice("seconds.".length), all }
  }).toSorted((a, b) => b.all - a.all)
  const total = phases.reduce((sum, { all }) => sum + all, 0)
  return phases.length === 0 ? raw("") : html`<h3>Seconds by phase</h3>
<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">Phase</th><th scope="col">Seconds</th><th scope="col">Per step</th><th scope="col">Share</th></tr></thead><tbody>${
    phases.map(({ all, name }) =>
      html`<tr><th scope="row">${name}</th><td>${all.toFixed(1)}</td><td>${(all / steps.length).toFixed(3)}</td><td>${
        (100 * all / Math.max(total, 1e-9)).toFixed(1)
      } %</td></tr>`
    )
  }</tbody></table></div>
<p class="quiet">A validation counts towards the step that follows it; the last one is in none.</p>`
}

const details = (summary: string, content: ReadonlyArray<Markup>): Markup => {
  const shown = content.filter(({ markup }) => markup !== "")
  return shown.length === 0
    ? raw("")
    : html`<details><summary>${summary}</summary><div class="charts">${shown}</div></details>`
}

/** Describes the mean of weights that the latest training ended with, if it chose one. */
const mixture = (events: ReadonlyArray<RunEvent>): Markup => {
  const begun = events.findLastIndex(({ kind, step }) => kind === "grpo.validation" && step === 0)
  const last = events.slice(begun + 1).findLast(({ kind }) => kind === "grpo.mixture")
  if (last === undefined) return raw("")
  const { fields } = last
  const shares = Object.keys(fields).flatMap((name) => /^NDCG@10 at (.+)$/.exec(name)?.[1] ?? [])
  return html`<p>Kept: the mean of the policy before and after training with the share ${String(fields["share"])} of the
trained weights. Validation by share: ${
    shares.map((share) =>
      `${share}: NDCG@10 ${Number(fields[`NDCG@10 at ${share}`]).toFixed(4)}, the target in the list of ${
        (100 * Number(fields[`breadth at ${share}`])).toFixed(1)
      } % of the users`
    ).join("; ")
  }.</p>`
}

/** Renders the alarms, charts and tables of a log. */
export const render = (events: ReadonlyArray<RunEvent>): Markup => {
  const steps = StepSeries.current(events, "grpo.step")
  const validations = StepSeries.current(events, "grpo.validation")
  const raised = alarms(events)
  const rewards = withPrefix(steps, "reward.")
  const known = new Set([
    "reward",
    ...[["", shares] as const, ...terms, ...work].flatMap(([, lines]) => Object.keys(lines))
  ])
  const others = withPrefix(steps, "").filter((field) => !known.has(field) && !/^(?:reward|seconds)\./.test(field))
  return html`${
    raised.length === 0
      ? html`<p class="quiet">No alarm was raised.</p>`
      : html`<ul class="alarms">${
        raised.map(({ fields, step }) =>
          html`<li><strong>${String(fields["name"])}</strong> at step ${step}: ${String(fields["message"])}</li>`
        )
      }</ul>`
  }${mixture(events)}
<div class="charts">
${
    Chart.lines("Mean reward: weighted sum, and each before its weight", "step", [
      { name: "weighted sum", points: StepSeries.points(steps, "reward") },
      ...rewards.map((name) => ({ name: name.slice("reward.".length), points: StepSeries.points(steps, name) }))
    ])
  }
${chart(steps, ["Share of groups", shares])}
${chart(validations, ["Validation NDCG@10 and HR@10", { "NDCG@10": "NDCG@10", "HR@10": "HR@10" }])}
${difference(validations, "Validation NDCG@10 against the start", ["difference", "differenceLow", "differenceHigh"])}
</div>
${
    details("Breadth, coldest quarter and concentration", [
      difference(validations, "Share of users whose target is in their list, against the start", [
        "breadthDifference",
        "breadthLow",
        "breadthHigh"
      ]),
      difference(validations, "HR@10 of the coldest quarter of the targets against the start", [
        "coldDifference",
        "coldLow",
        "coldHigh"
      ]),
      chart(validations, ["Users with the same first recommendation, share", { topShare: "share" }])
    ])
  }
${
    details("Objective, gradient and learning rate", [
      ...terms.map((one) => chart(steps, one)),
      ...others.map((field) => chart(steps, [field, { [field]: field }]))
    ])
  }
${details("Positions computed", work.map((one) => chart(steps, one)))}
${seconds(steps)}`
}
