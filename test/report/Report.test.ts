import { assert, describe, it } from "@effect/vitest"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as Chart from "../../src/report/Chart.ts"
import { html, raw } from "../../src/report/Html.ts"
import * as Report from "../../src/report/Report.ts"
import { type RunEvent } from "../../src/run/RunLog.ts"
import * as Diagnostics from "../../src/sid/Diagnostics.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Traces from "./Traces.ts"

const hostile = `</script><script>alert("x")</script> & "quotes" 'too'`

const groups = Traces.trace(Traces.parts([4, 3], 2, 1), {
  mode: "raw",
  normalise: "none",
  temperature: 1,
  rewards: [{ name: hostile, weight: 4 }, { name: "rule", weight: 1 }]
}, (g, c) => `${hostile} ${g} ${c}`)

const grpo: ReadonlyArray<RunEvent> = [
  { kind: "grpo.validation", step: 0, fields: { "NDCG@10": 0.1, difference: 0, differenceLow: 0, differenceHigh: 0 } },
  ...[1, 2].map((step) => ({
    kind: "grpo.step",
    step,
    fields: { reward: step, [`reward.${hostile}`]: step, usableGroupShare: 1, "seconds.learn": 0.5, custom: 3 }
  })),
  {
    kind: "grpo.validation",
    step: 2,
    fields: { "NDCG@10": 0.2, difference: 0.1, differenceLow: -0.05, differenceHigh: 0.2 }
  },
  { kind: "grpo.alarm", step: 2, fields: { name: "concentration", message: hostile } }
]

const page = (grpoIsKnown = false) => {
  const sids = [[0, 0], [0, 1], [1, 0]].map((codes) => Int32Array.from(codes))
  const index = SidIndex.make(sids, [2, 2], "extra-token")
  const slices = [
    { name: "quartile 1", examples: Int32Array.of(0), counts: [2, 5] as const },
    { name: "seen", examples: Int32Array.of() }
  ]
  const row = (name: string, better: number, longest?: number) =>
    Evaluator.row({
      name,
      ranking: { ranks: [{ better, tied: 0 }], top: [Int32Array.of(0)] },
      items: 3,
      seconds: 1,
      seed: 1,
      longest,
      slices
    })
  return Report.render({
    manifest: { version: 1, created: "now", name: hostile, seed: 1, settings: {}, versions: {}, hashes: { a: "b" } },
    counts: [{ step: hostile, count: 1 }],
    items: sids.map((_, i) => ({
      key: String(i),
      title: `${hostile} ${i}`,
      description: "",
      brand: "",
      categories: []
    })),
    index,
    diagnostics: Diagnostics.measure(sids, [2, 2]),
    events: [
      ...[1, 2, 2, 3].map((step, i) => ({ kind: "sft.step", step, fields: { loss: 3 - i } })),
      ...(grpoIsKnown ? grpo : [])
    ],
    ...(grpoIsKnown ? { groups } : {}),
    record: {
      dataset: "d",
      protocol: {
        split: "leave-one-out",
        historyExcluded: true,
        repeatedTargets: 1,
        ties: "as-is",
        collision: "extra-token"
      },
      users: 2,
      items: 3,
      invalid: 0,
      beams: 50,
      models: [row("sft", 1), row("sft + item-knn", 0, 20)],
      kept: [row("sft", 3)],
      excluded: [],
      slices: [{ name: "quartile 1", users: 1, counts: [2, 5] }, { name: hostile, users: 0 }],
      sidLevel: [row("sft", 1)],
      differences: [],
      otherDifferences: [],
      fusion: {
        scorer: "item-knn",
        share: 0.02,
        users: 7,
        historyExcluded: true,
        choices: [{
          phase: "sft",
          step: 3,
          weights: [{ weight: 0, ndcg: 0.1 }, { weight: 4, ndcg: 0.2468 }],
          weight: 4
        }],
        best: { phase: "sft", weight: 4, ndcg: 0.2468 }
      }
    },
    verdict: [hostile],
    examples: [{
      user: hostile,
      history: [hostile],
      recommendations: [{ title: hostile, logProb: -1, hit: true }, { title: "other", logProb: -2, hit: false }],
      truth: hostile
    }],
    settings: { note: hostile }
  })
}

describe("Report.render", () => {
  it("says nothing of GRPO where there was none", () => {
    const text = page()
    for (const word of ["GRPO", "<script", "what-if"]) assert.notInclude(text, word)
  })

  it("escapes everything that comes from data, and asks for nothing outside", () => {
    const text = page(true)
    assert.notInclude(text, "<script>alert")
    assert.include(text, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &quot;quotes&quot; &#39;too&#39;")
    assert.notMatch(text, /(?:src|href)="(?!#)/)
    assert.notMatch(text, /https?:\/\//)
    assert.notInclude(text, "undefined")
    assert.notInclude(text, "NaN")
    assert.include(text, "history excluded: 1 of 2 targets stands in the history and counts as a miss.")
  })

  it("shows both history modes, parts of the users, and the weights that validation chose from", () => {
    const text = page()
    for (
      const part of [
        "SFT + ItemKNN",
        "The same table, history kept",
        "2 to 5 training events, 1 users",
        "7 validation users, history excluded",
        `<td class="hit">0.2468</td>`
      ]
    ) assert.include(text, part)
    // A list of 20 cannot tell HR@50.
    assert.include(text, "<td>–</td>")
  })

  it("opens and closes its elements in order", () => {
    const open: Array<string> = []
    for (const [, close, name, self] of page(true).matchAll(/<(\/?)([a-z0-9]+)(?:[^>"]|"[^"]*")*?(\/?)>/g)) {
      if (self === "/" || name === "meta") continue
      if (close === "/") assert.strictEqual(open.pop(), name)
      else open.push(name!)
    }
    assert.deepStrictEqual(open, [])
  })
})

describe("Chart", () => {
  it("chooses round ticks within the range", () => {
    assert.deepStrictEqual([...Chart.ticks(0, 10)], [0, 2, 4, 6, 8, 10])
    assert.deepStrictEqual([...Chart.ticks(0.12, 0.31)].map((tick) => tick.toFixed(2)), [
      "0.15",
      "0.20",
      "0.25",
      "0.30"
    ])
    assert.deepStrictEqual([...Chart.ticks(3, 3)], [3])
  })
  it("says so when there is nothing to draw", () => {
    assert.include(Chart.lines("GRPO", "step", [{ name: "x", points: [] }]).markup, "nothing was recorded")
  })
})

describe("html", () => {
  it("escapes values but not markup", () => {
    assert.strictEqual(
      html`<p>${"<b>"}${raw("<i>")}${[html`${1}`, html`${"&"}`]}${undefined}</p>`.markup,
      "<p>&lt;b&gt;<i>1&amp;</p>"
    )
  })

  it("shows characters of control as escapes", () => {
    assert.strictEqual(html`<p>${"\u001b[31mred\u202e"}</p>`.markup, "<p>\\x1b[31mred\\u202e</p>")
  })
})
