/**
 * Latent semantic analysis (Deerwester et al. 1990): TF-IDF and a truncated singular value decomposition.
 *
 * `tf = 1 + ln(count)`, `idf = ln((1 + N) / (1 + df)) + 1`, rows scaled to length 1; the embedding of a text is `U S`,
 * or `U sqrt(S)` scaled to length 1 when `whiten` is set. A text without a known term gets a row of zeros.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Matrix from "../matrix/Matrix.ts"
import * as TruncatedSvd from "../matrix/TruncatedSvd.ts"
import { Progress, type Tracker } from "../run/Progress.ts"
import * as Safetensors from "../storage/Safetensors.ts"
import * as Words from "../text/Words.ts"
import { BadModel, EmbeddingError, NoText } from "./EmbeddingError.ts"
import { checkModel, type EncoderModel, type Fitted, TextEncoder } from "./TextEncoder.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class LsaConfig extends Schema.Class<LsaConfig>("sidereal/embedding/LsaConfig")({
  /** Most components; fewer where the texts have lower rank. @default 128 */
  width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(128))),
  /** Fewest texts that a term must occur in. @default 2 */
  minimumTexts: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Largest share of texts that a term may occur in; ignored where every term is more frequent. @default 0.5 */
  maximumShare: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.5))),
  /** Whether pairs of neighbouring words are terms too. @default true */
  bigrams: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** Most terms, which bounds memory; the most frequent are kept. @default 2^19 */
  terms: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2 ** 19))),
  /** Divides component i by the root of its singular value and scales rows to length 1. @default true */
  whiten: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
}) {}

/** Returns the words of a text that become terms. */
export const words = Words.of

/** Counts the terms of a text. */
const termsOf = (text: string, bigrams: boolean): Map<string, number> => {
  const list = words(text)
  const terms = new Map<string, number>()
  const add = (term: string) => terms.set(term, (terms.get(term) ?? 0) + 1)
  for (const [i, word] of list.entries()) {
    add(word)
    if (bigrams && i + 1 < list.length) add(`${word} ${list[i + 1]!}`)
  }
  return terms
}

/** Updates progress and yields to other fibers every 1024 texts. */
const turn = (tracker: Tracker, done: number): Effect.Effect<void> =>
  done % 1024 === 1023 ? Effect.andThen(Effect.sync(() => tracker.update(done)), Effect.yieldNow) : Effect.void

/** Most terms counted at once, which bounds memory and the size of a `Map`. */
const mostCounted = 1 << 23

/**
 * Counts the texts that each term occurs in. Beyond `most` terms the rarest so far are dropped, as in lossy counting
 * (Manku and Motwani 2002).
 */
const frequencies = Effect.fnUntraced(function*(
  texts: ReadonlyArray<string>,
  bigrams: boolean,
  most: number,
  tracker: Tracker
) {
  const frequency = new Map<string, number>()
  for (const [i, text] of texts.entries()) {
    yield* turn(tracker, i)
    for (const term of termsOf(text, bigrams).keys()) frequency.set(term, (frequency.get(term) ?? 0) + 1)
    for (let rare = 1; frequency.size > most; rare++) {
      for (const [term, count] of frequency) if (count <= rare) frequency.delete(term)
    }
  }
  return frequency
})

/** Terms in the order of the matrix's columns, and their inverse document frequencies [T]. */
interface Vocabulary {
  readonly terms: ReadonlyArray<string>
  readonly idf: Float64Array
}

const vocabularyOf = Effect.fnUntraced(function*(
  texts: ReadonlyArray<string>,
  config: LsaConfig,
  counted: number,
  tracker: Tracker
) {
  const frequency = yield* frequencies(texts, config.bigrams, counted, tracker)
  const most = Math.max(config.minimumTexts, config.maximumShare * texts.length)
  const shared = [...frequency].filter(([, df]) => df >= config.minimumTexts)
  const telling = shared.filter(([, df]) => df <= most)
  // Texts that all say the same are still texts.
  const terms = (telling.length > 0 ? telling : shared)
    .toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, config.terms).map(([term]) => term).toSorted()
  const idf = Float64Array.from(terms, (term) => Math.log((1 + texts.length) / (1 + frequency.get(term)!)) + 1)
  return { terms, idf } satisfies Vocabulary as Vocabulary
})

/** Returns the weighted terms of texts, a row of length 1 each; `done` texts count as finished before. */
const weighted = Effect.fnUntraced(function*(
  texts: ReadonlyArray<string>,
  { idf, terms }: Vocabulary,
  bigrams: boolean,
  tracker: Tracker,
  done: number
) {
  const column = new Map(terms.map((term, i) => [term, i]))
  const entries = TruncatedSvd.builder()
  for (const [i, text] of texts.entries()) {
    yield* turn(tracker, done + i)
    const row: Array<readonly [number, number]> = []
    for (const [term, count] of termsOf(text, bigrams)) {
      const at = column.get(term)
      if (at !== undefined) row.push([at, (1 + Math.log(count)) * idf[at]!])
    }
    const norm = Math.sqrt(row.reduce((sum, [, value]) => sum + value * value, 0))
    for (const [at, value] of row.toSorted((a, b) => a[0] - b[0])) entries.add(at, value / norm)
    entries.endRow()
  }
  return entries.finish(terms.length)
})

