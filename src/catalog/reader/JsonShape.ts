/**
 * Detection of the layout of records in a JSON text, in one pass.
 */

/** Layout of a JSON text. */
export interface Shape {
  /** Whether most records are on their own lines. */
  readonly lines: boolean
  /** Number of brackets around records. */
  readonly depth: 0 | 1 | 2
  /** Property that holds the records, at depth 2. */
  readonly property?: string | undefined
  /** Whether records are the values of an object, under their keys. */
  readonly isKeyed?: boolean | undefined
  /** Column names, where records are lists of cells. */
  readonly header?: ReadonlyArray<string> | undefined
  /** Whether the text holds columns instead of records. */
  readonly isColumns?: boolean | undefined
}

/** A property of the outermost object. */
interface Property {
  readonly key: string
  kind: "scalar" | "list" | "object"
  /** Number of values in it. */
  size: number
  /** Whether the values are lists or objects. */
  isNested: boolean
  /** Whether the keys of the values are whole numbers. */
  isNumbered: boolean
  /** First key of the first object in it. */
  firstKey: string | undefined
  /** Texts in it, which may name columns. */
  readonly words: Array<string>
}

/** Usual names of lists of records, in order of preference. */
const usual = ["events", "interactions", "ratings", "reviews", "data", "results", "records", "rows"]
const sessionKeys = /^(user|session|customer|visitor|member|client)[_-]?(id)?$/i
const headerNames = new Set(["columns", "header", "headers", "fields", "names"])

/** Largest number of properties kept by name. */
const most = 256

const [quotation, apostrophe, backslash, comma, colon, brace, bracket] = [34, 39, 92, 44, 58, 123, 91]
const isBlank = (code: number) => code === 32 || code === 9 || code === 10 || code === 13 || code === 0xfeff

/** Scan of the outermost object's properties and of the number of outermost values. */
export class Survey {
  #values = 0
  #properties = 0
  readonly #kept: Array<Property> = []
  readonly #kinds = { scalar: 0, list: 0, nestedList: 0, object: 0, nestedObject: 0 }
  /** Size and first key common to all properties, if any. */
  #size: number | undefined
  #isEven = true
  #isNumbered = true
  #hasNames = false
  readonly #open: Array<number> = []
  #quote = 0
  #isEscaped = false
  #word = ""
  #current: Property | undefined

  /** Scans the next piece; returns false when the rest cannot change the result. */
  push(text: string): boolean {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      const depth = this.#open.length
      if (this.#quote !== 0) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (code === backslash) this.#isEscaped = true
        else if (code === this.#quote || code === 10) {
          this.#quote = 0
          if (depth === 2 && this.#current !== undefined) this.#text(this.#current)
          continue
        }
        if (depth <= 3 && this.#word.length < 1000) this.#word += text[i]!
      } else if (!isBlank(code)) this.#step(code, depth)
    }
    return this.#values < 2
  }

  #step(code: number, depth: number): void {
    const current = this.#current
    const inside = depth === 2 && current !== undefined
    if (code === quotation || code === apostrophe) {
      this.#quote = code
      this.#word = ""
    } else if (code === brace || code === bracket) {
      if (depth === 0) this.#values++
      else if (depth === 1 && current !== undefined) current.kind = code === brace ? "object" : "list"
      if (inside) current.isNested = true
      this.#open.push(code)
      return
    } else if (code === 125 || code === 93) {
      if (depth === 1) this.#finish()
      this.#open.pop()
      return
    } else if (code === colon) {
      if (depth === 1 && this.#open[0] === brace && current === undefined) {
        this.#current = {
          key: this.#word,
          kind: "scalar",
          size: 0,
          isNested: false,
          isNumbered: true,
          firstKey: undefined,
          words: []
        }
      } else if (depth === 3 && current !== undefined) {
        current.firstKey ??= this.#word
      } else if (inside && current.kind === "object") {
        current.size++
        current.isNumbered &&= /^\d+$/.test(this.#word)
      }
      return
    } else if (code === comma) {
      if (depth === 1) this.#finish()
      else if (inside && current.kind === "list") current.size++
      return
    }
    // A list of n values has n - 1 commas.
    if (inside && current.kind === "list" && current.size === 0) current.size = 1
  }

  #text(property: Property): void {
    if (property.kind === "list" && headerNames.has(property.key)) property.words.push(this.#word)
  }

  #finish(): void {
    const found = this.#current
    if (found === undefined) return
    this.#current = undefined
    this.#properties++
    this.#hasNames ||= !/^\d+$/.test(found.key)
    this.#isNumbered &&= found.isNumbered
    this.#size ??= found.size
    this.#isEven &&= found.size === this.#size
    const kinds = this.#kinds
    if (found.kind === "scalar") kinds.scalar++
    else if (found.kind === "list") kinds[found.isNested ? "nestedList" : "list"]++
    else kinds[found.isNested ? "nestedObject" : "object"]++
    if (this.#kept.length < most) this.#kept.push(found)
  }

  /** Layout found. */
  get shape(): Shape {
    // A text that is cut off ends within its last property.
    this.#finish()
    const { list, nestedList, nestedObject, object } = this.#kinds
    const all = this.#properties
    if (this.#values > 1 || all === 0) return { lines: false, depth: 0 }
    const header = this.#kept.find(({ words }) => words.length > 0)?.words
    const lists = this.#kept.filter(({ isNested, kind }) => kind === "list" && isNested)
    const named = usual.flatMap((name) => lists.find(({ key }) => key.toLowerCase() === name) ?? [])[0]
    const [longest] = lists.toSorted((a, b) => b.size - a.size)
    // Several tables in one object have different first keys; lists of users or items have equal ones.
    const areTables = new Set(lists.map(({ firstKey }) => firstKey)).size > 1
    // One session with a list of events and its own key is a record.
    const isSession = this.#kept.some(({ key, kind }) => kind === "scalar" && sessionKeys.test(key))
    if (longest !== undefined && !isSession && (named !== undefined || nestedList === 1 || areTables)) {
      return { lines: false, depth: 2, property: (named ?? longest).key, header }
    }
    const isNumberedTable = object === all && this.#isNumbered && this.#hasNames
    const isListTable = list === all && all > 1 && this.#size! > all && this.#hasNames
    if (this.#isEven && this.#size! > 0 && (isNumberedTable || isListTable)) {
      return { lines: false, depth: 0, isColumns: true }
    }
    if (all === 1 && nestedObject === 1) return { lines: false, depth: 2, property: this.#kept[0]!.key, isKeyed: true }
    const isKeyed = [object + nestedObject, list + nestedList].some((count) => count >= 1 && 10 * count >= 9 * all)
    return isKeyed ? { lines: false, depth: 1, isKeyed } : { lines: false, depth: 0 }
  }
}
