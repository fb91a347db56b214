/**
 * Published data sets that are tables among other tables, or without a header line: which of their files are read, and
 * as what. Files are told by their names.
 */
import { type Columns, type Files } from "../table/TableConfig.ts"

/** A published set of tables. */
export interface Published {
  readonly name: string
  readonly events: RegExp
  readonly items?: RegExp
  readonly columns?: Columns
  readonly itemColumns?: Columns
  readonly form?: Files["form"]
  /** Events without one of these columns are another table of the same name. */
  readonly needs?: ReadonlyArray<string>
}

/** The sets, the most telling names first. */
export const all: ReadonlyArray<Published> = [
  {
    name: "Yelp",
    events: /^yelp_(academic_dataset_|training_set_)?review\.json/i,
    items: /^yelp_(academic_dataset_|training_set_)?business\.json/i
  },
  { name: "Steam", events: /^steam_reviews?(_new)?\.json/i, items: /^steam_games\.json/i },
  { name: "goodbooks-10k", events: /^ratings\.csv/i, items: /^books\.csv/i },
  {
    name: "H&M",
    events: /^transactions_train\.csv/i,
    items: /^articles\.csv/i,
    columns: { user: "customer_id", item: "article_id", time: "t_dat" }
  },
  {
    name: "Diginetica",
    events: /^train-item-views\.csv/i,
    items: /^(?!)/,
    // Most sessions have no user: a session is the sequence.
    columns: { user: "sessionId", item: "itemId", time: ["eventdate", "timeframe"] },
    needs: ["sessionId", "itemId", "eventdate", "timeframe"]
  },
  { name: "Tmall", events: /^user_log(_format1)?\.csv/i, items: /^(?!)/ },
  { name: "Tianchi's mobile recommendation", events: /^tianchi_mobile_recommend_train_user\.csv/i, items: /^(?!)/ },
  { name: "Last.fm of HetRec 2011", events: /^user_artists\.dat/i, items: /^artists\.dat/i },
  {
    name: "Taobao's user behaviour",
    events: /^UserBehavior\.csv/i,
    items: /^(?!)/,
    form: { columns: ["user", "item", "category", "behavior", "timestamp"], separator: "," }
  },
  {
    name: "YooChoose",
    events: /^yoochoose-clicks\.dat/i,
    items: /^(?!)/,
    form: { columns: ["session", "timestamp", "item", "category"], separator: "," }
  },
  {
    name: "Gowalla",
    events: /^(loc-)?gowalla_totalCheckins\.txt/i,
    items: /^(?!)/,
    form: { columns: ["user", "time", "latitude", "longitude", "item"], separator: "\t", quote: null }
  }
]

/** The files of a published set in a folder, or the one that a file belongs to. */
export const find = (
  names: ReadonlyArray<string>,
  file?: string
): { readonly set: Published; readonly events: string; readonly items: string | undefined } | undefined => {
  for (const set of all) {
    const events = names.find((name) => set.events.test(name) && /^[^.]+(\.\w+)?(\.gz)?$/.test(name))
    if (events === undefined || (file !== undefined && file !== events)) continue
    const items = set.items === undefined ? undefined : names.find((name) => set.items!.test(name))
    // Any shop may have a ratings.csv.
    if (set.name === "goodbooks-10k" && items === undefined) continue
    return { set, events, items }
  }
  return undefined
}
