import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Evaluate from "../../programs/Evaluate.ts"
import * as Output from "../../programs/Output.ts"
import * as EvaluationRecord from "../../src/evaluation/EvaluationRecord.ts"

const decode = Schema.decodeUnknownSync(EvaluationRecord.EvaluationRecord, { onExcessProperty: "error" })
const encode = Schema.encodeSync(EvaluationRecord.EvaluationRecord)

const oldRow = (name: string, value: number) => ({
  name,
  metrics: { "HR@1": value, "HR@5": value, "HR@10": value, "HR@20": value, "NDCG@10": value, MRR: value },
  ci95: { "HR@10": [value - 0.01, value + 0.01], "NDCG@10": [value - 0.01, value + 0.01] },
  coverage: 0.5,
  gini: 0.3,
  seconds: 1.25
})

/** A record as it was before it had both history modes, slices and a prior. */
const old = {
  dataset: "shop",
  protocol: { split: "leave-one-out", historyExcluded: true, ties: "as-is", collision: "extra-token" },
  users: 10,
  items: 20,
  invalid: 0,
  beams: 50,
  models: [oldRow("item-knn", 0.1), oldRow("sft", 0.2)],
  sidLevel: [oldRow("sft", 0.2)],
  differences: [{ name: "sft - item-knn", metric: "NDCG@10", difference: 0.1, ci95: [0.05, 0.15] }]
}

const slice = { "HR@10": 0.25, "NDCG@10": 0.125 }

/** A record of both modes; `historyExcluded` says which one is the run's own. */
const full = (historyExcluded: boolean) => {
  const rows = ["item-knn", "sft", "grpo", "sft + item-knn", "grpo + item-knn"].map((name, i) => {
    const row = oldRow(name, 0.1 + i / 100)
    return {
      ...row,
      metrics: { ...row.metrics, "HR@50": 0.5, "NDCG@50": 0.3 },
      slices: Object.fromEntries(["quartile 1", "quartile 2", "quartile 3", "quartile 4", "seen", "unseen"].map((
        part
      ) => [part, slice]))
    }
  })
  return {
    ...old,
    protocol: { ...old.protocol, historyExcluded, repeatedTargets: 3 },
    models: rows,
    kept: historyExcluded ? rows : [],
    excluded: historyExcluded ? [] : rows,
    slices: [
      ...[1, 2, 3, 4].map((n) => ({ name: `quartile ${n}`, users: 12_345, counts: [10 * n, 10 * n + 9] })),
      { name: "seen", users: 12_345 },
      { name: "unseen", users: 12_345 }
    ],
    differences: [
      { name: "grpo - sft", metric: "NDCG@10", difference: 0.001, ci95: [-0.002, 0.004] },
      { name: "grpo - sft", metric: "HR@50", difference: 0.02, ci95: [0.01, 0.03] },
      { name: "sft + item-knn - item-knn", metric: "NDCG@10", difference: 0.004, ci95: [0.002, 0.006] }
    ],
    otherDifferences: old.differences,
    fusion: {
      scorer: "item-knn",
      share: 0.02,
      users: 1000,
      historyExcluded,
      choices: [{
        phase: "sft",
        step: 372,
        weights: [{ weight: 0, ndcg: 0.0776 }, { weight: 4, ndcg: 0.1034 }, { weight: 6, ndcg: 0.1 }],
        weight: 4
      }],
      best: { phase: "sft", weight: 4, ndcg: 0.1034 }
    }
  }
}

describe("EvaluationRecord", () => {
  it("reads records of older runs", () => {
    const record = decode(old)
    assert.deepStrictEqual([record.kept, record.excluded, record.slices, record.otherDifferences], [[], [], [], []])
    assert.isUndefined(record.fusion)
    assert.deepStrictEqual(record.models[0]!.slices, {})
    assert.strictEqual(record.protocol.repeatedTargets, 0)
    const text = Output.describeRecord(record)
    assert.include(text, "SFT is better than ItemKNN: NDCG@10 +0.1000, 95 % interval [+0.0500, +0.1500].")
    for (const absent of ["undefined", "NaN", "The same", "training events"]) assert.notInclude(text, absent)
  })

  it("survives JSON, in both modes", () => {
    for (const historyExcluded of [true, false]) {
      const record = decode(full(historyExcluded))
      assert.deepStrictEqual(decode(JSON.parse(JSON.stringify(encode(record)))), record)
      const { history, rows } = EvaluationRecord.otherMode(record)
      assert.strictEqual(history, historyExcluded ? "history kept" : "history excluded")
      assert.strictEqual(rows.length, record.models.length)
      assert.include(Output.describeRecord(record), `The same, ${history}:`)
    }
  })

  it("is printed in at most 120 columns, with HR@50, both modes and every part of the users", () => {
    const text = Output.describeRecord(decode(full(true)))
    const tables = text.split("\n").filter((line) => /^(?:model|item-knn|sft|grpo) /.test(line))
    assert.strictEqual(tables.length, 3 * 6)
    for (const line of tables) assert.isAtMost(line.length, 120, line)
    for (const part of ["HR@50", "10-19 (12,345)", "seen (12,345)", "0.2500/0.1250"]) assert.include(text, part)
  })

  it("says what GRPO did by NDCG@10 with HR@50 beside it, and what recommend ranks with", () => {
    assert.deepStrictEqual(Evaluate.verdict(decode(full(true))), [
      "GRPO did not raise NDCG@10 over SFT: NDCG@10 +0.0010, 95 % interval [-0.0020, +0.0040], which includes no " +
      "difference. HR@50 +0.0200, 95 % interval [+0.0100, +0.0300].",
      "SFT + ItemKNN is better than ItemKNN: NDCG@10 +0.0040, 95 % interval [+0.0020, +0.0060].",
      "recommend ranks with sft + item-knn (weight 4), the best NDCG@10 on 1,000 validation users: sft 0.0776, " +
      "sft + item-knn (weight 4) 0.1034."
    ])
  })
})
