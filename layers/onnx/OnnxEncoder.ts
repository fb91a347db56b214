/**
 * Any sentence encoder as an ONNX graph: a folder with `model.onnx` (or `onnx/model.onnx`) and `tokenizer.json`.
 *
 * Texts of similar length are run together, shortest first; a text over the maximal length loses its end, with the
 * tokenizer's closing token kept. A text without a token gets a row of zeros. Every finished chunk is kept in a folder,
 * so a run that was stopped goes on where it was.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { availableParallelism } from "node:os"
import type * as ort from "onnxruntime-node"
import { BadFile, EmbeddingError, EncoderFailure } from "../../src/embedding/EmbeddingError.ts"
import { checkModel, type EncoderModel, TextEncoder } from "../../src/embedding/TextEncoder.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import * as Durable from "../../src/run/Durable.ts"
import * as Packages from "../../src/run/Packages.ts"
import { Progress } from "../../src/run/Progress.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class OnnxEncoderConfig extends Schema.Class<OnnxEncoderConfig>("sidereal/layers/onnx/OnnxEncoderConfig")({
  /** Folder of the graph and the tokenizer. */
  path: Schema.String,
  /** Pooling of the last hidden states to one row: their mean, the first, or the last one. @default mean */
  pooling: Schema.Literals(["mean", "cls", "last"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("mean" as const))
  ),
  /** Most tokens of a text. @default 256 */
  maximumLength: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(256))),
  /** Prefix of every text, such as `passage: `. @default empty */
  prefix: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed(""))),
  /** Whether rows are scaled to length 1. @default true */
  normalize: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** Texts in one run. @default 16 */
  batch: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(16))),
  /** @default the processors of the machine, at most 8 */
  threads: Schema.optionalKey(Count)
}) {}

/** Batches between two files of finished rows. */
const batchesPerChunk = 16

interface Encoded {
  readonly ids: ReadonlyArray<number>
  readonly types: ReadonlyArray<number>
}

/** The first `most` tokens, closed by the last one as the tokenizer closes every text. */
const cut = <A>(list: ReadonlyArray<A>, most: number): ReadonlyArray<A> =>
  list.length <= most ? list : [...list.slice(0, most - 1), list.at(-1)!]

/** Loads the packages, so that an installation without them fails with a typed error. */
const packages = (encoder: string) =>
  Effect.tryPromise({
    try: async () => ({
      Tokenizer: (await import("@huggingface/tokenizers")).Tokenizer,
      ort: await import("onnxruntime-node")
    }),
    catch: (cause) =>
      new EmbeddingError({ reason: new EncoderFailure({ encoder, detail: Packages.explain(cause).message }) })
  })

const detailOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const readTokenizer = Effect.fnUntraced(function*(
  folder: string,
  { Tokenizer }: Pick<Effect.Success<ReturnType<typeof packages>>, "Tokenizer">
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(folder, "tokenizer.json")
  const bad = (detail: string) => new EmbeddingError({ reason: new BadFile({ file, detail }) })
  const text = yield* fs.readFileString(file).pipe(Effect.mapError((error) => bad(error.message)))
  const config = yield* fs.readFileString(path.join(folder, "tokenizer_config.json")).pipe(
    Effect.orElseSucceed(() => "{}")
  )
  const tokenizer = yield* Effect.try({
    try: () => new Tokenizer(JSON.parse(text) as object, JSON.parse(config) as object),
    catch: (cause) => bad(`it is no tokenizer: ${detailOf(cause)}`)
  })
  return { tokenizer, text: text + config }
})

