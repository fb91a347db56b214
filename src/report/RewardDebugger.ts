/**
 * Reward debugger of a report: the candidates of some prompts as trees, with rewards, advantages, the change of their
 * probabilities by GRPO, and controls for the weights of the rewards.
 */
import {
  type GroupTrace,
  type TracedCandidate,
  type TracedGroup,
  type TracedNode
} from "../grpo/monitoring/GroupTrace.ts"
import { html, type Markup, raw } from "./Html.ts"
import * as WhatIf from "./WhatIf.ts"

const modes: Readonly<Record<GroupTrace["mode"], string>> = {
  group: "the total less the mean of its group, over the group's deviation",
  batch: "the total less the mean of its group, over the deviation of all totals shown here (of the batch in training)",
  centred: "the total less the mean of its group",
  "leave-one-out": "the total less the mean of the other candidates",
  "per-reward":
    "each reward normalised by its group, summed by weight, then normalised over all prompts shown here (over " +
    "the batch in training)",
  raw: "the total itself"
}

const normalised: Readonly<Record<GroupTrace["normalise"], string>> = {
  none: "",
  group: ", each standardised over its group first",
  batch: ", each standardised over all prompts shown here first (over the batch in training)"
}

const percent = (share: number): string =>
  share > 0 && share < 5e-5 ? "< 0.01 %" : `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`

/** Candidate with its place in its group. */
interface Placed {
  readonly c: number
  readonly candidate: TracedCandidate
}

/** Row of the table: a prefix, or the candidates of one SID. */
interface Row {
  readonly depth: number
  readonly tokens: string
  readonly node: TracedNode
  readonly candidates: ReadonlyArray<Placed>
}

/**
 * Lays out a tree depth first, more probable branches first; a prefix with one continuation and without candidates is
 * merged with its continuation.
 */
const rows = ({ candidates, nodes }: TracedGroup): ReadonlyArray<Row> => {
  const children = new Map<number, Array<number>>()
  for (const [n, { parent }] of nodes.entries()) children.set(parent, [...children.get(parent) ?? [], n])
  const own = new Map<number, Array<Placed>>()
  for (const [c, candidate] of candidates.entries()) {
    own.set(candidate.node, [...own.get(candidate.node) ?? [], { c, candidate }])
  }
  const found: Array<Row> = []
  const visit = (parent: number, depth: number) => {
    for (const first of (children.get(parent) ?? []).toSorted((a, b) => nodes[b]!.after - nodes[a]!.after)) {
      let n = first
      let tokens = nodes[n]!.token
      while (!own.has(n) && children.get(n)?.length === 1) {
        n = children.get(n)![0]!
        tokens += nodes[n]!.token
      }
      found.push({ depth, tokens, node: nodes[n]!, candidates: own.get(n) ?? [] })
      visit(n, depth + 1)
    }
  }
  visit(-1, 0)
  return found
}

/** Returns the softmax of the trained policy's log-probabilities over the candidates of a group. */
const shares = (candidates: ReadonlyArray<TracedCandidate>): ReadonlyArray<number> => {
  const most = Math.max(...candidates.map(({ policy }) => policy))
  const odds = candidates.map(({ policy }) => Math.exp(policy - most))
  const sum = odds.reduce((a, b) => a + b, 0)
  return odds.map((odd) => odd / sum)
}

