/**
 * Public exports of the package: every name of every module that `exports` of package.json reaches, with its docstring.
 *
 * Modules are read by the compiler's own interface, so that types are those that a user's editor shows.
 */
import { globSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { type ClassDeclaration, type Node, SyntaxKind } from "typescript/unstable/ast"
import { API, SignatureKind, SymbolFlags } from "typescript/unstable/sync"

/** Kind of an export. */
export type Kind = "function" | "constant" | "class" | "interface" | "type" | "namespace"

/** Static member of a class, such as a Layer of a service. */
export interface Member {
  readonly name: string
  /** Docstring without its tags. */
  readonly text: string
  readonly signature: string
}

/** Public export of a module. */
export interface PublicExport {
  readonly name: string
  readonly kind: Kind
  /** Docstring without its tags. */
  readonly text: string
  /** Docstring as in the source, with its tags; "" where there is none. */
  readonly comment: string
  /** Type of a function or constant; "" for other kinds. */
  readonly signature: string
  /** Declaration as in the source; that of a class ends before its members. */
  readonly declaration: string
  /** Static members of a class, in the order of the source; none for other kinds. */
  readonly members: ReadonlyArray<Member>
  /** Path of the declaration in the repository. */
  readonly file: string
  /** Line of the declaration, from 1. */
  readonly line: number
}

/** Module with its public exports. */
export interface PublicModule {
  /** Path behind the name of the package, such as `sid/trie/Trie`. */
  readonly path: string
  /** Path of the source in the repository. */
  readonly file: string
  /** Docstring of the file. */
  readonly text: string
  readonly exports: ReadonlyArray<PublicExport>
}

/** Entry of `exports` with a `*`. */
interface Pattern {
  /** Path before the `*`, behind the name of the package. */
  readonly prefix: string
  /** Folder of the sources it leads to; undefined where the entry hides paths. */
  readonly folder: string | undefined
}

/** Returns the entries of `exports` with a `*`, the longest first; conditions of an entry all lead to one source. */
const patterns = (exports: Readonly<Record<string, unknown>>): ReadonlyArray<Pattern> =>
  Object.entries(exports).filter(([path]) => path.endsWith("*")).map(([path, target]): Pattern => {
    const text = typeof target === "object" && target !== null ? Object.values(target)[0] : target
    return {
      prefix: path.slice(2, -1),
      folder: typeof text === "string" ? text.slice(2, text.indexOf("*")) : undefined
    }
  }).toSorted((a, b) => b.prefix.length - a.prefix.length)

/** Returns the sources that `exports` of package.json reaches, with the path behind the name of the package. */
export const sources = (root: string): ReadonlyArray<{ readonly path: string; readonly file: string }> => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly exports: Readonly<Record<string, unknown>>
  }
  const known = patterns(exports)
  return globSync("{src,layers,programs}/**/*.ts", { cwd: root }).toSorted().flatMap((file) => {
    const found = known.find(({ folder }) => folder !== undefined && file.startsWith(folder))
    if (found?.folder === undefined) return []
    const path = `${found.prefix}${file.slice(found.folder.length).replace(/\.ts$/, "")}`
    return known.some(({ folder, prefix }) => folder === undefined && path.startsWith(prefix)) ? [] : [{ path, file }]
  })
}

const commentBefore = (text: string, at: number): string => {
  // A remark for the linter may stand between a docstring and what it describes.
  const before = text.slice(0, at).replace(/(?:\s*\/\/[^\n]*)*\s*$/, "")
  if (!before.endsWith("*/")) return ""
  const from = before.lastIndexOf("/**")
  return from < 0 || before.slice(from).indexOf("*/") !== before.length - from - 2 ? "" : before.slice(from)
}

/** Returns the text of a comment without its marks. */
export const plain = (comment: string): string =>
  comment.replace(/^\/\*\*/, "").replace(/\*\/$/, "").split("\n").map((line) => line.replace(/^\s*\* ?/, "")).join("\n")
    .trim()

/** Returns the text before the first tag. */
export const withoutTags = (text: string): string => text.split(/^@\w+|\s@default\b/m)[0]!.trim()

