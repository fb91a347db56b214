/**
 * Statistics of a data set before training: sizes, distributions, texts, repeats, ties, and the effect of a k-core.
 */
import * as Gini from "../statistics/Gini.ts"
import { type Count, type Dataset, events, type Malformed } from "./Dataset.ts"

/** Minimum, quartiles and maximum of counts, and their histogram over powers of two. */
export interface Distribution {
  readonly least: number
  readonly lower: number
  readonly median: number
  readonly upper: number
  readonly most: number
  readonly mean: number
  /** Gini coefficient: 0 when all counts are equal. */
  readonly gini: number
  /** Number of values in `from .. 2 from - 1`. */
  readonly histogram: ReadonlyArray<{ readonly from: number; readonly count: number }>
}

/** Numbers of users, items and events that remain in the k-core. */
export interface CoreOutlook {
  readonly k: number
  readonly users: number
  readonly items: number
  readonly events: number
}

/** Statistics of a data set. */
export interface Inspection {
  readonly name: string
  readonly users: number
  readonly items: number
  readonly events: number
  /** Share of user-item pairs without an event, 0 to 1. */
  readonly sparsity: number
  readonly lengths: Distribution
  readonly popularity: Distribution
  /** Share of events with an item of the most popular tenth. */
  readonly headShare: number
  /** Share of items with a non-empty field; a title that is the key counts as empty. */
  readonly coverage: Readonly<Record<"title" | "description" | "brand" | "categories", number>>
  readonly distinctTitles: number
  /** Number of events with an item that the user already had. */
  readonly repeats: number
  /** Share of consecutive events of a user with equal times; null where times are not known. */
  readonly tieShare: number | null
  /** Share of such ties in ascending order of item keys: near 0.5 for a random order, 1 for sorted ties, which leak. */
  readonly tiesAscending: number | null
  readonly split: { readonly train: number; readonly validation: number; readonly test: number } | null
  readonly cores: ReadonlyArray<CoreOutlook>
  readonly counts: ReadonlyArray<Count>
  readonly malformed: ReadonlyArray<Malformed>
  /** Remarks of the import. */
  readonly notes: ReadonlyArray<string>
}

const distribution = (values: ArrayLike<number>): Distribution => {
  const sorted = Float64Array.from(values).toSorted()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  const histogram: Array<{ from: number; count: number }> = []
  for (let from = 1; from <= at(1); from *= 2) {
    histogram.push({ from, count: sorted.filter((value) => value >= from && value < 2 * from).length })
  }
  return {
    least: at(0),
    lower: at(0.25),
    median: at(0.5),
    upper: at(0.75),
    most: at(1),
    mean: sorted.reduce((sum, value) => sum + value, 0) / Math.max(1, sorted.length),
    gini: Gini.of(sorted),
    histogram
  }
}

/** Computes the k-cores for increasing k, each from the previous one. */
const cores = (dataset: Dataset, most: number): ReadonlyArray<CoreOutlook> => {
  const { sequences } = dataset
  const total = events(dataset)
  const [items, users] = [new Int32Array(total), new Int32Array(total)]
  let at = 0
  for (const [user, list] of sequences.entries()) {
    items.set(list, at)
    users.fill(user, at, at + list.length)
    at += list.length
  }
  const [perUser, perItem] = [new Int32Array(sequences.length), new Int32Array(dataset.items.length)]
  let left = total
  /** Keeps, in place, the events of users or items with at least k events. */
  const keep = (of: Int32Array, counts: Int32Array, k: number): void => {
    counts.fill(0)
    for (let e = 0; e < left; e++) counts[of[e]!]!++
    let kept = 0
    for (let e = 0; e < left; e++) {
      if (counts[of[e]!]! < k) continue
      items[kept] = items[e]!
      users[kept++] = users[e]!
    }
    left = kept
  }
  const out: Array<CoreOutlook> = []
  for (let k = 2; k <= most; k++) {
    for (let before = -1; before !== left;) {
      before = left
      keep(users, perUser, k)
      keep(items, perItem, k)
    }
    // The last pass dropped nothing, so its counts are those of the remaining events.
    const met = (counts: Int32Array) => counts.reduce((sum, count) => sum + (count >= k ? 1 : 0), 0)
    out.push({ k, users: met(perUser), items: met(perItem), events: left })
  }
  return out
}

