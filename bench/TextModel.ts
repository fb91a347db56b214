/**
 * Folders of random models of the shape of Qwen2 with a byte-level tokenizer, for benchmarks of text policies.
 */
import * as Effect from "effect/Effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as CheckpointConfig from "../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointWriter from "../src/policy/huggingface/CheckpointWriter.ts"
import * as Transformer from "../src/policy/transformer/Transformer.ts"
import * as Random from "../src/statistics/Random.ts"
import * as ByteAlphabet from "../src/tokenizer/ByteAlphabet.ts"
import * as PreTokenizer from "../src/tokenizer/PreTokenizer.ts"
import * as SplitPattern from "../src/tokenizer/SplitPattern.ts"
import * as TokenizerFile from "../src/tokenizer/TokenizerFile.ts"

const models = process.env["SIDEREAL_MODELS"] ?? fileURLToPath(new URL("../../shared/models", import.meta.url))

/** Merges of a tokenizer, by rank, and the tokens that they make of single bytes. */
export class Merges {
  readonly vocabulary = new Map<string, number>(ByteAlphabet.characters.map((token, id) => [token, id]))
  readonly #lines: Array<string> = []

  /** Adds a merge, unless another makes the same token. */
  add(left: string, right: string): void {
    if (this.vocabulary.has(left + right)) return
    this.vocabulary.set(left + right, this.vocabulary.size)
    this.#lines.push(`${left} ${right}`)
  }

  /** Adds merges that make each word of the texts one token. */
  addWords(texts: Iterable<string>): void {
    for (const text of texts) {
      for (const word of text.match(/ ?[A-Za-z]+/g) ?? []) {
        const spelled = ByteAlphabet.spell(word)
        for (let i = 1; i < spelled.length; i++) this.add(spelled.slice(0, i), spelled[i]!)
      }
    }
  }

  /** Returns the files of the tokenizer, whose added tokens follow those of the merges. */
  files(added: ReadonlyArray<string>): ReadonlyMap<string, Uint8Array> {
    const [end] = added
    const json = TokenizerFile.assemble(
      Object.fromEntries(this.vocabulary),
      this.#lines.join("\n"),
      "qwen2",
      added.map((content, i) => ({ id: this.vocabulary.size + i, content, special: true }))
    )
    const config = { eos_token: end, pad_token: end, tokenizer_class: "Qwen2Tokenizer" }
    return new Map([
      ["tokenizer.json", Buffer.from(JSON.stringify(json))],
      ["tokenizer_config.json", Buffer.from(JSON.stringify(config))]
    ])
  }
}

/** Returns the merges that make the tokens of a piece; each takes the lowest rank of all that are possible. */
const firing = (piece: string, ranks: ReadonlyMap<string, number>): ReadonlyArray<string> => {
  const symbols = [...ByteAlphabet.spell(piece)]
  const fired: Array<string> = []
  for (;;) {
    const pairs = symbols.slice(1).map((right, i) => `${symbols[i]!} ${right}`)
    const best = pairs.filter((pair) => ranks.has(pair)).toSorted((a, b) => ranks.get(a)! - ranks.get(b)!)[0]
    if (best === undefined) return fired
    fired.push(best)
    for (let at; (at = pairs.indexOf(best)) >= 0;) {
      symbols.splice(at, 2, symbols[at]! + symbols[at + 1]!)
      pairs.splice(0, pairs.length, ...symbols.slice(1).map((right, i) => `${symbols[i]!} ${right}`))
    }
  }
}

/**
 * Returns merges that split the texts as Qwen3 does, with Qwen3's first merges up to `tokens` tokens, as the peers have
 * them; where its files are absent, merges that make each word one token.
 */
export const qwen = (texts: ReadonlyArray<string>, tokens: number): Merges => {
  const merges = new Merges()
  const file = join(models, "qwen3", "merges.txt")
  if (!existsSync(file)) {
    merges.addWords(texts)
    return merges
  }
  const lines = readFileSync(file, "utf8").split("\n").filter((line) => line !== "" && !line.startsWith("#version"))
  const ranks = new Map(lines.map((line, rank) => [line, rank]))
  const pattern = SplitPattern.compile(PreTokenizer.patterns.qwen2)
  const kept = new Set(
    texts.flatMap((text) => SplitPattern.isolate(text, pattern).flatMap((piece) => firing(piece, ranks)))
  )
  for (const line of lines) {
    if (ByteAlphabet.characters.length + kept.size >= tokens) break
    kept.add(line)
  }
  for (const line of lines) if (kept.has(line)) merges.add(...line.split(" ") as [string, string])
  return merges
}

/** Writes a folder with random weights in bfloat16 or float32; the weights of one tensor are in memory at a time. */
export const write = Effect.fnUntraced(function*(
  folder: string,
  shape: Transformer.DecoderConfig,
  type: "BF16" | "F32",
  files: ReadonlyMap<string, Uint8Array>
) {
  // As many draws as the prime says are cycled through: hundreds of millions would take minutes.
  const cycle = Float32Array.from({ length: 1_000_003 }, Random.normal(7, 3))
  let at = 0
  const specs = Transformer.parameters(shape, () => cycle[at = (at + 1) % cycle.length]!)
  const weights = new Map(
    Object.entries(specs).map(([name, { initialize, shape }]) => [name, {
      shape,
      get data() {
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
        initialize(values)
        return values
      }
    }])
  )
  yield* CheckpointWriter.write(folder, { config: yield* CheckpointConfig.ofDecoder(shape, type), weights, files })
})
