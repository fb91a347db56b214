/**
 * Text tables of model rows, at most 120 characters wide.
 */
import { type EvaluationRecord, type ModelRow } from "./EvaluationRecord.ts"

const columns = ["HR@5", "HR@10", "HR@20", "HR@50", "NDCG@10", "MRR"] as const
const withInterval = new Set<string>(["HR@10", "NDCG@10"])
/** Cell of a metric that was not measured. */
const missing = "-"

/** Aligns cells [rows][columns]: the first column to the left, the others to the right. */
const aligned = (cells: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  return cells.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("  ")
  )
    .join("\n")
}

/** Renders one line per model; HR@10 and NDCG@10 with their 95 % intervals. */
export const render = (rows: ReadonlyArray<ModelRow>): string =>
  aligned([
    ["model", ...columns, "coverage", "seconds"],
    ...rows.map((row) => [
      row.name,
      ...columns.map((metric) => {
        const value = row.metrics[metric]?.toFixed(4) ?? missing
        const bounds = row.ci95[metric]
        return withInterval.has(metric) && bounds !== undefined
          ? `${value} [${bounds[0].toFixed(4)} ${bounds[1].toFixed(4)}]`
          : value
      }),
      row.coverage.toFixed(3),
      row.seconds.toFixed(1)
    ])
  ])

/**
 * Renders HR@10/NDCG@10 of every slice; a heading is the slice's training events or name, with its users in brackets.
 */
export const renderSlices = (
  rows: ReadonlyArray<ModelRow>,
  slices: EvaluationRecord["slices"]
): string =>
  aligned([
    [
      "model",
      ...slices.map(({ counts, name, users }) =>
        `${counts === undefined ? name : counts[0] === counts[1] ? `${counts[0]}` : `${counts[0]}-${counts[1]}`} (${
          users.toLocaleString("en")
        })`
      )
    ],
    ...rows.map((row) => [
      row.name,
      ...slices.map(({ name }) =>
        ["HR@10", "NDCG@10"].map((metric) => row.slices[name]?.[metric]?.toFixed(4) ?? missing).join("/")
      )
    ])
  ])
