/**
 * Roles of the columns of a table, by their usual names or by `sidereal.json`.
 */
import { type Files } from "./TableConfig.ts"

/**
 * Usual names of columns, the most specific first. Case, spaces and punctuation are ignored: `Customer ID` matches
 * `customer_id`.
 */
export const usualNames = {
  user: [
    "user_id",
    "user",
    "uid",
    "username",
    "user_name",
    "customer_id",
    "customer",
    "reviewerID",
    "reviewer",
    "review_profilename",
    "visitor_id",
    "member_id",
    "account_id",
    "client_id",
    "buyer_id",
    "listener_id",
    "reader_id",
    "profile_id",
    "session_id",
    "session"
  ],
  item: [
    "item_id",
    "item",
    "iid",
    "parent_asin",
    "asin",
    "product_id",
    "product",
    "movie_id",
    "StockCode",
    "sku",
    "business_id",
    "book_id",
    "article_id",
    "track_id",
    "song_id",
    "artist_id",
    "album_id",
    "news_id",
    "game_id",
    "app_id",
    "video_id",
    "anime_id",
    "recipe_id",
    "beer_id",
    "beer_beerid",
    "venue_id",
    "poi_id",
    "hotel_id",
    "offer_id",
    "listing_id",
    "course_id",
    "content_id",
    "gmap_id",
    "isbn",
    "aid"
  ],
  time: [
    "timestamp",
    "time",
    "unixReviewTime",
    "sort_timestamp",
    "date",
    "datetime",
    "date_time",
    "created_at",
    "event_time",
    "InvoiceDate",
    "time_stamp",
    "ts",
    "t_dat",
    "timestamp_ms",
    "unix_time",
    "utc_time",
    "event_date",
    "event_timestamp",
    "timeframe",
    "purchase_date",
    "order_date",
    "review_date",
    "review_time",
    "date_updated",
    "updated_at",
    "date_added",
    "added_at",
    "utc_timestamp",
    "visit_time",
    "interaction_time",
    "click_time",
    "start_time",
    "timestamps",
    "times",
    "played_at",
    "watched_at",
    "submitted",
    "day"
  ],
  rating: ["rating", "overall", "stars", "score", "review_overall", "book_rating"],
  title: [
    "title",
    "item_title",
    "movie_title",
    "name",
    "item_name",
    "product_name",
    "product_title",
    "prod_name",
    "book_title",
    "track_name",
    "song_title",
    "artist_name",
    "app_name",
    "game_title",
    "headline",
    "original_title",
    "beer_name",
    "Description"
  ],
  description: ["description", "text", "summary", "features", "abstract", "detail_desc", "about", "short_description"],
  brand: ["brand", "store", "manufacturer", "publisher", "authors", "author", "artist", "developer"],
  categories: [
    "categories",
    "category",
    "genres",
    "genre",
    "class",
    "main_category",
    "main_cat",
    "product_type_name",
    "tags"
  ]
} as const

/** Role of a column. */
export type Role = keyof typeof usualNames

/** Removes RecBole's type from a column name: `user_id:token` becomes `user_id`. */
const untyped = (column: string): string => column.replace(/:(token|token_seq|float|float_seq)$/, "")

/** Returns the letters and digits of a name, in lower case. */
const plain = (column: string): string => untyped(column).toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "")

const plainNames = Object.fromEntries(
  Object.entries(usualNames).map(([role, names]) => [role, [...new Set(names.map(plain))]])
) as unknown as Readonly<Record<Role, ReadonlyArray<string>>>

/** Returns the columns of a table with a role, the most usual name first. */
export const columnsOf = (
  role: Role,
  found: ReadonlyArray<string>,
  columns: Files["columns"]
): ReadonlyArray<string> => {
  const given = columns[role]
  if (given !== undefined) return [given].flat().every((name) => found.includes(name)) ? [given].flat() : []
  const all = plainNames[role].flatMap((name) => found.find((column) => plain(column) === name) ?? [])
  // A description is used as title only where there is no other title.
  return role === "title" && all.length > 1 ? all.filter((column) => plain(column) !== "description") : all
}

/** Returns whether a column is a day or hour that is only part of a date, beside columns of months or years. */
export const isPartOfDate = (column: string, found: ReadonlyArray<string>): boolean =>
  ["day", "hour", "dayofmonth"].includes(plain(column)) &&
  found.some((other) => ["month", "year"].includes(plain(other)))

/** Returns whether a column's name means several items per cell: `items`, `item_ids`, `item_id_list`, `sequence`. */
export const isListOfItems = (column: string): boolean =>
  /^((item|product|article|movie|track|song|news|video|book|poi|aid|asin|sku)s?(id)?s?(list|seq|sequence|history)?|history|sequence|seq|basket|clicks)$/
    .test(plain(column)) && columnOf("item", [column], {}) === undefined

/** Returns the column of a table with a role; undefined if there is none. */
export const columnOf = (
  role: Role,
  found: ReadonlyArray<string>,
  columns: Files["columns"]
): string | undefined => columnsOf(role, found, columns)[0]

/**
 * Returns the key column of a table of items: one with a usual name, else `id`, which in a table of events may mean
 * something else.
 */
export const itemKeyOf = (
  found: ReadonlyArray<string>,
  { columns, hint }: Pick<Files, "columns" | "hint">
): string | undefined =>
  columns.item === undefined
    ? found.find((column) => column === hint) ?? columnOf("item", found, columns) ??
      found.find((column) => ["id", "key"].includes(plain(column)))
    : columnOf("item", found, columns)

/**
 * Returns the known order of day and month of a published table: Online Retail writes the month first.
 */
export const dateOrderOf = (found: ReadonlyArray<string>): "month-first" | undefined =>
  found.includes("StockCode") && found.includes("InvoiceDate") ? "month-first" : undefined

/** Names of columns that occur in tables of reviews, whose titles are those of reviews. */
const reviewNames = new Set(
  [
    "text",
    "reviewtext",
    "review",
    "reviewbody",
    "summary",
    "helpfulvote",
    "verifiedpurchase",
    "rating",
    "overall",
    "stars"
  ]
)

/** Returns whether a table of events is one of reviews. */
export const isReviews = (found: ReadonlyArray<string>): boolean =>
  found.some((column) => reviewNames.has(plain(column)))
