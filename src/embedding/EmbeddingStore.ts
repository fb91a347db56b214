/**
 * Embeddings by item, one version per encoder and texts.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { findNonFinite, type Matrix, row } from "../matrix/Matrix.ts"

/** A component that is NaN or infinite. */
export class BadComponent extends Schema.TaggedError<BadComponent>()("BadComponent", {
  item: Schema.String,
  component: Schema.Int,
  value: Schema.String
}) {
  override get message() {
    return `the embedding of "${this.item}" has ${this.value} in component ${this.component}; nothing was stored`
  }
}

/** Different numbers of keys and rows, or a query of another width. */
export class WrongSize extends Schema.TaggedError<WrongSize>()("WrongSize", {
  what: Schema.String,
  expected: Schema.Int,
  actual: Schema.Int
}) {
  override get message() {
    return `${this.what}: expected ${this.expected}, got ${this.actual}`
  }
}

/** A version that was never stored. */
export class NoVersion extends Schema.TaggedError<NoVersion>()("NoVersion", { version: Schema.String }) {
  override get message() {
    return `no embeddings of version ${this.version}; run \`sidereal embed\` first`
  }
}

/** Stored embeddings that differ from those that were written. */
export class CorruptStore extends Schema.TaggedError<CorruptStore>()("CorruptStore", {
  version: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the stored embeddings of version ${this.version} are damaged: ${this.detail}; delete the store to make them again`
  }
}

/** A failure of the database itself. */
export class StoreFailure extends Schema.TaggedError<StoreFailure>()("StoreFailure", { cause: Schema.Defect() }) {
  override get message() {
    const words = this.cause instanceof Error ? this.cause.message : String(this.cause)
    // What follows is where in its own sources the store noticed, and the same again.
    return `the embedding store failed: ${words.replace(/,? \S+\.rs:\d+:\d+[\s\S]*$/, "")}`
  }
}

/** Failure of the embedding store. */
export class EmbeddingStoreError extends Schema.TaggedError<EmbeddingStoreError>()("EmbeddingStoreError", {
  reason: Schema.Union([BadComponent, WrongSize, NoVersion, CorruptStore, StoreFailure])
}) {
  override get message() {
    return this.reason.message
  }
}

/** Item keys and their embeddings [N, D], in the same order. */
export interface StoredEmbeddings {
  readonly keys: ReadonlyArray<string>
  readonly matrix: Matrix
}

/** An item and its similarity to a query. */
export interface Neighbour {
  readonly key: string
  /** Cosine similarity, -1 .. 1. */
  readonly similarity: number
}

/** Store of embeddings by version; a version is complete or absent. */
export class EmbeddingStore extends Context.Service<EmbeddingStore, {
  /** Stores a version, replacing an older one of the same name. */
  put(version: string, embeddings: StoredEmbeddings): Effect.Effect<void, EmbeddingStoreError>
  /** Reads a whole version in its stored order. */
  get(version: string): Effect.Effect<StoredEmbeddings, EmbeddingStoreError>
  /**
   * Streams a version in its stored order, `rows` at a time; fails after the last part where the version is damaged.
   */
  stream(version: string, rows: number): Stream.Stream<StoredEmbeddings, EmbeddingStoreError>
  has(version: string): Effect.Effect<boolean, EmbeddingStoreError>
  /** Returns the `count` nearest items by cosine, nearest first. */
  nearest(
    version: string,
    vector: Float32Array,
    count: number
  ): Effect.Effect<ReadonlyArray<Neighbour>, EmbeddingStoreError>
}>()("sidereal/embedding/EmbeddingStore") {
  /** Provides a store in memory. */
  static readonly layerMemory: Layer.Layer<EmbeddingStore> = Layer.sync(EmbeddingStore, () => {
    const versions = new Map<string, StoredEmbeddings>()
    const get = (version: string) =>
      Effect.suspend(() => {
        const found = versions.get(version)
        return found === undefined
          ? Effect.fail(new EmbeddingStoreError({ reason: new NoVersion({ version }) }))
          : Effect.succeed(found)
      })
    return EmbeddingStore.of({
      put: (version, embeddings) =>
        check(embeddings).pipe(Effect.andThen(Effect.sync(() => void versions.set(version, embeddings)))),
      has: (version) => Effect.sync(() => versions.has(version)),
      ...reading(get)
    })
  })
}

/** Returns the functions of a store that read, given `get`, for stores that read a version as a whole. */
export const reading = (get: EmbeddingStore["Service"]["get"]): Pick<
  EmbeddingStore["Service"],
  "get" | "stream" | "nearest"
> => ({
  get,
  stream: (version, rows) =>
    Stream.fromEffect(get(version)).pipe(
      Stream.flatMap(({ keys, matrix }) =>
        Stream.fromIterable(Array.from({ length: Math.ceil(keys.length / rows) }, (_, part) => ({
          keys: keys.slice(part * rows, (part + 1) * rows),
          matrix: {
            rows: Math.min(rows, keys.length - part * rows),
            width: matrix.width,
            data: matrix.data.subarray(part * rows * matrix.width, (part + 1) * rows * matrix.width)
          }
        })))
      )
    ),
  nearest: (version, vector, count) =>
    get(version).pipe(
      Effect.tap(({ matrix }) => checkWidth(matrix.width, vector)),
      Effect.map(({ keys, matrix }) =>
        keys.map((key, i): Neighbour => ({ key, similarity: cosine(row(matrix, i), vector) }))
          .toSorted((a, b) => b.similarity - a.similarity).slice(0, count)
      )
    )
})

/** Fails unless there is one finite row per key. */
export const check = ({ keys, matrix }: StoredEmbeddings): Effect.Effect<void, EmbeddingStoreError> => {
  if (keys.length !== matrix.rows) {
    return Effect.fail(
      new EmbeddingStoreError({
        reason: new WrongSize({ what: "rows of embeddings", expected: keys.length, actual: matrix.rows })
      })
    )
  }
  const bad = findNonFinite(matrix)
  return bad === undefined ? Effect.void : Effect.fail(
    new EmbeddingStoreError({
      reason: new BadComponent({ item: keys[bad.row]!, component: bad.component, value: String(bad.value) })
    })
  )
}

/** Fails unless a query has the width of the version. */
export const checkWidth = (width: number, vector: Float32Array): Effect.Effect<void, EmbeddingStoreError> =>
  vector.length === width ? Effect.void : Effect.fail(
    new EmbeddingStoreError({
      reason: new WrongSize({ what: "components of a query", expected: width, actual: vector.length })
    })
  )

const cosine = (a: Float32Array, b: Float32Array): number => {
  let dot = 0
  let x = 0
  let y = 0
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!
    x += a[i]! ** 2
    y += b[i]! ** 2
  }
  return x === 0 || y === 0 ? 0 : dot / Math.sqrt(x * y)
}
