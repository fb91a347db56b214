/**
 * Tokenizers of the golden folders: `tokenizer.json` or `tokenizer.json.gz`, read once. A folder without either takes
 * that of the same name beside the repository.
 */
import * as Effect from "effect/Effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { golden, goldenBeside, json, list } from "../Golden.ts"

const folder = join(golden, "lm", "tokenizer")

/** The golden folders with a tokenizer and strings. */
export const names = list(folder).filter((name) => existsSync(join(folder, name, "strings.json")))

/** A file of a golden folder, undefined where it is absent. */
export const file = (name: string, kind: "strings" | "prompts") =>
  existsSync(join(folder, name, `${kind}.json`)) ? json(folder, name, `${kind}.json`) : undefined

const isSid = (content: string) => /^<[a-z]_\d+>$/.test(content)

/** Definition of a golden folder's tokenizer, with the roles that its strings name; and the same without SID tokens. */
export const definition = (name: string) =>
  Effect.gen(function*() {
    const found = [folder, join(goldenBeside, "lm", "tokenizer")]
      .flatMap((root) => ["tokenizer.json", "tokenizer.json.gz"].map((one) => join(root, name, one))).find(existsSync)
    if (found === undefined) return undefined
    const bytes = readFileSync(found)
    const text = (found.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8")
    const { vocabulary } = file(name, "strings")
    const whole = yield* TokenizerFile.parse(JSON.parse(text), found)
    const bos = whole.added.find(({ id }) => id === vocabulary.bos)?.content
    const roles = { eos: vocabulary.eos[0] as string, ...(bos === undefined ? {} : { bos }) }
    const named = { ...whole, roles }
    return {
      named,
      bare: TokenizerFile.withoutTokens(named, isSid),
      sidTokens: named.added.map(({ content }) => content).filter(isSid)
    }
  })

/** Tokenizer of a golden folder. */
export const tokenizer = (name: string) =>
  Effect.gen(function*() {
    const found = yield* definition(name)
    return found === undefined ? undefined : yield* ByteLevelBpe.make(found.named)
  })
