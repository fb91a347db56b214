/**
 * Embeddings of item texts, SIDs of the embeddings, and SIDs of texts of new items.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { nameless } from "../src/catalog/Assemble.ts"
import * as Collaborative from "../src/embedding/Collaborative.ts"
import { BadModel, EmbeddingError, NoEncoder, UnknownText } from "../src/embedding/EmbeddingError.ts"
import { EmbeddingStore } from "../src/embedding/EmbeddingStore.ts"
import * as Fusion from "../src/embedding/Fusion.ts"
import { checkModel, hasText, itemText, TextEncoder } from "../src/embedding/TextEncoder.ts"
import * as Unknown from "../src/embedding/Unknown.ts"
import * as Matrix from "../src/matrix/Matrix.ts"
import * as Manifest from "../src/run/Manifest.ts"
import * as Codes from "../src/sid/Codes.ts"
import * as CollisionPolicy from "../src/sid/CollisionPolicy.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import { OtherModels, SidError } from "../src/sid/SidError.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import * as Trie from "../src/sid/trie/Trie.ts"
import * as Artefacts from "./Artefacts.ts"
import * as ModelFiles from "./ModelFiles.ts"
import * as Note from "./Note.ts"
import * as Prepare from "./Prepare.ts"
import * as Quantizers from "./Quantizers.ts"
import { artefacts } from "./RunSettings.ts"
import { Workspace } from "./Workspace.ts"

/**
 * Returns embeddings of all items, a function that returns those of the texts alone, half-whitened, and one that embeds
 * new texts in the same space. Embeddings are read from the store if they were made from the same texts and, with
 * fusion, the same training events. If the texts have no information, the embeddings are those of the events alone,
 * with or without fusion.
 */
export const embed = Effect.fn("embed")(function*({ dataset, split }: Prepare.Prepared) {
  const encoder = yield* TextEncoder
  const store = yield* EmbeddingStore
  const { artefact, record, settings, tokenized } = yield* Workspace
  const { fusion, seed } = settings
  const texts = dataset.items.map(itemText)
  const keys = dataset.items.map((item) => item.key)
  const stored = Effect.fnUntraced(function*<E, R>(version: string, make: Effect.Effect<Matrix.Matrix, E, R>) {
    if (yield* store.has(version)) return { version, ...(yield* store.get(version)) }
    const matrix = yield* make
    yield* store.put(version, { keys, matrix })
    yield* record("embeddings", version)
    return { version, keys, matrix }
  })
  /** Returns the kept model, or that of `fitted`. A model from which SIDs were made is never replaced. */
  const modelOf = <A, E, R>(
    name: string,
    version: string,
    fitted: Effect.Effect<{ readonly model: A }, E, R>,
    codec: Artefacts.Codec<ModelFiles.Versioned<A>>
  ) =>
    artefact(name, Effect.map(fitted, ({ model }) => ({ version, model })), codec, {
      isCurrent: (kept) => tokenized || kept.version === version,
      remember: false
    }).pipe(Effect.map(({ model }) => model))
  const events = split.train.map((sequence) => `;${sequence.join(",")}`)
  const collaborative = Collaborative.embed(split.train, keys.length, fusion.collaborative, seed)
  const withoutTexts = Effect.fnUntraced(function*(cause: string) {
    const together = split.train.some((sequence) => sequence.some((item) => item !== sequence[0]))
    yield* Note.print(
      `note: ${cause}; ${
        together
          ? "items are embedded by what is bought together alone"
          : "no two items are bought together in training either, so embeddings are drawn from the seed and SIDs say nothing of items"
      }`
    )
    const found = yield* stored(
      Manifest.hash([JSON.stringify(["without texts", fusion.collaborative, seed, keys]), ...events]),
      together ? Effect.map(collaborative, Fusion.halfWhiten) : Effect.sync(() => Unknown.embed(keys.length, seed))
    )
    return { ...found, text: () => found.matrix, embedTexts: undefined }
  })
  if (settings.encoder.kind !== "precomputed" && !dataset.items.some(hasText)) {
    return yield* withoutTexts("no item has a text of its own")
  }
  const textVersion = Manifest.hash([encoder.id, ...texts.map((text) => JSON.stringify(text))])
  const fitted = yield* Effect.cached(encoder.fit(texts, keys))
  const encoderModel = modelOf(artefacts.encoder, textVersion, fitted, ModelFiles.encoder).pipe(
    Effect.tap((model) => checkModel(encoder.id, model))
  )
  const text = yield* stored(
    textVersion,
    Effect.andThen(encoderModel, Effect.map(fitted, ({ embeddings }) => embeddings))
  ).pipe(Effect.catchReason("EmbeddingError", "NoText", ({ why }) => Effect.succeed(why)))
  if (typeof text === "string") return yield* withoutTexts(text)
  const encode = Effect.fnUntraced(function*(newTexts: ReadonlyArray<string>, newKeys: ReadonlyArray<string>) {
    const rows = yield* encoder.encode(newTexts, yield* encoderModel, newKeys)
    const empty = newKeys.find((_, r) => Matrix.row(rows, r).every((value) => value === 0))
    return empty === undefined
      ? rows
      : yield* new EmbeddingError({ reason: new UnknownText({ text: empty }) })
  })
  const ofText = () => Fusion.halfWhiten(text.matrix)
  if (fusion.kind === "none") return { ...text, text: ofText, embedTexts: encode }
  const version = Manifest.hash([JSON.stringify([text.version, fusion, seed]), ...events])
  const fused = yield* Effect.cached(
    Effect.map(collaborative, (rows) => Fusion.fit(text.matrix, rows, fusion))
  )
  const fusionModel = modelOf(artefacts.fusion, version, fused, ModelFiles.fusion)
  const found = yield* stored(version, Effect.andThen(fusionModel, Effect.map(fused, ({ embeddings }) => embeddings)))
  return {
    ...found,
    text: ofText,
    embedTexts: Effect.fnUntraced(function*(...given: Parameters<typeof encode>) {
      const rows = yield* encode(...given)
      const model = yield* fusionModel
      return yield* Effect.try({
        try: () => Fusion.place(model, rows),
        catch: (cause) =>
          new EmbeddingError({ reason: new BadModel({ encoder: "fusion", detail: (cause as Error).message }) })
      })
    })
  }
})

