/**
 * Detection of a file's kind by its content, never by its name.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { isAscii, isUtf8 } from "node:buffer"
import { basename } from "node:path"
import { type CatalogError } from "../CatalogError.ts"
import * as FileBytes from "./FileBytes.ts"

/** Name of a text encoding in the Encoding Standard, such as `utf-8`, `utf-16le` or `windows-1252`. */
export type Encoding = string

/** Kind of a file, from its content. */
export interface FileKind {
  /** Compression, by the first bytes. */
  readonly packed: FileBytes.Packing
  /** Kind of the decompressed content. */
  readonly content: "text" | "parquet" | "empty" | "other"
  /** Encoding of text; `utf-8` for other content. */
  readonly encoding: Encoding
  /** Length of the byte-order mark, in bytes; 0 without one. */
  readonly bom: number
  /** Line ends in the first 64 KiB; a lone CR counts only in a file without any LF. */
  readonly lineEnd: "\n" | "\r\n" | "\r" | "mixed" | "none"
  /** Description, with an article: "gzipped text", "a zip archive". */
  readonly what: string
  /** Remarks for the user: a name that contradicts the content, an encoding other than UTF-8. */
  readonly notes: ReadonlyArray<string>
}

/** Number of bytes examined before a file is read. */
export const headSize = 65_536

/** Kind of content that cannot be read: its description, the remedy, and a test of the first bytes. */
interface Format {
  readonly what: string
  readonly remedy: string
  readonly fits: (head: Buffer) => boolean
}

const starts = (...codes: ReadonlyArray<string | ReadonlyArray<number>>) => (head: Buffer): boolean =>
  codes.some((code) => {
    const mark = typeof code === "string" ? Buffer.from(code, "latin1") : Buffer.from(code)
    return head.subarray(0, mark.length).equals(mark)
  })

/** Returns a test for a signature of letters: unlike in text, a control character follows it. */
const startsBinary = (...words: ReadonlyArray<string>) => (head: Buffer): boolean =>
  words.some((word) => starts(word)(head) && (/[^\t\n\r -\x7e]/.test(String.fromCharCode(head[word.length] ?? 0x20))))

/** Returns a test for a zip archive whose first entries have one of these names. */
const zipOf = (...names: ReadonlyArray<string>) => (head: Buffer): boolean =>
  starts("PK\u0003\u0004")(head) && names.some((name) => head.subarray(0, 4096).includes(name))

const textStart = (form: RegExp) => (head: Buffer): boolean =>
  form.test(head.subarray(0, 1024).toString("latin1").replace(/^\u00ef\u00bb\u00bf/, ""))

const asCsv = "save it as CSV in UTF-8"
const unpack = "unpack it and give the files inside"
const fromPython = "in Python, load it and write a table with pandas' to_parquet or to_csv"
const fetchAnew = "the downloaded file is not data; download the data file itself"

