/**
 * Patterns that split texts into pieces, translated from the syntax of Oniguruma, in which tokenizers are published.
 *
 * The two languages differ: white space there is the Unicode property (JavaScript's `\s` has U+FEFF and lacks U+0085),
 * and `(?i:...)` is not known to every supported version of Node, so its letters are written out.
 */

/** Properties of JavaScript that are not general categories are scripts. */
const property = (name: string): string => {
  const negated = name.startsWith("^")
  const bare = negated ? name.slice(1) : name
  for (const candidate of [bare, `Script=${bare}`]) {
    try {
      // oxlint-disable-next-line no-new -- only the syntax is of interest
      new RegExp(`\\p{${candidate}}`, "u")
      return `${negated ? "^" : ""}${candidate}`
    } catch {
      continue
    }
  }
  throw new SyntaxError(`the property ${bare} is unknown`)
}

/** Letters that equal `letter` when case is ignored; the long s and the Kelvin sign fold to ASCII. */
const folded = (letter: string): string => {
  const lower = letter.toLowerCase()
  return lower + lower.toUpperCase() + (lower === "s" ? "\u017f" : lower === "k" ? "\u212a" : "")
}

const classes: Readonly<Record<string, string>> = {
  s: "\\p{White_Space}",
  S: "\\P{White_Space}",
  d: "\\p{Nd}",
  D: "\\P{Nd}"
}

/** Returns the source of the same pattern in JavaScript, for the flag `u`; throws `SyntaxError` for unknown syntax. */
export const translate = (source: string): string => {
  let out = ""
  let inClass = false
  /** Whether case is ignored, by open group. */
  const groups: Array<boolean> = [false]
  for (let i = 0; i < source.length; i++) {
    const at = source[i]!
    if (at === "\\") {
      const next = source[++i] ?? ""
      if (next === "p" || next === "P") {
        const end = source.indexOf("}", i)
        if (source[i + 1] !== "{" || end < 0) throw new SyntaxError(`\\${next} without {...}`)
        const name = property(source.slice(i + 2, end))
        const negated = name.startsWith("^") !== (next === "P")
        out += `\\${negated ? "P" : "p"}{${name.replace("^", "")}}`
        i = end
      } else if (classes[next] !== undefined) out += classes[next]
      else if (/[a-zA-Z0-9]/.test(next)) {
        if (!/[rntfvux0]/.test(next)) throw new SyntaxError(`\\${next} is unknown`)
        out += `\\${next}`
      } else out += /[\^$\\.*+?()[\]{}|/]/.test(next) || (inClass && next === "-") ? `\\${next}` : next
    } else if (inClass) {
      if (at === "[" || source.startsWith("&&", i)) throw new SyntaxError("nested classes are unknown")
      if (at === "]") inClass = false
      out += groups.at(-1)! && /[a-zA-Z]/.test(at) ? folded(at) : at
    } else if (at === "[") {
      inClass = true
      const negated = source[i + 1] === "^"
      out += negated ? "[^" : "["
      if (negated) i++
    } else if (source.startsWith("(?i:", i)) {
      groups.push(true)
      out += "(?:"
      i += 3
    } else {
      if (at === "(") groups.push(groups.at(-1)!)
      if (at === ")") groups.pop()
      // A look-around or a named group begins with letters that are syntax.
      const head = at === "(" ? /^\(\?(?::|=|!|<=|<!|>)/.exec(source.slice(i)) : null
      if (head?.[0] === "(?>" || (at === "(" && source[i + 1] === "?" && head === null)) {
        throw new SyntaxError(`${source.slice(i, i + 3)} is unknown`)
      }
      if (head !== null) {
        out += head[0]
        i += head[0].length - 1
      } else out += groups.at(-1)! && /[a-zA-Z]/.test(at) ? `[${folded(at)}]` : at
    }
  }
  return out
}

/** Builds the pattern; throws `SyntaxError` for unknown syntax. */
export const compile = (source: string): RegExp => new RegExp(translate(source), "gu")

/** Returns a pattern that matches a string literally. */
export const literal = (text: string): RegExp => new RegExp(text.replaceAll(/[\^$\\.*+?()[\]{}|/]/g, "\\$&"), "gu")

/** Splits a text into the matches of a pattern and what lies between them; no piece is empty. */
export const isolate = (text: string, pattern: RegExp): Array<string> => {
  const pieces: Array<string> = []
  let end = 0
  for (const match of text.matchAll(pattern)) {
    if (match[0] === "") continue
    if (match.index > end) pieces.push(text.slice(end, match.index))
    pieces.push(match[0])
    end = match.index + match[0].length
  }
  if (end < text.length) pieces.push(text.slice(end))
  return pieces
}

/** Returns the pieces between the matches of a pattern; no piece is empty. */
export const remove = (text: string, pattern: RegExp): Array<string> =>
  text.split(pattern).filter((piece) => piece !== "")