/** Result of a tokenizer. */
export interface Tokenized {
  readonly index: SidIndex.SidIndex
  /** Diagnosis before the collision policy. */
  readonly diagnosis: Quantizer.Diagnosis
  readonly quantizer: string
}

/** Schema of SIDs by item in JSON; checked by loops, since a catalogue may have millions of items. */
export const StoredSids = Schema.declare(
  (value: unknown): value is ReadonlyArray<ReadonlyArray<number>> =>
    Array.isArray(value) &&
    value.every((codes: unknown) =>
      Array.isArray(codes) && codes.length > 0 && codes.every((code) => Number.isInteger(code) && code >= 0)
    ),
  { expected: "a list of codes for every item" }
)

const stored = Artefacts.json(Schema.Struct({
  codebookSizes: Schema.Array(Schema.Int),
  collisionPolicy: Schema.String,
  diagnosis: Quantizer.Diagnosis,
  quantizer: Schema.String,
  sids: StoredSids
}))

const codec: Artefacts.Codec<Tokenized> = {
  encode: ({ diagnosis, index, quantizer }) =>
    stored.encode({
      codebookSizes: index.codebookSizes,
      collisionPolicy: index.collisionPolicy,
      diagnosis,
      quantizer,
      sids: index.sids.map((codes) => Array.from(codes))
    }),
  decode: (bytes) => {
    const { codebookSizes, collisionPolicy, diagnosis, quantizer, sids } = stored.decode(bytes)
    for (const [item, codes] of sids.entries()) {
      for (const [level, code] of codes.entries()) {
        if (code < (codebookSizes[level] ?? 0)) continue
        throw new Error(
          `code ${code} at level ${level} of item ${item}, whose codebooks are ${codebookSizes.join(" x ")}`
        )
      }
    }
    const index = SidIndex.make(sids.map((codes) => Int32Array.from(codes)), codebookSizes, collisionPolicy)
    return { diagnosis, quantizer, index }
  }
}

/**
 * Returns the inputs of the tokenizer: embeddings with their version, the training events of each item and, if texts
 * can be embedded, the function that embeds new texts.
 */
export const items = Effect.fn("tokenize.items")(function*(prepared: Prepare.Prepared) {
  const { dataset, split } = prepared
  const { embedTexts, keys, matrix, version } = yield* embed(prepared)
  const popularity = new Float64Array(dataset.items.length)
  for (const sequence of split.train) for (const item of sequence) popularity[item]!++
  return { items: { keys, embeddings: matrix, popularity } satisfies Quantizer.Items, version, embedTexts }
})

/** Reads the trained quantizer of the run, or trains it; returns which of both it did. */
const trainedOn = Effect.fnUntraced(function*(items: Quantizer.Items, itemsVersion: string) {
  const { artefact, tokenized } = yield* Workspace
  const quantizer = yield* Quantizer.Quantizer
  const version = Manifest.hash([JSON.stringify([itemsVersion, quantizer.id, Array.from(items.popularity)])])
  let isNew = false
  const { model } = yield* artefact(
    artefacts.quantizer,
    Effect.map(quantizer.train(items), (model) => {
      isNew = true
      return { version, model }
    }),
    ModelFiles.quantizer,
    { isCurrent: (kept) => tokenized || kept.version === version, remember: false }
  )
  return { trained: model, isNew }
})