/** Kinds in the order in which they are tried. */
const formats: ReadonlyArray<Format> = [
  { what: "a gzip within a gzip", remedy: "unpack it once (gunzip)", fits: starts([0x1f, 0x8b]) },
  {
    what: "an OpenDocument spreadsheet",
    remedy: asCsv,
    fits: zipOf("application/vnd.oasis.opendocument.spreadsheet")
  },
  { what: "a Word document", remedy: asCsv, fits: zipOf("word/") },
  { what: "an Excel workbook", remedy: asCsv, fits: zipOf("xl/", "[Content_Types].xml") },
  { what: "a Java archive", remedy: unpack, fits: zipOf("META-INF/") },
  { what: "an archive of NumPy arrays (npz)", remedy: fromPython, fits: zipOf(".npy") },
  {
    what: "a zip archive",
    remedy: unpack,
    fits: starts("PK\u0003\u0004", "PK\u0005\u0006", "PK\u0007\u0008")
  },
  {
    what: "an Excel workbook of the old format (xls)",
    remedy: asCsv,
    fits: starts([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1])
  },
  {
    what: "a bzip2 file",
    remedy: "unpack it (bunzip2) or pack it with gzip",
    fits: (head) => starts("BZh")(head) && starts("1AY&SY", "\u0017rE8P\u0090")(head.subarray(4))
  },
  { what: "an xz file", remedy: "unpack it (unxz) or pack it with gzip", fits: starts("\u00fd7zXZ\u0000") },
  {
    what: "a zstd file",
    remedy: "unpack it (unzstd) or pack it with gzip",
    fits: starts([0x28, 0xb5, 0x2f, 0xfd])
  },
  { what: "an lz4 file", remedy: "unpack it (unlz4) or pack it with gzip", fits: starts([0x04, 0x22, 0x4d, 0x18]) },
  { what: "a Snappy file", remedy: "unpack it or pack it with gzip", fits: starts("\u00ff\u0006\u0000\u0000sNaPpY") },
  { what: "a 7z archive", remedy: unpack, fits: starts("7z\u00bc\u00af\u0027\u001c") },
  { what: "a rar archive", remedy: unpack, fits: starts("Rar!\u001a\u0007") },
  { what: "a tar archive", remedy: unpack, fits: (head) => head.subarray(257, 262).toString("latin1") === "ustar" },
  {
    what: "an Arrow or Feather file",
    remedy: "in Python, write it as Parquet: pandas.read_feather(...).to_parquet(...)",
    fits: startsBinary("ARROW1", "FEA1")
  },
  {
    what: "an ORC file",
    remedy: "in Python, write it as Parquet: pandas.read_orc(...).to_parquet(...)",
    fits: startsBinary("ORC")
  },
  { what: "an Avro file", remedy: "write it as Parquet or JSON lines", fits: starts("Obj\u0001") },
  { what: "an HDF5 file", remedy: fromPython, fits: starts("\u0089HDF\r\n\u001a\n") },
  { what: "a MATLAB file", remedy: fromPython, fits: starts("MATLAB 5.0 MAT-file") },
  {
    what: "an SQLite database",
    remedy: `write its table as CSV: sqlite3 -header -csv FILE "SELECT * FROM ..."`,
    fits: starts("SQLite format 3\u0000")
  },
  { what: "a NumPy array (npy)", remedy: fromPython, fits: starts("\u0093NUMPY") },
  {
    what: "a Python pickle",
    remedy: fromPython,
    fits: (head) =>
      (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) ||
      textStart(/^(?:\([dl]p\d+\n|c(?:pandas|numpy|copy_reg|collections|__builtin__)[\w.]*\n\w+\n)/)(head)
  },
  {
    what: "an R data file",
    remedy: "in R, write its table with write.csv",
    fits: starts("RDX2\n", "RDX3\n", "X\n\u0000\u0000")
  },
  { what: "a Stata file", remedy: fromPython, fits: starts("<stata_dta>") },
  { what: "an SPSS file", remedy: fromPython, fits: starts("$FL2") },
  { what: "a PDF document", remedy: fetchAnew, fits: starts("%PDF-") },
  {
    what: "a picture",
    remedy: fetchAnew,
    fits: starts("\u0089PNG\r\n\u001a\n", [0xff, 0xd8, 0xff], "GIF87a", "GIF89a")
  },
  { what: "a program", remedy: fetchAnew, fits: starts("\u007fELF") },
  {
    what: "an HTML page",
    remedy: "a web page was saved instead of the file; download the file itself",
    fits: textStart(/^\s*(?:<!--[^]*?-->\s*)?(?:<!doctype\s+html|<html|<head|<body)/i)
  },
  {
    what: "an XML file",
    remedy: "if it is a server's error message, download the file again; else write the table as CSV",
    fits: textStart(/^\s*<\?xml[\s?]/i)
  },
  {
    what: "a Git LFS pointer instead of the file",
    remedy: "fetch the file itself: git lfs pull",
    fits: textStart(/^version https:\/\/git-lfs/)
  },
  {
    what: "text in UTF-32",
    remedy: "save it as UTF-8",
    fits: starts([0xff, 0xfe, 0, 0], [0, 0, 0xfe, 0xff])
  }
]

const binary = {
  what: "binary data",
  remedy: "give a table as CSV, TSV, JSON lines or Parquet"
}
const zeroed = {
  what: "text that is largely zero bytes",
  remedy: "it was not written or downloaded completely; download it again"
}
const folder = { what: "a folder", remedy: "pass a file instead" }
const dangling = {
  what: "a link to a missing file",
  remedy: "correct the link, or restore the file"
}
const device = {
  what: "a pipe or device, not a file",
  remedy: "write its data to a file first, because it is read more than once"
}

const withoutArticle = (what: string): string => what.replace(/^an? /, "")

const remedies = [...formats, binary, zeroed, folder, dangling, device]

/** Builds the error for a file whose content cannot be read, with its kind and the remedy. */
export const refuse = (path: string, { packed, what }: FileKind): CatalogError => {
  const plain = withoutArticle(what).replace(/^gzipped /, "")
  const { remedy } = remedies.find((one) => plain.startsWith(withoutArticle(one.what))) ?? binary
  const not = packed === undefined && isGzipName(path) ? ", not gzip" : ""
  return FileBytes.unreadable(path, `it is ${what}${not}; ${remedy}`)
}

const isGzipName = (path: string) => /\.t?gz$/i.test(path)

/** Other names of encodings, mostly those of Python. */
const aliases: Readonly<Record<string, Encoding>> = {
  "utf-8-sig": "utf-8",
  "utf8-sig": "utf-8",
  cp65001: "utf-8",
  ansi: "windows-1252",
  cp932: "shift_jis",
  cp936: "gbk",
  cp949: "euc-kr",
  cp950: "big5",
  "mac-roman": "macintosh",
  "ucs-2": "utf-16le",
  "ucs-2le": "utf-16le"
}

const known = [
  "utf-8",
  "utf-16le",
  "utf-16be",
  "windows-1252 (latin-1)",
  "windows-1250",
  "windows-1251",
  "windows-1253 to -1258",
  "iso-8859-2 to -16",
  "koi8-r",
  "koi8-u",
  "macintosh",
  "shift_jis",
  "euc-jp",
  "iso-2022-jp",
  "gbk",
  "gb18030",
  "big5",
  "euc-kr"
]

/** Returns the standard's name of an encoding; fails for an unknown one. */
export const encodingOf = (path: string, label: string): Effect.Effect<Encoding, CatalogError> => {
  const plain = label.trim().toLowerCase()
  const dashed = plain.replaceAll("_", "-")
  for (const name of [plain, aliases[dashed], dashed, plain.replaceAll(/[-_\s]/g, "")]) {
    if (name === undefined) continue
    try {
      return Effect.succeed(new TextDecoder(name).encoding)
    } catch {
      continue
    }
  }
  return Effect.fail(
    FileBytes.unreadable(path, `unknown encoding "${label}"; known encodings: ${known.join(", ")}`)
  )
}

const marks: ReadonlyArray<readonly [encoding: Encoding, mark: Buffer]> = [
  ["utf-8", Buffer.from([0xef, 0xbb, 0xbf])],
  ["utf-16le", Buffer.from([0xff, 0xfe])],
  ["utf-16be", Buffer.from([0xfe, 0xff])]
]

/**
 * Returns whether a code is a control character that does not occur in text, unlike tab, CR, LF, FF, SUB, ESC and SOH.
 */
const isControl = (code: number): boolean =>
  (code < 0x20 && code !== 1 && code !== 9 && code !== 10 && code !== 12 && code !== 13 && code !== 0x1a &&
    code !== 0x1b) ||
  code === 0x7f

/** Returns whether more than one character in a hundred is a control character, with some tolerance in short texts. */
const hasManyControls = (codes: ArrayLike<number>): boolean => {
  let [found, zeros] = [0, 0]
  for (let i = 0; i < codes.length; i++) {
    if (isControl(codes[i]!)) found++
    if (codes[i] === 0) zeros++
  }
  return 100 * found > codes.length && (found > 4 || zeros > 0)
}

/** Detects UTF-16 without a byte-order mark: zeros at every second byte, and text when decoded. */
const utf16Of = (head: Buffer): Encoding | undefined => {
  const zeros = [0, 0] as [number, number]
  for (let i = 0; i < head.length; i++) if (head[i] === 0) zeros[i & 1]!++
  const pairs = head.length >> 1
  for (const [encoding, high] of [["utf-16le", 1], ["utf-16be", 0]] as const) {
    // Only characters such as U+0100 have a zero in the other byte.
    if (zeros[high] < pairs / 5 || zeros[1 - high]! > pairs / 50) continue
    const text = new TextDecoder(encoding).decode(head.subarray(0, 2 * pairs))
    let odd = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (isControl(code) || (code >= 0x80 && code < 0xa0) || code >= 0xfffd) odd++
    }
    if (odd <= text.length / 100) return encoding
  }
  return undefined
}

