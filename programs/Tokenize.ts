/**
 * Item texts to embeddings, embeddings to SIDs.
 */
import * as Effect from "effect/Effect"
import { type Dataset } from "../src/catalog/Dataset.ts"
import { EmbeddingStore } from "../src/embedding/EmbeddingStore.ts"
import { itemText, TextEncoder } from "../src/embedding/TextEncoder.ts"
import * as Manifest from "../src/run/Manifest.ts"
import * as Collision from "../src/sid/Collision.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import * as Prepare from "./Prepare.ts"
import * as Quantizers from "./Quantizers.ts"
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
  encode: ({ diagnosis, index, quantizer }: Tokenized): string => {
    const stored: Stored = {
      codebookSizes: index.codebookSizes,
      collisionPolicy: index.collisionPolicy,
      diagnosis,
      quantizer,
      sids: index.sids.map((codes) => Array.from(codes))
    }
    return JSON.stringify(stored)
  },
  decode: (text: string): Tokenized => {
    const stored = JSON.parse(text) as Stored
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
export const items = Effect.fn("tokenize.items")(function*({ dataset, split }: Prepare.Prepared) {
  const { keys, matrix } = yield* embed(dataset)
  const popularity = new Float64Array(dataset.items.length)
  for (const sequence of split.train) for (const item of sequence) popularity[item]!++
  return { keys, embeddings: matrix, popularity } satisfies Quantizer.Items
})

/** The SIDs of the run. */
export const program = Effect.fn("tokenize")(function*() {
  const { artefact, settings } = yield* Workspace
  return yield* artefact(
    "sids.json",
    Effect.gen(function*() {
      const quantizer = yield* Quantizer.Quantizer
      const found = yield* items(yield* Prepare.program())
      const trained = yield* quantizer.train(found)
      const policy = Quantizers.policyOf(yield* Quantizers.chosen(settings))
      const resolved = yield* Collision.resolve(policy, quantizer, found, trained)
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