const resolve = Effect.fnUntraced(function*(found: Quantizer.Items, trained: Quantizer.Trained) {
  const { settings } = yield* Workspace
  const policy = Quantizers.policyOf(yield* Quantizers.chosen(settings))
  const resolved = yield* CollisionPolicy.resolve(policy, yield* Quantizer.Quantizer, found, trained)
  return SidIndex.fromResolved(resolved, policy.name)
})

/** Returns the SIDs of the run. */
export const program = Effect.fn("tokenize")(function*() {
  const { artefact } = yield* Workspace
  return yield* artefact(
    artefacts.sids,
    Effect.gen(function*() {
      const quantizer = yield* Quantizer.Quantizer
      const { items: found, version } = yield* items(yield* Prepare.program())
      const { trained } = yield* trainedOn(found, version)
      const tokenized: Tokenized = {
        index: yield* resolve(found, trained),
        diagnosis: yield* quantizer.diagnose(found, trained),
        quantizer: quantizer.name
      }
      return tokenized
    }),
    codec
  )
})

/** Item of the run with its similarity to a new text. */
export interface NearItem {
  readonly item: string
  readonly title: string
  /** Cosine of the embeddings, -1 to 1. */
  readonly similarity: number
  readonly sid: string
}

/** SID of a text of a new item. */
export interface NewSid {
  readonly text: string
  readonly codes: ReadonlyArray<number>
  readonly sid: string
  /**
   * Whether it is neither equal to, nor a prefix of, nor an extension of a SID of the run, so that a trie can contain
   * it.
   */
  readonly free: boolean
  /** Titles of the items whose SID equals it. */
  readonly sharedWith: ReadonlyArray<string>
  /** Nearest items, nearest first. */
  readonly nearest: ReadonlyArray<NearItem>
}

const nearItems = 5

/** Returns whether a SID can be added to a trie with the existing ones. */
const isFree = (trie: Trie.Trie, codes: Int32Array): boolean => {
  let node = 0
  for (const code of codes) {
    node = Trie.child(trie, node, code)
    if (node < 0) return true
    if (Trie.itemCount(trie, node) > 0) return false
  }
  return false
}

/**
 * Computes SIDs of texts, as titles of new items, with the models of the run. Models that are missing from a run of an
 * older version are fitted again and must reproduce the run's SIDs.
 */
export const text = Effect.fn("tokenize.text")(function*(titles: ReadonlyArray<string>) {
  const { settings } = yield* Workspace
  const absent = yield* Quantizer.Quantizer
  const quantizers = Quantizers.layer(yield* Quantizers.chosen(settings), settings.seed).pipe(
    // A file of given SIDs may be gone; the quantizer that replaces it encodes by the same codebooks.
    Layer.catch(() => Layer.succeed(Quantizer.Quantizer, absent))
  )
  const { index } = yield* program()
  const prepared = yield* Prepare.program()
  return yield* Effect.gen(function*() {
    const quantizer = yield* Quantizer.Quantizer
    const { embedTexts, items: found, version } = yield* items(prepared)
    if (embedTexts === undefined) {
      return yield* new EmbeddingError({
        reason: new NoEncoder({ detail: "the items of the run are embedded without texts" })
      })
    }
    const embeddings = yield* embedTexts(titles.map((title) => itemText({ ...nameless(title), title })), titles)
    const { isNew, trained } = yield* trainedOn(found, version)
    if (isNew) {
      const again = yield* resolve(found, trained)
      const differing = index.sids.filter((codes, item) => String(codes) !== String(again.sids[item])).length
      if (differing > 0) {
        return yield* new SidError({ reason: new OtherModels({ items: index.sids.length, differing }) })
      }
    }
    const codes = yield* quantizer.encode(
      { keys: titles, embeddings, popularity: new Float64Array(titles.length) },
      trained.model
    )
    const store = yield* EmbeddingStore
    const numbers = new Map(found.keys.map((key, item) => [key, item]))
    return yield* Effect.forEach(
      Codes.rowsOf(codes),
      Effect.fnUntraced(function*(sid, row) {
        const near = yield* store.nearest(version, Matrix.row(embeddings, row).slice(), nearItems)
        const leaf = Trie.find(index.trie, sid)
        const result: NewSid = {
          text: titles[row]!,
          codes: Array.from(sid),
          sid: SidIndex.format(sid),
          free: isFree(index.trie, sid),
          sharedWith: leaf < 0
            ? []
            : Array.from(Trie.items(index.trie, leaf), (item) => prepared.dataset.items[item]!.title),
          nearest: near.map(({ key, similarity }) => ({
            item: key,
            title: prepared.dataset.items[numbers.get(key)!]!.title,
            similarity,
            sid: SidIndex.format(index.sids[numbers.get(key)!]!)
          }))
        }
        return result
      })
    )
  }).pipe(Effect.provide(quantizers))
})