/** Returns the length in bytes of the valid multi-byte UTF-8 character at `at`; 0 where there is none. */
const characterLength = (bytes: Uint8Array, at: number): number => {
  const first = bytes[at]!
  if ((bytes[at + 1]! & 0xc0) !== 0x80) return 0
  const length = first >= 0xc2 && first <= 0xdf
    ? 2
    : (first & 0xf0) === 0xe0
    ? 3
    : first >= 0xf0 && first <= 0xf4
    ? 4
    : 0
  return length > 0 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0
}

/** Returns the length of the bytes without a last UTF-8 character that is cut off. */
const wholeLength = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

/** Bytes that do not occur in windows-1252 text: five undefined ones, and the rare ÿ and þ. */
const foreign = new Set([0x81, 0x8d, 0x8f, 0x90, 0x9d, 0xfe, 0xff])

const [plain, control, high] = [0, 1, 2]

/** Class of each byte, for bytes that are not part of a UTF-8 character. */
const sorts = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte >= 0x80 ? high : byte >= 0x20 || byte === 9 || byte === 10 || byte === 13 ? plain : control
)

/** Scan of all bytes of a text that determines its encoding. */
class Survey {
  length = 0
  zeros = 0
  hasLf = false
  /** Number of bytes outside UTF-8 characters. */
  stray = 0
  /** Number of multi-byte UTF-8 characters near stray bytes; text in another encoding has some by chance. */
  #characters = 0
  #hasSound = false
  /** Whether stray bytes look like windows-1252. */
  #western = true
  /** Number of stray bytes in runs of at least three, as in Cyrillic or Chinese but not in Western text. */
  #crowded = 0
  #rest: Uint8Array = new Uint8Array(0)

