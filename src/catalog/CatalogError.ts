/**
 * The tagged error of importing data and of look-ups in it, with its reasons.
 */
import * as Schema from "effect/Schema"

/** A file or folder that cannot be read. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `cannot read ${this.path}: ${this.detail}`
  }
}

/** Largest number of names in a message. */
const most = 40

const quoted = (names: ReadonlyArray<string>): string =>
  names.slice(0, most).map((name) => JSON.stringify(name)).join(", ") +
  (names.length > most ? ` and ${names.length - most} more` : "")

/** Returns the proposed `sidereal.json` for a file and the command that writes it. */
const remedy = (proposal: string | undefined): string =>
  proposal === undefined || proposal === ""
    ? ""
    : `\n  proposed sidereal.json beside it: ${proposal}\n  ` +
      `\`sidereal data inspect PATH --write\` writes that file; docs/data.md has every setting`

/** Files that match no known format. */
export class UnknownForm extends Schema.TaggedError<UnknownForm>()("UnknownForm", {
  path: Schema.String,
  found: Schema.String,
  /** One line for each file that may hold events: its columns, its missing columns, its first rows. */
  candidates: Schema.optionalKey(Schema.Array(Schema.String)),
  proposal: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const candidates = this.candidates ?? []
    return `${this.path} matches no known format (found ${this.found}).` +
      candidates.map((candidate) => `\n  ${candidate}`).join("") + (this.proposal !== undefined
        ? remedy(this.proposal)
        : `${candidates.length > 0 ? "\n" : " "}Known formats: a table of events ` +
          `(CSV, TSV, JSON, Parquet with user, item and time columns, and a table of items beside it), such as Amazon's ` +
          `reviews and metadata; MovieLens (ratings.csv, u.data, ratings.dat); RecBole's *.inter with *.item; sequences ` +
          `(lines "user item item ..."); *.inter.json with *.item.json; *.item.json with train, valid ` +
          `and test folders; MIND, LightGCN, Online Retail. A sidereal.json in the folder can name files and columns`)
  }
}

/** A folder of a known format with files missing. */
export class IncompleteFolder extends Schema.TaggedError<IncompleteFolder>()("IncompleteFolder", {
  path: Schema.String,
  format: Schema.String,
  present: Schema.Array(Schema.String),
  lacking: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.path} looks like ${this.format} (it has ${this.present.join(", ")}) but lacks ${
      this.lacking.join(" and ")
    }; put the missing part beside it, or name the files to read in a sidereal.json`
  }
}

/** Several candidate files that are not parts of one table. */
export class AmbiguousTables extends Schema.TaggedError<AmbiguousTables>()("AmbiguousTables", {
  path: Schema.String,
  role: Schema.Literals(["events", "items"]),
  files: Schema.Array(Schema.String),
  why: Schema.String
}) {
  override get message() {
    return `${this.path} has ${this.files.length} files that could hold the ${this.role}: ${
      this.files.join(", ")
    }; ${this.why}. ` +
      `Name one, or all parts of one table, in a sidereal.json: {"${this.role}": ${
        JSON.stringify(this.files[0]?.split(" ")[0] ?? "")
      }}`
  }
}

/** A table without a required column. */
export class MissingColumn extends Schema.TaggedError<MissingColumn>()("MissingColumn", {
  file: Schema.String,
  wanted: Schema.String,
  names: Schema.Array(Schema.String),
  found: Schema.Array(Schema.String),
  rows: Schema.optionalKey(Schema.Array(Schema.String)),
  proposal: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const rows = this.rows ?? []
    return `${this.file} has no ${this.wanted} column: looked for ${this.names.join(", ")}; found ${
      quoted(this.found)
    }.` +
      (rows.length === 0 ? "" : `\n  first rows:\n${rows.map((row) => `    ${row}`).join("\n")}`) +
      (remedy(this.proposal) ||
        ` Rename it, or name it in a sidereal.json beside the file: {"columns": {"${this.wanted}": "..."}}`) +
      `; a file without a header line needs {"header": [names in order]}`
  }
}

/** A header with the name of a required column more than once. */
export class AmbiguousColumn extends Schema.TaggedError<AmbiguousColumn>()("AmbiguousColumn", {
  file: Schema.String,
  column: Schema.String,
  times: Schema.Int
}) {
  override get message() {
    return `${this.file} has ${this.times} columns named ${this.column}, so it is ambiguous; rename all but one`
  }
}

/** A row or entry with an invalid value. */
export class BadRow extends Schema.TaggedError<BadRow>()("BadRow", {
  file: Schema.String,
  line: Schema.Int,
  field: Schema.String,
  value: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.file}, line ${this.line}: ${this.field} is ${this.value}; ${this.remedy}`
  }
}

/** An item that is not in the catalogue. */
export class UnknownItem extends Schema.TaggedError<UnknownItem>()("UnknownItem", {
  item: Schema.String,
  near: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no item "${this.item}" in the catalogue${
      this.near.length === 0 ? "" : `; the nearest titles are ${this.near.map((title) => `"${title}"`).join(", ")}`
    }`
  }
}

/** A user that is not in the data set. */
export class UnknownUser extends Schema.TaggedError<UnknownUser>()("UnknownUser", {
  user: Schema.String,
  examples: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no user "${this.user}" in the data set; known users are ${this.examples.join(", ")} ...`
  }
}

/** A recommendation request without a history. */
export class EmptyHistory extends Schema.TaggedError<EmptyHistory>()("EmptyHistory", {}) {
  override get message() {
    return `the history is empty; give at least one title: --history "first title; second title"`
  }
}