/** Computes the statistics of a data set. */
export const inspect = (dataset: Dataset): Inspection => {
  const { items, sequences, times } = dataset
  const total = events(dataset)
  const popularity = new Float64Array(items.length)
  let repeats = 0
  for (const list of sequences) {
    const seen = new Set<number>()
    for (const item of list) {
      popularity[item]!++
      if (seen.has(item)) repeats++
      seen.add(item)
    }
  }
  const sorted = popularity.toSorted().toReversed()
  const head = sorted.subarray(0, Math.ceil(items.length / 10)).reduce((sum, count) => sum + count, 0)
  let [ties, ascending] = [0, 0]
  for (const [user, own] of (times ?? []).entries()) {
    const list = sequences[user]!
    for (let at = 1; at < list.length; at++) {
      if (own[at] !== own[at - 1] || list[at] === list[at - 1]) continue
      ties++
      const [a, b] = [items[list[at - 1]!]!.key, items[list[at]!]!.key]
      const numbers = /^\d+$/.test(a) && /^\d+$/.test(b)
      if (numbers ? Number(a) < Number(b) : a < b) ascending++
    }
  }
  const share = (has: (item: Dataset["items"][number]) => boolean) =>
    items.filter(has).length / Math.max(1, items.length)
  const { split } = dataset
  return {
    name: dataset.name,
    users: sequences.length,
    items: items.length,
    events: total,
    sparsity: 1 - total / Math.max(1, sequences.length * items.length),
    lengths: distribution(sequences.map((list) => list.length)),
    popularity: distribution(popularity),
    headShare: head / Math.max(1, total),
    coverage: {
      title: share(({ key, title }) => title !== "" && title !== key),
      description: share(({ description }) => description !== ""),
      brand: share(({ brand }) => brand !== ""),
      categories: share(({ categories }) => categories.length > 0)
    },
    distinctTitles: new Set(items.map(({ title }) => title)).size,
    repeats,
    tieShare: times === undefined ? null : dataset.tieShare ?? 0,
    tiesAscending: ties === 0 ? null : ascending / ties,
    split: split === undefined
      ? null
      : { train: split.train.length, validation: split.validation.length, test: split.test.length },
    cores: cores(dataset, 10),
    counts: dataset.counts,
    malformed: dataset.malformed ?? [],
    notes: dataset.notes ?? []
  }
}

const number = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 2 })
const percent = (value: number) => `${(100 * value).toFixed(1)} %`

const describeDistribution = (what: string, of: Distribution): ReadonlyArray<string> => {
  const widest = of.histogram.reduce((most, { count }) => Math.max(most, count), 1)
  return [
    `${what}: minimum ${of.least}, quartiles ${of.lower} / ${of.median} / ${of.upper}, mean ${number(of.mean)}, ` +
    `maximum ${number(of.most)}, Gini ${of.gini.toFixed(3)}`,
    ...of.histogram.map(({ count, from }) =>
      `  ${`${from}..${2 * from - 1}`.padStart(13)} ${number(count).padStart(11)} ${
        "#".repeat(Math.ceil(40 * count / widest))
      }`
    )
  ]
}

/** Formats the statistics as text. */
export const describe = (of: Inspection): string =>
  [
    ...of.notes.map((note) => `note: ${note}`),
    ...of.counts.map(({ count, step }) => `  ${step}: ${number(count)}`),
    ...of.malformed.map(({ file, line, problem, value }) => `  ${file}, line ${line}: ${problem} (${value})`),
    `${of.name}: ${number(of.users)} users, ${number(of.items)} items, ${number(of.events)} events, sparsity ${
      percent(of.sparsity)
    }`,
    "",
    ...describeDistribution("Events per user", of.lengths),
    ...describeDistribution("Events per item", of.popularity),
    `The most popular tenth of the items has ${percent(of.headShare)} of the events.`,
    "",
    `Texts: title ${percent(of.coverage.title)}, description ${percent(of.coverage.description)}, brand ${
      percent(of.coverage.brand)
    }, categories ${percent(of.coverage.categories)} of the items; ${number(of.distinctTitles)} distinct titles`,
    of.coverage.title + of.coverage.description + of.coverage.categories > 0
      ? ""
      : "No item has a text: embeddings use co-occurrence only.",
    `Repeats of an item by a user: ${number(of.repeats)}`,
    of.tieShare === null
      ? "Times are not known, so ties are not known either."
      : `Consecutive events with equal times: ${percent(of.tieShare)}` +
        (of.tiesAscending === null ? "" : `, ${percent(of.tiesAscending)} of these in ascending order of item keys`) +
        (of.tiesAscending !== null && of.tiesAscending > 0.9
          ? ". Their order leaks the targets: also report a run with --ties shuffled."
          : of.tieShare > 0.05
          ? ". If their order in the file is not random, it leaks the targets: also report a run with --ties shuffled."
          : ""),
    of.split === null
      ? ""
      : `Split of its own: ${number(of.split.train)} training sequences, ${
        number(of.split.validation)
      } validation and ${number(of.split.test)} test targets`,
    "Remaining in a k-core:",
    ...of.cores.map(({ events, items, k, users }) =>
      `  --core ${k}: ${number(users)} users, ${number(items)} items, ${number(events)} events (${
        percent(events / Math.max(1, of.events))
      })`
    )
  ].filter((line, i, all) => line !== "" || all[i - 1] !== "").join("\n")