const table = (trace: GroupTrace, group: TracedGroup, g: number, now: WhatIf.WhatIfGroup): Markup => {
  const distils = trace.temperature !== null
  const among = shares(group.candidates)
  const heads = [
    "Before",
    "After",
    ...trace.rewards.map(({ name }) => name),
    "Total",
    "Advantage",
    ...(distils ? ["Teacher", "Policy"] : []),
    "KL before",
    "KL after"
  ]
  const indent = (depth: number) => raw(` style="padding-left:${8 + 16 * depth}px"`)
  const line = ({ depth, tokens }: Row, { c, candidate }: Placed) =>
    html`<tr${raw(candidate.hit ? ` class="hit"` : "")}><th scope="row"${
      indent(depth)
    }><code>${tokens}</code> ${candidate.title}${raw(candidate.hit ? " (the answer)" : "")}</th><td>${
      percent(Math.exp(candidate.before))
    }</td><td>${percent(Math.exp(candidate.after))}</td>${
      group.parts.map((part) => html`<td>${part === null ? "–" : part[c]!.toFixed(3)}</td>`)
    }<td class="what" id="total-${g}-${c}">${
      candidate.total.toFixed(3)
    }</td><td class="what" id="advantage-${g}-${c}">${candidate.advantage.toFixed(3)}</td>${
      distils
        ? html`<td class="what" id="teacher-${g}-${c}">${(100 * now.teacher[c]!).toFixed(1)} %</td><td>${
          (100 * among[c]!).toFixed(1)
        } %</td>`
        : raw("")
    }<td>${Math.max(0, candidate.klBefore).toFixed(3)}</td><td>${Math.max(0, candidate.klAfter).toFixed(3)}</td></tr>`
  return html`<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">SID and item</th>${
    heads.map((head) => html`<th scope="col">${head}</th>`)
  }</tr></thead><tbody>${
    rows(group).flatMap((row) =>
      row.candidates.length > 0 ? row.candidates.map((placed) => line(row, placed)) : [
        html`<tr class="node"><th scope="row"${indent(row.depth)}><code>${row.tokens}</code></th><td>${
          percent(Math.exp(row.node.before))
        }</td><td>${percent(Math.exp(row.node.after))}</td><td colspan="${heads.length - 2}"></td></tr>`
      ]
    )
  }</tbody></table></div>`
}

/** Describes the answer's probability before and after. */
const outcome = ({ candidates, truth }: TracedGroup): string => {
  const answer = candidates.find(({ hit }) => hit)
  return truth === null
    ? "no answer is known"
    : answer === undefined
    ? `the answer, ${truth}, is not among the candidates`
    : `the answer, ${truth}: ${percent(Math.exp(answer.before))} before, ${percent(Math.exp(answer.after))} after`
}

const control = ({ name, weight }: GroupTrace["rewards"][number], r: number): Markup => {
  const most = 2 * Math.max(1, Math.abs(weight))
  return html`<label><span>${name}</span><input type="range" id="weight-${r}" min="${-most}" max="${most}" step="any" value="${weight}" aria-label="${name}, slider"/><input type="number" id="weight-${r}-number" step="any" value="${weight}" aria-label="${name}, weight"/></label>`
}

/** Renders the section, with its script and its data. */
export const render = (trace: GroupTrace): Markup => {
  const { groups, mode, normalise, objective, rewards, softening, step, temperature } = trace
  const known = WhatIf.data(trace)
  const now = WhatIf.recompute(known, known.weights)
  return html`<h3>Reward debugger</h3>
<p>Candidates of ${groups.length} validation users, drawn as in training by the policy that was kept, of step ${step}.
Before: its probability under the policy that training began with; after: under the one that was kept. A total is the sum of the rewards
by weight${normalised[normalise]}; an advantage is ${modes[mode]}.${
    temperature === null
      ? raw("")
      : html` The teacher of the distillation is softmax((log p(reference) + advantage / ${temperature}) / ${softening}) over the candidates;
the policy beside it is softmax(log p) over the same.`
  } KL: of the policy from the reference, exact over the children of every node that the candidate passes, summed, in
nats. Objective: ${objective}.</p>
<fieldset class="weights"><legend>What if a weight were another?</legend>${
    rewards.map(control)
  }<button type="button" id="weights-reset">Weights of the run</button></fieldset>
${
    groups.map((group, g) =>
      html`<details class="group"${raw(g === 0 ? " open" : "")}><summary>${group.user}: ${
        outcome(group)
      }</summary><p class="quiet">History, oldest first: ${group.history.join(" · ")}</p>${
        table(trace, group, g, now[g]!)
      }</details>`
    )
  }
${WhatIf.script(trace)}`
}