  push(chunk: Uint8Array): void {
    this.length += chunk.length
    this.hasLf ||= chunk.includes(10)
    for (let at = chunk.indexOf(0); at >= 0; at = chunk.indexOf(0, at + 1)) this.zeros++
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const whole = wholeLength(bytes)
    this.#rest = bytes.slice(whole)
    this.#look(bytes.subarray(0, whole))
  }

  end(): void {
    this.#look(this.#rest)
  }

  #look(bytes: Uint8Array): void {
    if (isUtf8(bytes)) {
      this.#hasSound ||= !isAscii(bytes)
      return
    }
    let run = 0
    for (let i = 0; i < bytes.length; i++) {
      const sort = sorts[bytes[i]!]!
      if (sort === plain && run === 0) continue
      if (sort !== high) {
        if (run >= 3) this.#crowded += run
        run = 0
        if (sort === control) this.#western = false
        continue
      }
      const length = characterLength(bytes, i)
      if (length > 0) {
        this.#characters++
        i += length - 1
        continue
      }
      run++
      this.stray++
      if (foreign.has(bytes[i]!)) this.#western = false
    }
    if (run >= 3) this.#crowded += run
  }

  get #isUtf8(): boolean {
    return this.#hasSound || 20 * this.#characters > this.stray
  }

  /** Encoding: a single stray byte is damage; several, all of them letters among letters, mean windows-1252. */
  get encoding(): Encoding {
    const isWestern = this.stray >= 2 && !this.#isUtf8 && this.#western && 5 * this.#crowded <= this.stray
    return isWestern ? "windows-1252" : "utf-8"
  }

  /** Whether the text is more likely in an undetectable encoding than damaged. */
  get mayBeOther(): boolean {
    return this.encoding === "utf-8" && !this.#hasSound && 2 * this.#characters < this.stray &&
      (this.stray >= 8 || 2 * this.#crowded > this.stray)
  }
}

