/**
 * Published data sets whose tables stand among other tables or have no header line, with their files and columns. They
 * are recognised by file names.
 */
import { type Columns, type Files } from "../table/TableConfig.ts"

/** A published data set of tables; `events` and `items` match file names. */
export interface Published {
  readonly name: string
  readonly events: RegExp
  readonly items?: RegExp
  readonly columns?: Columns
  readonly itemColumns?: Columns
  readonly form?: Files["form"]
  /** Whether the file of items is required, because the name of the events is too common. @default false */
  readonly both?: boolean
  /** Required columns of the events; tables of this name without them are other data. @default none */
  readonly needs?: ReadonlyArray<string>
}

/** Published data sets, the most specific names first. */
export const all: ReadonlyArray<Published> = [
  {
    name: "Yelp",
    events: /^yelp_(academic_dataset_|training_set_)?review\.(json|csv)/i,
    items: /^yelp_(academic_dataset_|training_set_)?business\.(json|csv)/i
  },
  { name: "Steam", events: /^steam_reviews?(_new)?\.json/i, items: /^steam_games\.json/i },
  { name: "goodbooks-10k", events: /^ratings\.csv/i, items: /^books\.csv/i, both: true, needs: ["user_id", "book_id"] },
  {
    name: "Book-Crossing",
    events: /^(BX-Book-)?Ratings\.csv/i,
    items: /^(BX[-_])?Books\.csv/i,
    both: true,
    needs: ["User-ID", "ISBN"]
  },
  {
    name: "Goodreads",
    events: /^goodreads_interactions(_\w+)?\.(json|csv)/i,
    items: /^goodreads_books(_\w+)?\.json/i
  },
  { name: "Food.com", events: /^RAW_interactions\.csv/i, items: /^RAW_recipes\.csv/i },
  {
    name: "MyAnimeList",
    events: /^animelist\.csv/i,
    items: /^anime\.csv/i,
    itemColumns: { item: "MAL_ID" },
    both: true,
    needs: ["user_id", "anime_id"]
  },
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
    // Most sessions have no user, so a sequence is a session.
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
    name: "Foursquare's check-ins",
    events: /^dataset_TSMC2014_(NYC|TKY)\.txt/i,
    items: /^(?!)/,
    form: {
      columns: ["user", "item", "category_id", "category", "latitude", "longitude", "offset", "time"],
      separator: "\t",
      quote: null
    }
  },
  {
    name: "Last.fm 1K",
    events: /^userid-timestamp-artid-artname-traid-traname\.tsv/i,
    items: /^(?!)/,
    form: { columns: ["user", "time", "artist_id", "artist", "item", "title"], separator: "\t", quote: null }
  },
  {
    name: "Last.fm 360K",
    events: /^usersha1-artmbid-artname-plays\.tsv/i,
    items: /^(?!)/,
    form: { columns: ["user", "item", "title", "plays"], separator: "\t", quote: null }
  },
  {
    name: "Gowalla or Brightkite",
    events: /^(loc-)?(gowalla|brightkite)_totalCheckins\.txt/i,
    items: /^(?!)/,
    form: { columns: ["user", "time", "latitude", "longitude", "item"], separator: "\t", quote: null }
  }
]

/** Returns the published data sets whose file names a folder has, or that `file` belongs to. */
export const find = (
  names: ReadonlyArray<string>,
  file?: string
): ReadonlyArray<{ readonly set: Published; readonly events: string; readonly items: string | undefined }> =>
  all.flatMap((set) => {
    const [events, ...others] = names.filter((name) =>
      set.events.test(name) && /^[^.]+(\.\w+)?(\.gz)?$/.test(name) && (file === undefined || file === name)
    )
    // Where a folder has several genres or countries, the user has to name one.
    if (events === undefined || others.length > 0) return []
    const items = set.items === undefined
      ? undefined
      : itemsBeside(events, names.filter((name) => set.items!.test(name)))
    return set.both === true && items === undefined ? [] : [{ set, events, items }]
  })

/** Returns, of several tables of items, the one whose name ends like that of the events. */
const itemsBeside = (events: string, names: ReadonlyArray<string>): string | undefined => {
  if (names.length < 2) return names[0]
  const end = /_[^_]+$/.exec(events)?.[0]
  return names.find((name) => end !== undefined && name.endsWith(end))
}
