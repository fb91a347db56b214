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
import * as Words from "../text/Words.ts"
import { EmbeddingError, NoText } from "./EmbeddingError.ts"
import { TextEncoder } from "./TextEncoder.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class LsaConfig extends Schema.Class<LsaConfig>("sidereal/embedding/LsaConfig")({
  /** Components, fewer when the texts have fewer. @default 128 */
  width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(128))),
  /** Texts a term must occur in. @default 2 */
  minimumTexts: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Largest share of texts a term may occur in, where some term is that rare. @default 0.5 */
  maximumShare: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.5))),
  /** Pairs of neighbouring words as terms of their own. @default true */
  bigrams: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** Most terms, those in the most texts first: what bounds memory. @default 2^19 */
  terms: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2 ** 19))),
  /** Divides component i by the root of its singular value and scales rows to 1. @default true */
  whiten: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
}) {}

/** Words of a text, as they become terms. */
export const words = Words.of

/** Terms of a text and how often it has them. */
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

/** Lets other fibers have their turn now and then. */
const turn = (tracker: Tracker, done: number): Effect.Effect<void> =>
  done % 1024 === 1023 ? Effect.andThen(Effect.sync(() => tracker.update(done)), Effect.yieldNow) : Effect.void

/** Terms that are counted at once: what bounds memory, and the size of a `Map`. */
const mostCounted = 1 << 23

/**
 * In how many texts each term occurs. Where there are more terms than fit, the rarest so far are forgotten, as in lossy
 * counting (Manku and Motwani 2002).
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

/** The weighted term matrix of texts, one row per text. */
export const tfIdf = Effect.fn("Lsa.tfIdf")(function*(
  texts: ReadonlyArray<string>,
  config: LsaConfig,
  counted = mostCounted
): Effect.fn.Return<TruncatedSvd.SparseMatrix, never, Progress> {
  // Every text is read twice: to keep the terms of all would take more memory than the texts.
  const tracker = (yield* Progress).start("terms", 2 * texts.length, "texts")
  const frequency = yield* frequencies(texts, config.bigrams, counted, tracker)
  const most = Math.max(config.minimumTexts, config.maximumShare * texts.length)
  const shared = [...frequency].filter(([, df]) => df >= config.minimumTexts)
  const telling = shared.filter(([, df]) => df <= most)
  // Texts that all say the same are still texts.
  const known = (telling.length > 0 ? telling : shared)
    .toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, config.terms).map(([term]) => term).toSorted()
  const column = new Map(known.map((term, i) => [term, i]))
  const entries = TruncatedSvd.builder()
  for (const [i, text] of texts.entries()) {
    yield* turn(tracker, texts.length + i)
    const row: Array<readonly [number, number]> = []
    for (const [term, count] of termsOf(text, config.bigrams)) {
      const at = column.get(term)
      if (at === undefined) continue
      row.push([at, (1 + Math.log(count)) * (Math.log((1 + texts.length) / (1 + frequency.get(term)!)) + 1)])
    }
    const norm = Math.sqrt(row.reduce((sum, [, value]) => sum + value * value, 0))
    for (const [at, value] of row.toSorted((a, b) => a[0] - b[0])) entries.add(at, value / norm)
    entries.endRow()
  }
  tracker.finish()
  return entries.finish(known.length)
})

/** The embedding of texts. */
export const embed: (texts: ReadonlyArray<string>, config: LsaConfig, seed: number) => Effect.Effect<
  Matrix.Matrix,
  EmbeddingError,
  Progress
> = Effect.fn("Lsa.embed")(function*(texts, config, seed) {
  const terms = yield* tfIdf(texts, config)
  if (terms.columns === 0) {
    const worded = texts.filter((text) => words(text).length > 0).length
    return yield* new EmbeddingError({
      reason: new NoText({ items: texts.length, worded, minimumTexts: config.minimumTexts })
    })
  }
  return fromSvd(yield* TruncatedSvd.compute("factors of texts", terms, config.width, seed), terms.rows, config.whiten)
})

/** Rows `U S`, or `U sqrt(S)` of length 1. */
export const fromSvd = (svd: TruncatedSvd.Svd, rows: number, whiten: boolean): Matrix.Matrix => {
  const matrix = Matrix.zeros(rows, svd.rank)
  for (let i = 0; i < matrix.data.length; i++) {
    const value = svd.values[i % svd.rank]!
    matrix.data[i] = svd.left[i]! * (whiten ? Math.sqrt(value) : value)
  }
  return whiten ? Matrix.normalizeRows(matrix) : matrix
}

/** The encoder. */
export const layer = (config: LsaConfig, seed: number): Layer.Layer<TextEncoder, never, Progress> =>
  Layer.effect(
    TextEncoder,
    Effect.map(Progress, (progress) =>
      TextEncoder.of({
        id: `lsa:any script:${JSON.stringify(config)}:${seed}`,
        encode: (texts) => embed(texts, config, seed).pipe(Effect.provideService(Progress, progress))
      }))
  )