const counting = Effect.fnUntraced(function*(texts: ReadonlyArray<string>, config: LsaConfig, counted: number) {
  // Every text is read twice: to keep the terms of all would take more memory than the texts.
  const tracker = (yield* Progress).start("terms", 2 * texts.length, "texts")
  const vocabulary = yield* vocabularyOf(texts, config, counted, tracker)
  const matrix = yield* weighted(texts, vocabulary, config.bigrams, tracker, texts.length)
  tracker.finish()
  return { vocabulary, matrix }
})

/** Returns the weighted term matrix [N, T] of texts. */
export const tfIdf = Effect.fn("Lsa.tfIdf")(function*(
  texts: ReadonlyArray<string>,
  config: LsaConfig,
  counted = mostCounted
): Effect.fn.Return<TruncatedSvd.SparseMatrix, never, Progress> {
  return (yield* counting(texts, config, counted)).matrix
})

const idOf = (config: LsaConfig, seed: number): string => `lsa:any script:${JSON.stringify(config)}:${seed}`

/** The tensors of a fitted model. */
const names = { terms: "terms", idf: "idf", folding: "folding", values: "values" } as const

/** Fits vocabulary and singular vectors to texts. */
export const fit: (
  texts: ReadonlyArray<string>,
  config: LsaConfig,
  seed: number
) => Effect.Effect<Fitted, EmbeddingError, Progress> = Effect.fn("Lsa.fit")(function*(texts, config, seed) {
  const { matrix, vocabulary: { idf, terms } } = yield* counting(texts, config, mostCounted)
  if (matrix.columns === 0) {
    const worded = texts.filter((text) => words(text).length > 0).length
    return yield* new EmbeddingError({
      reason: new NoText({ items: texts.length, worded, minimumTexts: config.minimumTexts })
    })
  }
  const svd = yield* TruncatedSvd.compute("factors of texts", matrix, config.width, seed)
  const lines = Buffer.from(terms.map((term) => `${term}\n`).join(""))
  return {
    embeddings: fromSvd(svd, matrix.rows, config.whiten),
    model: {
      encoder: idOf(config, seed),
      tensors: new Map<string, Safetensors.StoredTensor>([
        [names.terms, { dtype: "U8", shape: [lines.length], data: lines }],
        [names.idf, { dtype: "F64", shape: [idf.length], data: idf }],
        [names.folding, { dtype: "F32", shape: [idf.length, svd.rank], data: yield* svd.folding }],
        [names.values, { dtype: "F64", shape: [svd.rank], data: svd.values }]
      ])
    }
  }
})

/** Folds texts in: `x P S` of their weighted terms x, or `x P sqrt(S)` scaled to length 1. */
export const encode: (
  texts: ReadonlyArray<string>,
  model: EncoderModel,
  config: LsaConfig
) => Effect.Effect<Matrix.Matrix, EmbeddingError, Progress> = Effect.fn("Lsa.encode")(
  function*(texts, { encoder, tensors }, config) {
    const { folding, idf, terms, values } = yield* Effect.try({
      try: () => ({
        terms: Buffer.from(Safetensors.pick(tensors, names.terms, "U8").data).toString().split("\n").slice(0, -1),
        idf: Safetensors.pick(tensors, names.idf, "F64").data,
        folding: Safetensors.pick(tensors, names.folding, "F32", 2).data,
        values: Safetensors.pick(tensors, names.values, "F64").data
      }),
      catch: (cause) => new EmbeddingError({ reason: new BadModel({ encoder, detail: (cause as Error).message }) })
    })
    const tracker = (yield* Progress).start("fold in", texts.length, "texts")
    const rows = yield* weighted(texts, { terms, idf }, config.bigrams, tracker, 0)
    tracker.finish()
    const rank = values.length
    const out = Matrix.zeros(texts.length, rank)
    const sums = new Float64Array(rank)
    for (let r = 0; r < rows.rows; r++) {
      sums.fill(0)
      for (let i = rows.start[r]!; i < rows.start[r + 1]!; i++) {
        const from = rows.column[i]! * rank
        for (let d = 0; d < rank; d++) sums[d]! += rows.value[i]! * folding[from + d]!
      }
      for (let d = 0; d < rank; d++) {
        out.data[r * rank + d] = sums[d]! * (config.whiten ? Math.sqrt(values[d]!) : values[d]!)
      }
    }
    return config.whiten ? Matrix.normalizeRows(out) : out
  }
)

/** Returns embeddings [N, D]: `U S`, or `U sqrt(S)` with rows of length 1. */
export const fromSvd = (svd: TruncatedSvd.Svd, rows: number, whiten: boolean): Matrix.Matrix => {
  const matrix = Matrix.zeros(rows, svd.rank)
  for (let i = 0; i < matrix.data.length; i++) {
    const value = svd.values[i % svd.rank]!
    matrix.data[i] = svd.left[i]! * (whiten ? Math.sqrt(value) : value)
  }
  return whiten ? Matrix.normalizeRows(matrix) : matrix
}

/** Provides the encoder. */
export const layer = (config: LsaConfig, seed: number): Layer.Layer<TextEncoder, never, Progress> =>
  Layer.effect(
    TextEncoder,
    Effect.map(Progress, (progress) => {
      const id = idOf(config, seed)
      return TextEncoder.of({
        id,
        fit: (texts) => fit(texts, config, seed).pipe(Effect.provideService(Progress, progress)),
        encode: (texts, model) =>
          checkModel(id, model).pipe(
            Effect.andThen(encode(texts, model, config)),
            Effect.provideService(Progress, progress)
          )
      })
    })
  )