const names: Readonly<Record<string, string>> = {
  "utf-16le": "UTF-16 (little-endian)",
  "utf-16be": "UTF-16 (big-endian)",
  "windows-1252": "windows-1252 (latin-1)"
}

const lineEndOf = (text: string): FileKind["lineEnd"] => {
  const crlf = text.match(/\r\n/g)?.length ?? 0
  const lf = (text.match(/\n/g)?.length ?? 0) - crlf
  // A CR at the very end may be the first half of CRLF.
  const cr = (text.match(/\r(?!\n|$)/g)?.length ?? 0) + (/^[^\r\n]*\r$/.test(text) ? 1 : 0)
  if (lf + crlf > 0) return lf > 0 && crlf > 0 ? "mixed" : lf > 0 ? "\n" : "\r\n"
  return cr > 0 ? "\r" : "none"
}

const other = (packed: FileBytes.Packing, what: string): FileKind => ({
  packed,
  content: "other",
  encoding: "utf-8",
  bom: 0,
  lineEnd: "none",
  what: packed === undefined || what.includes("gzip")
    ? what
    : `${/^an? /.test(what) ? "a " : ""}gzipped ${withoutArticle(what)}`,
  notes: []
})

/** Returns the kind of a path that is not a regular file, else the compression and first bytes of the file. */
const opened = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const found = yield* Effect.result(fs.stat(path))
  if (found._tag === "Failure") {
    const link = yield* Effect.option(fs.readLink(path))
    return link._tag === "Some" ? other(undefined, dangling.what) : yield* FileBytes.refused(path)(found.failure)
  }
  const stat = found.success
  if (stat.type === "Directory") return other(undefined, folder.what)
  if (stat.type !== "File") return other(undefined, device.what)
  const start = yield* FileBytes.head(path, undefined, headSize)
  const packed = start[0] === 0x1f && start[1] === 0x8b ? "gzip" as const : undefined
  return { packed, head: packed === undefined ? start : yield* FileBytes.head(path, packed, headSize) }
})