/** Provides the encoder; finished chunks are kept in `folder` until all texts are encoded. */
export const layer = (
  config: OnnxEncoderConfig,
  folder: string
): Layer.Layer<TextEncoder, EmbeddingError, FileSystem.FileSystem | Path.Path | Progress> =>
  Layer.effect(
    TextEncoder,
    Effect.gen(function*() {
      const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const progress = yield* Progress
      const { ort, ...library } = yield* packages(config.path)
      const { text: tokenizerText, tokenizer } = yield* readTokenizer(config.path, library)
      const candidates = [path.join(config.path, "model.onnx"), path.join(config.path, "onnx", "model.onnx")]
      const there = yield* Effect.filter(candidates, (file) => fs.exists(file).pipe(Effect.orElseSucceed(() => false)))
      const file = there[0] ?? candidates[0]!
      const badModel = (cause: unknown) =>
        new EmbeddingError({
          reason: new BadFile({ file, detail: detailOf(cause) })
        })
      const graph = yield* fs.readFile(file).pipe(Effect.mapError(badModel))
      const session = yield* Effect.acquireRelease(
        Effect.tryPromise({
          // By its path, since large models keep their weights in files beside.
          try: () =>
            ort.InferenceSession.create(file, {
              intraOpNumThreads: config.threads ?? Math.min(8, availableParallelism()),
              logSeverityLevel: 3
            }),
          catch: badModel
        }),
        (session) => Effect.promise(() => session.release())
      )
      const { path: _, threads: __, batch: ___, ...shaping } = config
      const id = `onnx:${
        createHash("sha256").update(graph).update(tokenizerText).update(JSON.stringify(shaping)).digest("hex")
      }`

      const failure = (cause: unknown) =>
        new EmbeddingError({
          reason: new EncoderFailure({
            encoder: file,
            detail: detailOf(cause)
          })
        })

      const tokens = (text: string): Encoded => {
        const { ids, token_type_ids: types } = tokenizer.encode(config.prefix + text, { return_token_type_ids: true })
        return { ids: cut(ids, config.maximumLength), types: cut(types, config.maximumLength) }
      }

      /** Rows of texts that all have tokens. */
      const run = async (texts: ReadonlyArray<Encoded>): Promise<Matrix.Matrix> => {
        const B = texts.length
        const T = texts.reduce((most, { ids }) => Math.max(most, ids.length), 0)
        const make = (value: (text: Encoded, t: number) => number) => {
          const data = new BigInt64Array(B * T)
          for (const [b, text] of texts.entries()) {
            for (let t = 0; t < T; t++) data[b * T + t] = BigInt(value(text, t))
          }
          return new ort.Tensor("int64", data, [B, T])
        }
        const known: Readonly<Record<string, () => ort.Tensor>> = {
          input_ids: () => make(({ ids }, t) => ids[t] ?? 0),
          attention_mask: () => make(({ ids }, t) => (t < ids.length ? 1 : 0)),
          token_type_ids: () => make(({ types }, t) => types[t] ?? 0),
          position_ids: () => make((_, t) => t)
        }
        const feeds: Record<string, ort.Tensor> = {}
        for (const name of session.inputNames) {
          const input = known[name]
          if (input === undefined) {
            throw new Error(
              `its graph has the input "${name}"; known are ${Object.keys(known).join(", ")}`
            )
          }
          feeds[name] = input()
        }
        const outputs = await session.run(feeds)
        const pooled = Object.values(outputs).find(({ dims }) => dims.length === 2 && dims[0] === B)
        const states = outputs["last_hidden_state"] ?? Object.values(outputs).find(({ dims }) => dims.length === 3)
        if (states === undefined) {
          if (pooled === undefined) throw new Error("its graph gives neither hidden states [B, T, D] nor rows [B, D]")
          return { rows: B, width: pooled.dims[1]!, data: Float32Array.from(pooled.data as Float32Array) }
        }
        return pool(states.data as Float32Array, texts, T, states.dims[2]!, config.pooling)
      }

      const encode = Effect.fn("OnnxEncoder.encode")(function*(texts: ReadonlyArray<string>) {
        const encoded = texts.map(tokens)
        const order = Array.from(encoded.keys()).filter((i) => encoded[i]!.ids.length > 0)
          .toSorted((a, b) => encoded[a]!.ids.length - encoded[b]!.ids.length || a - b)
        const version = createHash("sha256").update(id).update(JSON.stringify(texts)).update(String(config.batch))
          .digest("hex").slice(0, 24)
        const tracker = progress.start("encode", order.length, "texts")
        let out: Matrix.Matrix | undefined
        const place = (members: ReadonlyArray<number>, rows: Matrix.Matrix) => {
          out ??= Matrix.zeros(texts.length, rows.width)
          for (const [r, item] of members.entries()) out.data.set(Matrix.row(rows, r), item * rows.width)
        }
        const perChunk = config.batch * batchesPerChunk
        for (let at = 0; at < order.length; at += perChunk) {
          const members = order.slice(at, at + perChunk)
          const kept = path.join(folder, `${version}-${at}.f32`)
          const bytes = yield* fs.readFile(kept).pipe(Effect.option)
          if (
            bytes._tag === "Some" && bytes.value.byteLength > 0 && bytes.value.byteLength % (4 * members.length) === 0
          ) {
            const data = new Float32Array(bytes.value.slice().buffer)
            place(members, { rows: members.length, width: data.length / members.length, data })
          } else {
            const parts: Array<Matrix.Matrix> = []
            for (let from = 0; from < members.length; from += config.batch) {
              parts.push(
                yield* Effect.tryPromise({
                  try: () => run(members.slice(from, from + config.batch).map((i) => encoded[i]!)),
                  catch: failure
                })
              )
              tracker.update(Math.min(order.length, at + from + config.batch))
            }
            const data = Float32Array.from(parts.flatMap((part) => Array.from(part.data)))
            yield* Durable.write(kept, new Uint8Array(data.buffer)).pipe(Effect.mapError(failure))
            place(members, { rows: members.length, width: parts[0]!.width, data })
          }
          tracker.update(Math.min(order.length, at + members.length))
        }
        tracker.finish()
        for (let at = 0; at < order.length; at += perChunk) {
          yield* fs.remove(path.join(folder, `${version}-${at}.f32`), { force: true }).pipe(Effect.ignore)
        }
        if (out === undefined) {
          return yield* failure(new Error(`none of the ${texts.length} texts has a token`))
        }
        return config.normalize ? Matrix.normalizeRows(out) : out
      })
      // The graph is fitted already; what changes it changes the id.
      const model: EncoderModel = { encoder: id, tensors: new Map() }
      return TextEncoder.of({
        id,
        fit: (texts) =>
          encode(texts).pipe(Effect.map((embeddings) => ({ model, embeddings })), Effect.provideContext(services)),
        encode: (texts, given) =>
          checkModel(id, given).pipe(Effect.andThen(encode(texts)), Effect.provideContext(services))
      })
    })
  )

/** Pools hidden states [B, T, D] to rows [B, D], one per text. */
export const pool = (
  states: Float32Array,
  texts: ReadonlyArray<{ readonly ids: ReadonlyArray<number> }>,
  T: number,
  D: number,
  pooling: OnnxEncoderConfig["pooling"]
): Matrix.Matrix => {
  const out = Matrix.zeros(texts.length, D)
  for (const [b, { ids }] of texts.entries()) {
    const [from, to] = pooling === "mean" ? [0, ids.length] : pooling === "cls" ? [0, 1] : [ids.length - 1, ids.length]
    for (let d = 0; d < D; d++) {
      let sum = 0
      for (let t = from; t < to; t++) sum += states[(b * T + t) * D + d]!
      out.data[b * D + d] = sum / (to - from)
    }
  }
  return out
}
