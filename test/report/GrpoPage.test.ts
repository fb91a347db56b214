import { assert, describe, it } from "@effect/vitest"
import * as Chart from "../../src/report/Chart.ts"
import * as GrpoPage from "../../src/report/GrpoPage.ts"
import * as StepSeries from "../../src/report/StepSeries.ts"
import { type RunEvent } from "../../src/run/RunLog.ts"

const step = (step: number, reward: number): RunEvent => ({
  kind: "grpo.step",
  step,
  fields: { reward, "seconds.learn": 2, "seconds.rollout": 1, clipped: 0.1, candidateKl: 0.2, candidateKlP99: 3 }
})
const validation = (step: number, difference: number): RunEvent => ({
  kind: "grpo.validation",
  step,
  fields: { "NDCG@10": 0.1, difference, differenceLow: difference - 0.1, differenceHigh: difference + 0.1 }
})
const alarm = (step: number, name: string): RunEvent => ({
  kind: "grpo.alarm",
  step,
  fields: { name, message: `${name} of ${step}` }
})

describe("StepSeries.current", () => {
  it("counts steps as they were done last, after a stop and after a new beginning", () => {
    const events = [step(1, 1), validation(1, 0), step(2, 2), step(3, 3), step(2, 20), step(3, 30)]
    assert.deepStrictEqual(StepSeries.points(StepSeries.current(events, "grpo.step"), "reward"), [
      [1, 1],
      [2, 20],
      [3, 30]
    ])
    assert.deepStrictEqual(
      StepSeries.points(StepSeries.current([...events, step(1, 100)], "grpo.step"), "reward"),
      [[1, 100]]
    )
    assert.deepStrictEqual(StepSeries.points(events, "absent"), [])
  })
})

describe("GrpoPage.render", () => {
  it("lists the alarms that still hold, in words, with their steps", () => {
    const events = [
      validation(0, 0),
      step(1, 1),
      validation(2, -0.2),
      alarm(2, "reward-hacking"),
      alarm(2, "cold-items"),
      validation(4, 0),
      alarm(4, "concentration")
    ]
    const items = (markup: string) => [...markup.matchAll(/<li><strong>(.*?)<\/strong> (.*?)<\/li>/g)].map((m) => m[2])
    assert.deepStrictEqual(items(GrpoPage.render(events).markup), [
      "at step 2: reward-hacking of 2",
      "at step 2: cold-items of 2",
      "at step 4: concentration of 4"
    ])
    assert.deepStrictEqual(items(GrpoPage.render([...events, validation(4, 0)]).markup), [
      "at step 2: reward-hacking of 2",
      "at step 2: cold-items of 2"
    ])
    const anew = GrpoPage.render([...events, validation(0, 0)]).markup
    assert.deepStrictEqual(items(anew), [])
    assert.include(anew, "No alarm was raised")
  })

  it("says which mean of weights the latest training kept", () => {
    const kept: RunEvent = {
      kind: "grpo.mixture",
      step: 2,
      fields: {
        share: 0.5,
        "NDCG@10": 0.2,
        breadth: 0.5,
        "NDCG@10 at 1": 0.21,
        "breadth at 1": 0.4,
        "NDCG@10 at 0.5": 0.2,
        "breadth at 0.5": 0.5
      }
    }
    const events = [validation(0, 0), step(1, 1), step(2, 2), validation(2, 0.1)]
    const { markup } = GrpoPage.render([...events, kept])
    assert.include(markup, "with the share 0.5 of the")
    assert.include(markup, "1: NDCG@10 0.2100, the target in the list of 40.0 % of the users; 0.5: NDCG@10 0.2000")
    for (const none of [events, [...events, kept, validation(0, 0), step(1, 1)]]) {
      assert.notInclude(GrpoPage.render(none).markup, "Kept: the mean")
    }
  })

  it("draws what was recorded, and adds up the seconds of each phase", () => {
    const { markup } = GrpoPage.render([validation(0, 0), step(1, 1), step(2, 2), validation(2, 0.1)])
    for (
      const shown of ["Ratios clipped", "99th percentile", "against the start", "<td>4.0</td><td>2.000</td><td>66.7 %"]
    ) {
      assert.include(markup, shown)
    }
    for (const absent of ["Coldest quarter", "Learning rate", "Positions computed"]) assert.notInclude(markup, absent)
    assert.isTrue(GrpoPage.isEmpty([{ kind: "sft.step", step: 1, fields: {} }]))
    assert.isFalse(GrpoPage.isEmpty([step(1, 1)]))
  })
})

describe("Chart.lines", () => {
  it("draws a band around a line within the axes", () => {
    const { markup } = Chart.lines("c", "x", [{ name: "n", points: [[0, 0], [1, 1]], band: [[0, -1, 1], [1, 0, 3]] }])
    const path = /class="band l0" d="([^"]*)"/.exec(markup)![1]!
    const corners = [...path.matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const)
    assert.lengthOf(corners, 4)
    assert.isTrue(path.endsWith("Z"))
    const [low0, low1, high1, high0] = corners.map(([, y]) => y)
    // Down is larger: one unit is the same length everywhere.
    const unit = (low0! - high0!) / 2
    assert.closeTo(low1! - high1!, 3 * unit, 0.5)
    for (const [, y] of corners) assert.isTrue(y >= 12 && y <= 220 - 34)
  })
})