/** Returns the docstring of a file: its first comment, if it does not belong to a declaration. */
const fileText = (text: string): string => {
  const found = /^(?:#!.*\n)?\s*(\/\*\*[\s\S]*?\*\/)\s*\n\s*(?:import|export \*|const|await)/.exec(text)
  return found === null ? "" : plain(found[1]!)
}

const flagsOfTypes = 1 | 64 // no truncation; aliases of other modules by their names

const kindOf = (flags: number, isFunction: boolean): Kind =>
  (flags & SymbolFlags.Class) !== 0
    ? "class"
    : isFunction
    ? "function"
    : (flags & SymbolFlags.Variable) !== 0
    ? "constant"
    : (flags & SymbolFlags.Interface) !== 0
    ? "interface"
    : (flags & SymbolFlags.TypeAlias) !== 0
    ? "type"
    : "namespace"

/** Returns the statement of a file that contains a node. */
const statementOf = (node: Node): Node =>
  node.parent === undefined || node.parent.kind === SyntaxKind.SourceFile ? node : statementOf(node.parent)

/** Returns the members of a class; undefined for other statements. */
const membersOf = (statement: Node) =>
  statement.kind === SyntaxKind.ClassDeclaration ? (statement as ClassDeclaration).members : undefined

const isStatic = (member: Node, text: string): boolean => /^(?:\w+ )*static /.test(text.slice(member.getStart()))

/** Reads the public exports of the package at a root; the names of a module are in the order of the source. */
export const read = (root: string): ReadonlyArray<PublicModule> => {
  const api = new API({ cwd: root })
  try {
    const config = join(root, "tsconfig.json")
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config)
    if (project === undefined) throw new Error(`${config} is no project`)
    const { checker, program } = project
    return sources(root).map(({ file, path }) => {
      const source = program.getSourceFile(join(root, file))
      if (source === undefined) throw new Error(`${file} is no part of ${config}`)
      const module = checker.getSymbolAtLocation(source)
      const found = module === undefined ? [] : checker.getExportsOfModule(module)
      const exports = found.map((symbol) => {
        const target = (symbol.flags & SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
        const nodes = target.declarations.map((handle) => handle.resolve(project)).filter((node) => node !== undefined)
        const [statement, ...others] = nodes.map(statementOf)
        if (statement === undefined) throw new Error(`${file} exports ${symbol.name}, which nothing declares`)
        const { fileName, text } = statement.getSourceFile()
        const at = statement.getStart()
        const isValue = (target.flags & (SymbolFlags.Variable | SymbolFlags.Function)) !== 0
        const type = isValue ? checker.getTypeOfSymbol(target) : undefined
        const isFunction = type !== undefined && checker.getSignaturesOfType(type, SignatureKind.Call).length > 0
        // A type and a value of one name are documented at either.
        const comment = [statement, ...others].map((one) => commentBefore(text, one.getStart())).find(Boolean) ?? ""
        return {
          name: symbol.name,
          kind: kindOf(target.flags, isFunction),
          text: withoutTags(plain(comment)),
          comment,
          signature: type === undefined ? "" : checker.typeToString(type, source, flagsOfTypes),
          declaration: text.slice(at, membersOf(statement)?.pos ?? statement.end).replace(/\s*\{$/, ""),
          members: (membersOf(statement) ?? []).flatMap((member): ReadonlyArray<Member> => {
            const { name } = member as { readonly name?: Node | undefined }
            const symbol = name === undefined ? undefined : checker.getSymbolAtLocation(name)
            const type = symbol === undefined ? undefined : checker.getTypeOfSymbol(symbol)
            return symbol === undefined || type === undefined || !isStatic(member, text) ? [] : [{
              name: symbol.name,
              text: withoutTags(plain(commentBefore(text, member.getStart()))),
              signature: checker.typeToString(type, source, flagsOfTypes)
            }]
          }),
          file: relative(root, fileName),
          line: text.slice(0, at).split("\n").length
        }
      })
      return {
        path,
        file,
        text: fileText(source.text),
        exports: exports.toSorted((a, b) => a.line - b.line)
      }
    })
  } finally {
    api.close()
  }
}
