/**
 * Renders model rows as a text table.
 */
import { type ModelRow } from "./EvaluationRecord.ts"

const columns = ["HR@1", "HR@5", "HR@10", "HR@20", "NDCG@10", "MRR"] as const
const withInterval = new Set<string>(["HR@10", "NDCG@10"])

/** Returns a header and one line per model; HR@10 and NDCG@10 with their 95 % intervals. */
export const render = (rows: ReadonlyArray<ModelRow>): string => {
  const cells = [
    ["model", ...columns, "coverage", "seconds"],
    ...rows.map((row) => [
      row.name,
      ...columns.map((metric) => {
        const value = row.metrics[metric]!.toFixed(4)
        const bounds = row.ci95[metric]
        return withInterval.has(metric) && bounds !== undefined
          ? `${value} [${bounds[0].toFixed(4)} ${bounds[1].toFixed(4)}]`
          : value
      }),
      row.coverage.toFixed(3),
      row.seconds.toFixed(1)
    ])
  ]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  return cells.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("  ")
  )
    .join("\n")
}
