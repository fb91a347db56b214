/**
 * What goes wrong between files and a data set.
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

/** Files that fit no form. */
export class UnknownForm extends Schema.TaggedError<UnknownForm>()("UnknownForm", {
  path: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.path} fits no form that is recognised (found ${this.found}). Recognised are: a table of events ` +
      `(.csv, .tsv, .jsonl, .parquet with user, item and time columns, and an items table beside it), such as Amazon's ` +
      `reviews and metadata; MovieLens (ratings.csv, u.data, ratings.dat); RecBole's *.inter with *.item; sequences ` +
      `(.txt or s3rec/*.txt, lines "user item item ..."); *.inter.json with *.item.json; *.item.json with train, valid ` +
      `and test folders; by-day.tar.xz of Online Retail. A sidereal.json in the folder can name files and columns`
  }
}

/** A table without a column that is needed. */
export class MissingColumn extends Schema.TaggedError<MissingColumn>()("MissingColumn", {
  file: Schema.String,
  wanted: Schema.String,
  names: Schema.Array(Schema.String),
  found: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.file} has no ${this.wanted} column: looked for ${this.names.join(", ")}; found ${
      this.found.join(", ")
    }. Rename it, or name it in a sidereal.json beside the file: {"columns": {"${this.wanted}": "..."}}; a file without a header line needs {"header": [names in order]}`
  }
}

/** A header that has the name of a needed column more than once. */
export class AmbiguousColumn extends Schema.TaggedError<AmbiguousColumn>()("AmbiguousColumn", {
  file: Schema.String,
  column: Schema.String,
  times: Schema.Int
}) {
  override get message() {
    return `${this.file} has ${this.times} columns named ${this.column}, and it is not clear which is meant; rename all but one`
  }
}

/** A row or entry whose content cannot be used. */
export class BadRow extends Schema.TaggedError<BadRow>()("BadRow", {
  file: Schema.String,
  line: Schema.Int,
  field: Schema.String,
  value: Schema.String,
  mend: Schema.String
}) {
  override get message() {
    return `${this.file}, line ${this.line}: ${this.field} is ${this.value}; ${this.mend}`
  }
}

/** An item that the catalogue does not have. */
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

/** A user that the data set does not have. */
export class UnknownUser extends Schema.TaggedError<UnknownUser>()("UnknownUser", {
  user: Schema.String,
  examples: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no user "${this.user}" in the data set; users are called ${this.examples.join(", ")} ...`
  }
}

/** A recommendation asked for without a history. */
export class EmptyHistory extends Schema.TaggedError<EmptyHistory>()("EmptyHistory", {}) {
  override get message() {
    return `the history is empty; give at least one title: --history "first title; second title"`
  }
}

/** Too few items to rank. */
export class TooFewItems extends Schema.TaggedError<TooFewItems>()("TooFewItems", { items: Schema.Int }) {
  override get message() {
    return `the catalogue has ${this.items} item(s); at least 2 are needed for there to be anything to rank`
  }
}

/** Nothing left to train or test on. */
export class NoEvents extends Schema.TaggedError<NoEvents>()("NoEvents", { detail: Schema.String }) {
  override get message() {
    return `no usable events: ${this.detail}`
  }
}

/** A program that an importer needs and the machine lacks. */
export class MissingProgram extends Schema.TaggedError<MissingProgram>()("MissingProgram", {
  program: Schema.String,
  file: Schema.String
}) {
  override get message() {
    return `reading ${this.file} needs the program "${this.program}"; install it (Debian: apt install xz-utils), or unpack the archive`
  }
}

/** A split that the data do not allow. */
export class NoSplit extends Schema.TaggedError<NoSplit>()("NoSplit", {
  wanted: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `no ${this.wanted} split is possible: ${this.detail}; choose another with --split`
  }
}

/** A wish that needs times where none are known. */
export class NoTimes extends Schema.TaggedError<NoTimes>()("NoTimes", { wanted: Schema.String }) {
  override get message() {
    return `${this.wanted} needs the times of events, and these data have none; leave it out`
  }
}

/** More rows that cannot be used than rows that can. */
export class MostlyMalformed extends Schema.TaggedError<MostlyMalformed>()("MostlyMalformed", {
  file: Schema.String,
  malformed: Schema.Int,
  rows: Schema.Int,
  first: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.malformed} of ${this.rows} rows cannot be used, the first because of ${this.first}; ` +
      `is it the right file, and do sidereal.json's columns fit it?`
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

/** Every way in which importing and looking things up fails. */
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
    MissingProgram,
    NoSplit,
    MostlyMalformed,
    NoTimes,
    AmbiguousItem
  ])
}) {
  override get message() {
    return this.reason.message
  }
}
