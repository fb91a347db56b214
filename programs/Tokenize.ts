/**
 * Item texts to embeddings, embeddings to SIDs.
 */
import * as Effect from "effect/Effect"
import * as Collaborative from "../src/embedding/Collaborative.ts"
import { EmbeddingStore } from "../src/embedding/EmbeddingStore.ts"
import * as Fusion from "../src/embedding/Fusion.ts"
import { hasText, itemText, TextEncoder } from "../src/embedding/TextEncoder.ts"
import * as Unknown from "../src/embedding/Unknown.ts"
import { type Matrix } from "../src/matrix/Matrix.ts"
import * as Manifest from "../src/run/Manifest.ts"
import * as CollisionPolicy from "../src/sid/CollisionPolicy.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import * as Note from "./Note.ts"
import * as Prepare from "./Prepare.ts"
import * as Quantizers from "./Quantizers.ts"
import { artefacts } from "./RunSettings.ts"
import { Workspace } from "./Workspace.ts"

/**
 * Embeddings of all items, from the store when the same was made of the same texts, and with fusion of the same training
 * events, before. Where texts say nothing, what is bought together stands alone, whatever the fusion.
 */
export const embed = Effect.fn("embed")(function*({ dataset, split }: Prepare.Prepared) {
  const encoder = yield* TextEncoder
  const store = yield* EmbeddingStore
  const { record, settings } = yield* Workspace
  const { fusion, seed } = settings
  const texts = dataset.items.map(itemText)
  const keys = dataset.items.map((item) => item.key)
  const stored = Effect.fnUntraced(function*<E, R>(version: string, make: Effect.Effect<Matrix, E, R>) {
    if (yield* store.has(version)) return { version, ...(yield* store.get(version)) }
    const matrix = yield* make
    yield* store.put(version, { keys, matrix })
    yield* record("embeddings", version)
    return { version, keys, matrix }
  })
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
    return yield* stored(
      Manifest.hash([JSON.stringify(["without texts", fusion.collaborative, seed, keys]), ...events]),
      together ? Effect.map(collaborative, Fusion.halfWhiten) : Effect.sync(() => Unknown.embed(keys.length, seed))
    )
  })
  if (settings.encoder.kind !== "precomputed" && !dataset.items.some(hasText)) {
    return yield* withoutTexts("no item has a text of its own")
  }
  const text = yield* stored(
    Manifest.hash([encoder.id, ...texts.map((text) => JSON.stringify(text))]),
    encoder.encode(texts, keys)
  ).pipe(Effect.catchReason("EmbeddingError", "NoText", ({ why }) => Effect.succeed(why)))
  if (typeof text === "string") return yield* withoutTexts(text)
  if (fusion.kind === "none") return text
  return yield* stored(
    Manifest.hash([JSON.stringify([text.version, fusion, seed]), ...events]),
    Effect.map(collaborative, (rows) => Fusion.fuse(text.matrix, rows, fusion))
  )
})

/** What a tokenizer made. */
export interface Tokenized {
  readonly index: SidIndex.SidIndex
  /** Before the collision policy. */
  readonly diagnosis: Quantizer.Diagnosis
  readonly quantizer: string
}

interface Stored {
  readonly codebookSizes: ReadonlyArray<number>
  readonly collisionPolicy: string
  readonly diagnosis: Quantizer.Diagnosis
  readonly quantizer: string
  readonly sids: ReadonlyArray<ReadonlyArray<number>>
}

const codec = {
  encode: ({ diagnosis, index, quantizer }: Tokenized): Uint8Array => {
    const stored: Stored = {
      codebookSizes: index.codebookSizes,
      collisionPolicy: index.collisionPolicy,
      diagnosis,
      quantizer,
      sids: index.sids.map((codes) => Array.from(codes))
    }
    return Buffer.from(JSON.stringify(stored))
  },
  decode: (bytes: Uint8Array): Tokenized => {
    const stored = JSON.parse(Buffer.from(bytes).toString()) as Stored
    return {
      diagnosis: stored.diagnosis,
      quantizer: stored.quantizer,
      index: SidIndex.make(
        stored.sids.map((codes) => Int32Array.from(codes)),
        stored.codebookSizes,
        stored.collisionPolicy
      )
    }
  }
}

/** What SIDs are made from: embeddings, and how often an item was met in training. */
export const items = Effect.fn("tokenize.items")(function*(prepared: Prepare.Prepared) {
  const { dataset, split } = prepared
  const { keys, matrix, version } = yield* embed(prepared)
  const popularity = new Float64Array(dataset.items.length)
  for (const sequence of split.train) for (const item of sequence) popularity[item]!++
  return { keys, embeddings: matrix, popularity, version } satisfies Quantizer.Items & { readonly version: string }
})

/** The SIDs of the run. */
export const program = Effect.fn("tokenize")(function*() {
  const { artefact, settings } = yield* Workspace
  return yield* artefact(
    artefacts.sids,
    Effect.gen(function*() {
      const quantizer = yield* Quantizer.Quantizer
      const found = yield* items(yield* Prepare.program())
      const trained = yield* quantizer.train(found)
      const policy = Quantizers.policyOf(yield* Quantizers.chosen(settings))
      const resolved = yield* CollisionPolicy.resolve(policy, quantizer, found, trained)
      const tokenized: Tokenized = {
        diagnosis: yield* quantizer.diagnose(found, trained),
        index: SidIndex.fromResolved(resolved, policy.name),
        quantizer: quantizer.name
      }
      return tokenized
    }),
    codec
  )
})