/** Detects the kind of a file from its first 64 KiB; bytes that are not UTF-8 are ignored. */
export const peek: (
  path: string,
  encoding?: string | undefined
) => Effect.Effect<FileKind, CatalogError, FileSystem.FileSystem> = Effect.fn("FileKind.peek")(
  function*(path, encoding) {
    const given = encoding === undefined ? undefined : yield* encodingOf(path, encoding)
    const start = yield* opened(path)
    if ("what" in start) return start
    const { head, packed } = start
    const name = basename(path)
    const notes = packed !== undefined && !isGzipName(path)
      ? [`${name} is gzip, though its name does not say so; it is decompressed when read`]
      : []
    const kind = { packed, encoding: "utf-8", bom: 0, lineEnd: "none", notes } as const
    if (head.length === 0) {
      return { ...kind, content: "empty", what: packed === undefined ? "an empty file" : "a gzip of nothing" }
    }
    if (startsBinary("PAR1")(head)) {
      if (!/\.parquet$/i.test(path)) notes.push(`${name} is a Parquet file, despite its name; read as such`)
      return { ...kind, content: "parquet", what: packed === undefined ? "a Parquet file" : "a gzipped Parquet file" }
    }
    const format = formats.find(({ fits }) => fits(head))
    if (format !== undefined) return other(packed, format.what)
    const mark = marks.find(([, bytes]) => starts([...bytes])(head))
    const guess = mark?.[0] ?? given ?? utf16Of(head) ?? "utf-8"
    const bom = mark?.[1].length ?? 0
    const text = new TextDecoder(guess).decode(head)
    const firstLine = text.slice(0, text.search(/[\r\n]|$/))
    const codes = guess.startsWith("utf-16") ? Array.from(text.slice(0, 4096), (one) => one.charCodeAt(0)) : head
    if (firstLine.includes("\0") || hasManyControls(codes)) {
      const zero = head.indexOf(0)
      return other(packed, zero >= 0 && !guess.startsWith("utf-16") ? `${binary.what} (zero bytes)` : binary.what)
    }
    if (packed === undefined && isGzipName(path)) notes.push(`${name} is plain text, not gzip; read as such`)
    if (/\.parquet$/i.test(path)) notes.push(`${name} is text, not Parquet; read as such`)
    if (mark !== undefined && given !== undefined && given.slice(0, 6) !== guess.slice(0, 6)) {
      notes.push(`${name} begins with the mark of ${guess} and is read so, not as ${given}`)
    } else if (guess !== "utf-8") notes.push(`${name} is read as ${names[guess] ?? guess}`)
    return {
      ...kind,
      content: "text",
      encoding: guess,
      bom,
      lineEnd: lineEndOf(text),
      what: packed === undefined ? "text" : "gzipped text"
    }
  }
)

/**
 * Detects the kind of a file. A text is scanned to its end for bytes that are not UTF-8, for zero bytes, and for damage
 * of a gzip. A given encoding is used as it is, unless a byte-order mark contradicts it.
 */
export const of: (
  path: string,
  encoding?: string | undefined
) => Effect.Effect<FileKind, CatalogError, FileSystem.FileSystem> = Effect.fn("FileKind.of")(
  function*(path, encoding) {
    const kind = yield* peek(path, encoding)
    if (kind.content !== "text") return kind
    const survey = new Survey()
    yield* Stream.runForEach(FileBytes.stream(path, kind.packed), (chunk) => Effect.sync(() => survey.push(chunk)))
    survey.end()
    const isWide = kind.encoding.startsWith("utf-16")
    const name = basename(path)
    const notes = [...kind.notes]
    if (!isWide && survey.zeros > 0) {
      if (10 * survey.zeros > survey.length) {
        return other(kind.packed, `${zeroed.what} (${survey.zeros} of ${survey.length})`)
      }
      notes.push(`${name} holds ${survey.zeros} zero byte(s)`)
    }
    const lineEnd = kind.lineEnd === "\r" && survey.hasLf ? "none" as const : kind.lineEnd
    if (kind.encoding !== "utf-8" || encoding !== undefined || survey.stray === 0) return { ...kind, lineEnd, notes }
    if (survey.encoding !== "utf-8") notes.push(`${name} is not UTF-8; read as ${names[survey.encoding]}`)
    else if (survey.mayBeOther) {
      notes.push(
        `${name} is not UTF-8, and its encoding cannot be detected; ` +
          `name it in a sidereal.json beside it, as in {"encoding": "gbk"}`
      )
    }
    return { ...kind, encoding: survey.encoding, lineEnd, notes }
  }
)