/** A catalogue with too few items to rank. */
export class TooFewItems extends Schema.TaggedError<TooFewItems>()("TooFewItems", {
  items: Schema.Int,
  /** Counts of the import, as text. */
  counts: Schema.Array(Schema.String)
}) {
  override get message() {
    const counted = this.counts.length === 0 ? "" : ` (${this.counts.join("; ")})`
    return `the catalogue has ${this.items} item(s)${counted}; ranking needs at least 2`
  }
}

/** Data without usable events. */
export class NoEvents extends Schema.TaggedError<NoEvents>()("NoEvents", { detail: Schema.String }) {
  override get message() {
    return `no usable events: ${this.detail}`
  }
}

/** An archive that is damaged or incomplete. */
export class DamagedArchive extends Schema.TaggedError<DamagedArchive>()("DamagedArchive", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `cannot unpack ${this.file}: ${this.detail}; copy or download it again, or pack it again with tar and xz`
  }
}

/** A split that the data do not support. */
export class NoSplit extends Schema.TaggedError<NoSplit>()("NoSplit", {
  wanted: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `no ${this.wanted} split is possible: ${this.detail}; choose another with --split`
  }
}

/** An option that needs event times, for data without them. */
export class NoTimes extends Schema.TaggedError<NoTimes>()("NoTimes", {
  wanted: Schema.String,
  /** Columns that may hold times. */
  columns: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  override get message() {
    const [first] = this.columns ?? []
    return `${this.wanted} needs event times, but these data have none; omit it` +
      (first === undefined
        ? ""
        : `, or name their column in a sidereal.json: {"columns": {"time": ${JSON.stringify(first)}}} ` +
          `(columns that may hold times: ${quoted(this.columns!)})`)
  }
}

/** A rating floor for data without ratings. */
export class NoRatings extends Schema.TaggedError<NoRatings>()("NoRatings", {
  file: Schema.String,
  found: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.file} has no column of ratings for a rating floor; found ${quoted(this.found)}. ` +
      `Omit --rating-floor, or name the column in a sidereal.json: {"columns": {"rating": "..."}}`
  }
}

/** Dates for which no row shows whether the day or the month comes first. */
export class AmbiguousDates extends Schema.TaggedError<AmbiguousDates>()("AmbiguousDates", {
  file: Schema.String,
  column: Schema.String,
  example: Schema.String,
  dayFirst: Schema.String,
  monthFirst: Schema.String
}) {
  override get message() {
    return `${this.file}: the dates of ${this.column} are ambiguous, and no row shows the order of day and month: ${this.example} is ` +
      `${this.dayFirst} with the day first, ${this.monthFirst} with the month first; set the order in a sidereal.json ` +
      `beside the file: {"dates": "day-first"} or {"dates": "month-first"}`
  }
}

/** Dates with the day first in some rows and the month first in others. */
export class MixedDates extends Schema.TaggedError<MixedDates>()("MixedDates", {
  file: Schema.String,
  column: Schema.String,
  dayFirst: Schema.String,
  monthFirst: Schema.String
}) {
  override get message() {
    return `${this.file}: the dates of ${this.column} have two formats: ${this.dayFirst} has the day first, ` +
      `${this.monthFirst} the month; write them in one format (ISO 8601 is best), or set it in a sidereal.json: ` +
      `{"dates": "day-first"} leaves the others out`
  }
}

/** A file with more malformed rows than usable ones. */
export class MostlyMalformed extends Schema.TaggedError<MostlyMalformed>()("MostlyMalformed", {
  file: Schema.String,
  malformed: Schema.Int,
  rows: Schema.Int,
  first: Schema.String,
  /** Further remarks on the file. */
  notes: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  override get message() {
    return `${this.file}: ${this.malformed} of ${this.rows} rows cannot be used, the first because of ${this.first}; ` +
      (this.notes !== undefined && this.notes.length > 0
        ? this.notes.join("; ")
        : `check that it is the right file and that sidereal.json names its columns`)
  }
}

/** A title that several items match equally well. */
export class AmbiguousItem extends Schema.TaggedError<AmbiguousItem>()("AmbiguousItem", {
  item: Schema.String,
  matches: Schema.Int,
  first: Schema.Array(Schema.Struct({ key: Schema.String, title: Schema.String }))
}) {
  override get message() {
    const more = this.matches - this.first.length
    return `"${this.item}" matches ${this.matches} items: ${
      this.first.map(({ key, title }) => `"${title}" (key ${key})`).join(", ")
    }${more === 0 ? "" : ` and ${more} more`}; give ${
      new Set(this.first.map(({ title }) => title)).size < 2 ? "a key" : "a whole title or a key"
    }`
  }
}

/** Failure of an import or a look-up; `reason` says which. */
export class CatalogError extends Schema.TaggedError<CatalogError>()("CatalogError", {
  reason: Schema.Union([
    Unreadable,
    UnknownForm,
    MissingColumn,
    AmbiguousColumn,
    BadRow,
    UnknownItem,
    UnknownUser,
    EmptyHistory,
    TooFewItems,
    NoEvents,
    DamagedArchive,
    NoSplit,
    MostlyMalformed,
    NoTimes,
    NoRatings,
    AmbiguousDates,
    MixedDates,
    AmbiguousTables,
    IncompleteFolder,
    AmbiguousItem
  ])
}) {
  override get message() {
    return this.reason.message
  }
}
