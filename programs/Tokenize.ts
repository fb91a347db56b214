/**
 * Item texts to embeddings, embeddings to SIDs.
 */
import * as Effect from "effect/Effect"
import { type Dataset } from "../src/catalog/Dataset.ts"
import { EmbeddingStore } from "../src/embedding/EmbeddingStore.ts"
import { itemText, TextEncoder } from "../src/embedding/TextEncoder.ts"
import * as Manifest from "../src/run/Manifest.ts"
import * as Collision from "../src/sid/Collision.ts"
import * as Diagnostics from "../src/sid/Diagnostics.ts"
import { Quantizer } from "../src/sid/Quantizer.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { Workspace } from "./Workspace.ts"

/** Embeddings of all items, from the store when an encoder with the same settings saw the same texts before. */
export const embed = Effect.fn("embed")(function*(dataset: Dataset) {
  const encoder = yield* TextEncoder
  const store = yield* EmbeddingStore
  const { record } = yield* Workspace
  const texts = dataset.items.map(itemText)
  const version = Manifest.hash(JSON.stringify([encoder.id, texts]))
  if (!(yield* store.has(version))) {
    yield* store.put(version, { keys: dataset.items.map((item) => item.key), matrix: yield* encoder.encode(texts) })
    yield* record("embeddings", version)
  }
  return { version, ...(yield* store.get(version)) }
})

/** What a tokenizer made. */
export interface Tokenized {
  readonly index: SidIndex.SidIndex
  /** Before the collision policy. */
  readonly diagnostics: Diagnostics.Diagnostics
}

interface Stored {
  readonly codebookSizes: ReadonlyArray<number>
  readonly collisionPolicy: string
  readonly diagnostics: Diagnostics.Diagnostics
  readonly sids: ReadonlyArray<ReadonlyArray<number>>
}

const codec = {
  encode: ({ diagnostics, index }: Tokenized): string => {
    const stored: Stored = {
      codebookSizes: index.codebookSizes,
      collisionPolicy: index.collisionPolicy,
      diagnostics,
      sids: index.sids.map((codes) => Array.from(codes))
    }
    return JSON.stringify(stored)
  },
  decode: (text: string): Tokenized => {
    const stored = JSON.parse(text) as Stored
    return {
      diagnostics: stored.diagnostics,
      index: SidIndex.make(
        stored.sids.map((codes) => Int32Array.from(codes)),
        stored.codebookSizes,
        stored.collisionPolicy
      )
    }
  }
}

/** The SIDs of the run. */
export const program = Effect.fn("tokenize")(function*(dataset: Dataset) {
  const { artefact, settings } = yield* Workspace
  return yield* artefact(
    "sids.json",
    Effect.gen(function*() {
      const quantizer = yield* Quantizer
      const { matrix } = yield* embed(dataset)
      const codebooks = yield* quantizer.train(matrix)
      const { codes, levels } = yield* quantizer.encode(matrix, codebooks)
      const sizes = codebooks.map((book) => book.rows)
      const policy = settings.collision === "keep" ? Collision.keep : Collision.extraToken
      const raw = SidIndex.fromCodes(codes, levels, sizes, Collision.keep)
      const tokenized: Tokenized = {
        diagnostics: Diagnostics.measure(raw.sids, sizes),
        index: SidIndex.fromCodes(codes, levels, sizes, policy)
      }
      return tokenized
    }),
    codec
  )
})
