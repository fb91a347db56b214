/**
 * Prints results on standard output, as text or JSON, and notes on standard error.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type Dataset, events } from "../src/catalog/Dataset.ts"
import * as EvaluationRecord from "../src/evaluation/EvaluationRecord.ts"
import * as Table from "../src/evaluation/Table.ts"
import * as Diagnostics from "../src/sid/Diagnostics.ts"
import * as Printable from "../src/text/Printable.ts"
import * as Evaluate from "./Evaluate.ts"
import type * as Laboratory from "./Laboratory.ts"
import * as Note from "./Note.ts"
import { type Answer } from "./Recommend.ts"
import { type NewSid, type Tokenized } from "./Tokenize.ts"

/** Whether results are printed as JSON. */
export const AsJson = Context.Reference<boolean>("sidereal/programs/AsJson", { defaultValue: () => false })

/** Prints a note on standard error. */
export const note = Note.print

/** Prints a result: `value` as one JSON line, or `text`. */
export const result = Effect.fnUntraced(function*(value: unknown, text: string) {
  yield* Console.log((yield* AsJson) ? Printable.json(value) : Printable.text(text))
})

/** Describes a data set by its counts. */
export const describeDataset = (dataset: Dataset): string => {
  const users = dataset.sequences.length
  const total = events(dataset)
  return [
    ...dataset.counts.map(({ count, step }) => `  ${step}: ${count.toLocaleString("en")}`),
    `${dataset.name}: ${users.toLocaleString("en")} users, ${dataset.items.length.toLocaleString("en")} items, ` +
    `${total.toLocaleString("en")} events, ${(total / Math.max(1, users)).toFixed(1)} per user`
  ].join("\n")
}

/** Describes the quality of SIDs. */
export const describeSids = ({ diagnosis, index, quantizer }: Tokenized): string => {
  const { nodes } = Diagnostics.shape(index.trie)
  return [
    `SIDs by ${quantizer}: ${diagnosis.distinct} distinct of ${diagnosis.items} items ` +
    `(${(100 * diagnosis.collisionRate).toFixed(1)} % collisions), policy ${index.collisionPolicy}, ` +
    `${(100 * diagnosis.varianceLeft).toFixed(1)} % of the variance lost, ${
      nodes.slice(1).join(" + ")
    } prefixes by level`,
    ...diagnosis.levels.map((level, l) =>
      `  level ${String.fromCharCode(97 + l)}: ${level.used} of ${level.codes} codes used, perplexity ${
        level.perplexity.toFixed(1)
      }`
    )
  ].join("\n")
}

/** Describes SIDs of new items with their neighbours. */
export const describeNewSids = (sids: ReadonlyArray<NewSid>): string =>
  sids.flatMap(({ free, nearest, sharedWith, sid, text }) => [
    `${Printable.line(text)}: ${sid}, ${
      free
        ? "free"
        : sharedWith.length === 0
        ? "not free: it is part of another SID"
        : `not free: ${sharedWith.map(Printable.line).join(", ")}`
    }`,
    ...nearest.map((near) => `  ${near.similarity.toFixed(3)}  ${near.sid}  ${Printable.line(near.title)}`)
  ]).join("\n")

/** Describes a comparison of tokenizers. */
export const describeLaboratory = (found: Effect.Success<ReturnType<typeof Laboratory.program>>): string =>
  [
    `${"tokenizer".padEnd(18)} NDCG@10    bits  collisions  lost   seconds`,
    ...found.entries.toSorted((a, b) => b.prediction.ndcg10 - a.prediction.ndcg10).map((entry) =>
      [
        entry.name.padEnd(18),
        entry.prediction.ndcg10.toFixed(4).padStart(7),
        entry.prediction.bits.toFixed(2).padStart(7),
        `${(100 * entry.collisionRate).toFixed(1)} %`.padStart(11),
        `${(100 * entry.varianceLeft).toFixed(1)} %`.padStart(7),
        entry.seconds.toFixed(1).padStart(7)
      ].join(" ")
    ),
    "",
    ...(found.recommendation === undefined
      ? []
      : [`Recommended: ${found.recommendation.name}`, ...found.recommendation.reasons.map((reason) => `  ${reason}`)]),
    `Page: ${found.page}`
  ].join("\n")

/** Describes an evaluation: the comparison tables, of both history modes and of parts of the users, and the verdict. */
export const describeRecord = (record: EvaluationRecord.EvaluationRecord): string => {
  const { history, rows } = EvaluationRecord.otherMode(record)
  return [
    `${record.dataset}: ${record.users} users, ${record.items} items, ${record.protocol.split}, full ranking, ` +
    `${record.beams} beams, ${record.invalid} invalid SIDs, ${EvaluationRecord.describeHistory(record)}`,
    "",
    Table.render(record.models),
    "",
    ...(rows.length === 0 ? [] : [`The same, ${history}:`, Table.render(rows), ""]),
    ...(record.slices.length === 0 ? [] : [
      "HR@10/NDCG@10 by training events of the target, and by whether it follows the last item in training (users):",
      Table.renderSlices(record.models, record.slices),
      ""
    ]),
    ...Evaluate.verdict(record)
  ].join("\n")
}

/** Describes recommendations with the policy's probabilities, and the model that ranked them. */
export const describeAnswer = ({ history, model, reason, recommendations, weight }: Answer): string =>
  [
    `After ${history.length} item(s), the last being "${Printable.line(history.at(-1) ?? "nothing")}":`,
    `Ranked by ${model}${weight > 0 ? ` (weight ${weight})` : ""}: ${Printable.line(reason)}`,
    ...(recommendations.length > 0 ? [] : ["nothing is left to recommend: the history holds the whole catalogue"]),
    ...recommendations.map(({ probability, sid, title }, i) =>
      `${String(i + 1).padStart(3)}. ${(100 * probability).toFixed(2).padStart(6)} %  ${Printable.line(title)}  ${sid}`
    )
  ].join("\n")
