/**
 * Tables of RecBole whose rows hold a history and the next item: `item_id_list:token_seq` and `item_id:token`, as in
 * its benchmark files.
 *
 * A row continues the previous row of its user; one that does not starts a new session, named `user#2`. In files for
 * training, validation and test, every row of the last two is a target with its own history.
 */
import * as Effect from "effect/Effect"
import * as Assemble from "../Assemble.ts"
import { CatalogError, NoEvents } from "../CatalogError.ts"
import { type Dataset, type Example } from "../Dataset.ts"
import * as Malformed from "../reader/Malformed.ts"
import { TableReader } from "../reader/TableReader.ts"
import * as CellList from "../table/CellList.ts"
import * as ColumnRoles from "../table/ColumnRoles.ts"
import * as EventTable from "../table/EventTable.ts"
import { type TableConfig } from "../table/TableConfig.ts"

/** Returns the columns of user, history and next item; undefined for other tables. */
export const columnsOf = (
  found: ReadonlyArray<string>
): { readonly user: string; readonly history: string; readonly item: string } | undefined => {
  const user = ColumnRoles.columnOf("user", found, {})
  const item = ColumnRoles.columnOf("item", found, {})
  const history = found.find((column) => item !== undefined && untyped(column) === `${untyped(item)}_list`)
  return user === undefined || item === undefined || history === undefined ? undefined : { user, history, item }
}

const untyped = (column: string): string => column.replace(/:\w+$/, "")

/** Returns whether `list` ends with `part`. */
const endsWith = (list: ReadonlyArray<number>, part: ReadonlyArray<number>): boolean =>
  part.length <= list.length && part.every((item, at) => item === list[list.length - part.length + at])

const beginsWith = (list: ReadonlyArray<number>, part: ReadonlyArray<number>): boolean =>
  part.length <= list.length && part.every((item, at) => item === list[at])

/** Reads the tables. */
export const load = Effect.fn("RecBoleSequences.load")(function*(
  name: string,
  { events, items: itemFiles, parts = [] }: EventTable.Tables,
  { history, item, user }: NonNullable<ReturnType<typeof columnsOf>>,
  config: TableConfig,
  strict: boolean
) {
  const numbers = new Map<string, number>()
  const numberOf = (key: string): number => {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, numbers.size)
    return numbers.size - 1
  }
  const userKeys: Array<string> = []
  const sequences: Array<Array<number>> = []
  /** Sessions of each user. */
  const sessions = new Map<string, Array<number>>()
  const sessionOf = (key: string, before: ReadonlyArray<number>): number => {
    const own = sessions.get(key) ?? []
    const known = own.find((session) => before.length > 0 && endsWith(sequences[session]!, before))
    if (known !== undefined) return known
    sessions.set(key, [...own, sequences.length])
    userKeys.push(own.length === 0 ? key : `${key}#${own.length + 1}`)
    sequences.push([...before])
    return sequences.length - 1
  }
  const examples: readonly [Array<Example>, Array<Example>] = [[], []]
  const train: Array<Int32Array> = []
  const found: Array<Malformed.Findings> = []
  for (const [at, file] of events.files.entries()) {
    const part = parts[at] ?? 0
    // The files of validation and test come after those of training.
    if (part > 0 && train.length === 0) train.push(...sequences.map((items) => Int32Array.from(items)))
    const { findings, rows } = yield* (yield* TableReader).read(file, [user, history, item], {
      form: events.form,
      key: item,
      missing: config.missing
    })
    yield* Malformed.settle(file, findings, strict)
    found.push(findings)
    for (const [key, list, next] of rows) {
      const before = CellList.keysOf(list ?? "").map(numberOf)
      const target = numberOf(next!)
      // Rows may be sorted from long histories to short ones.
      const told = sessions.get(key ?? "")?.find((session) => beginsWith(sequences[session]!, [...before, target]))
      const session = told ?? sessionOf(key ?? "", before)
      if (told === undefined) sequences[session]!.push(target)
      if (part > 0) examples[part - 1]!.push({ user: session, history: Int32Array.from(before), target })
    }
  }
  if (sequences.length === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${events.files.join(", ")} have no rows` }) })
  }
  while (train.length < sequences.length) train.push(new Int32Array(0))
  const texts = itemFiles === undefined
    ? undefined
    : yield* EventTable.readItems(itemFiles, config, numbers)
  if (texts !== undefined) yield* Malformed.settle(itemFiles!.files[0]!, texts.findings, strict)
  const { malformed, problems } = Malformed.joined([...found, ...(texts === undefined ? [] : [texts.findings])])
  const isSplit = parts.some((part) => part === 2)
  const [validation, test] = examples
  if (isSplit && validation.length === 0) {
    for (const [u, items] of train.entries()) {
      if (items.length < 3) continue
      train[u] = items.subarray(0, -1)
      validation.push({ user: u, history: train[u], target: items.at(-1)! })
    }
  }
  const dataset: Dataset = {
    name,
    items: [...numbers.keys()].map((key) => texts?.items.get(key) ?? Assemble.nameless(key)),
    userKeys,
    sequences: sequences.map((items) => Int32Array.from(items)),
    ...(isSplit ? { split: { train, validation, test } } : {}),
    counts: [
      { step: "rows read", count: found.reduce((sum, { rows }) => sum + rows, 0) },
      { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
      ...problems
    ],
    malformed,
    notes: [
      `rows are read as histories ("${history}") and the item after them ("${item}")` +
      (isSplit ? "; the files are the split" : "")
    ]
  }
  return dataset
})
