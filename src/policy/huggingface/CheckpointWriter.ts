/**
 * Writes a checkpoint in the layout of Hugging Face, which transformers reads: config.json, one file or several shards
 * of safetensors with their index, copies of the tokenizer's files, and given ones.
 *
 * Everything is written to a new folder beside the target, flushed, and renamed, so that the target is either complete
 * or as it was.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Durable from "../../run/Durable.ts"
import * as Safetensors from "../../storage/Safetensors.ts"
import { type ParameterBuffer } from "../../tensor/ParameterBuffer.ts"
import { widened } from "../../tensor/TensorProgram.ts"
import * as CheckpointConfig from "./CheckpointConfig.ts"
import { BadWeight, CheckpointError, Occupied } from "./CheckpointError.ts"
import * as CheckpointFolder from "./CheckpointFolder.ts"
import * as CheckpointTensors from "./CheckpointTensors.ts"

/** Weights by name, row-major. */
export type Weights = ReadonlyMap<
  string,
  { readonly shape: ReadonlyArray<number>; readonly data: Float32Array }
>

/**
 * Returns the weights of a buffer, or with "average" their moving averages, as views: nothing is copied, except that
 * those in bfloat16 are widened.
 */
export const weightsOf = (buffer: ParameterBuffer, region: "weights" | "average" = "weights"): Weights =>
  new Map(
    Object.entries(buffer.tensors(region)).map(([name, tensor]) => [
      name,
      { shape: tensor.shape, data: widened(tensor).data as Float32Array }
    ])
  )

/** Files of a tokenizer and of generation, which are copied where they are. */
export const companions: ReadonlyArray<string> = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "generation_config.json"
]

/** Options of writing a checkpoint. */
export interface WriteOptions {
  readonly config: CheckpointConfig.CheckpointConfig
  readonly weights: Weights
  /** Type of the weights in the files. @default that of `config` */
  readonly dtype?: Safetensors.FloatType | undefined
  /** Largest number of bytes of the tensors of a shard, exceeded by a single tensor only. @default 5 GB */
  readonly shardBytes?: number | undefined
  /** Folder of which the files of the tokenizer are copied. @default none */
  readonly tokenizer?: string | undefined
  /** Further files by their paths in the folder, in place of copies of the same name. @default none */
  readonly files?: ReadonlyMap<string, Uint8Array> | undefined
  /** Whether a checkpoint that is already there is replaced; other folders never are. @default false */
  readonly replace?: boolean | undefined
}

interface Shard {
  readonly name: string
  readonly tensors: Array<CheckpointTensors.NamedShape>
}

const bytesOf = (shape: ReadonlyArray<number>, dtype: Safetensors.FloatType) =>
  shape.reduce((a, b) => a * b, Safetensors.width[dtype])

const shardsOf = (
  tensors: ReadonlyArray<CheckpointTensors.NamedShape>,
  dtype: Safetensors.FloatType,
  most: number
): ReadonlyArray<Shard> => {
  const groups: Array<Array<CheckpointTensors.NamedShape>> = []
  let filled = Infinity
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor.shape, dtype)
    if (filled + bytes > most) {
      groups.push([])
      filled = 0
    }
    groups.at(-1)!.push(tensor)
    filled += bytes
  }
  const digits = (n: number) => String(n).padStart(5, "0")
  return groups.map((tensors, i) => ({
    name: groups.length === 1
      ? "model.safetensors"
      : `model-${digits(i + 1)}-of-${digits(groups.length)}.safetensors`,
    tensors
  }))
}

/** Number of weights that are converted at once. */
const part = 1 << 20

/** Returns the bytes of a shard, part by part. */
function* partsOf(
  tensors: ReadonlyArray<CheckpointTensors.NamedShape>,
  weights: Weights,
  dtype: Safetensors.FloatType
) {
  yield Safetensors.encodeHeader({ dtype, tensors }, { format: "pt" })
  for (const { name } of tensors) {
    const { data } = weights.get(name)!
    for (let at = 0; at < data.length; at += part) yield Safetensors.convert(data.subarray(at, at + part), dtype)
  }
}

/** Largest number that a type rounds to a finite one. */
const largest: Readonly<Record<Safetensors.FloatType, number>> = {
  F32: Infinity,
  BF16: (2 - 2 ** -8) * 2 ** 127,
  F16: 65_520
}

const unfit = (path: string, weights: Weights, dtype: Safetensors.FloatType): CheckpointError | undefined => {
  for (const [name, { data }] of weights) {
    const index = data.findIndex((value) => !(Math.abs(value) < largest[dtype]))
    if (index < 0) continue
    return new CheckpointError({
      reason: new BadWeight({
        file: path,
        tensor: name,
        index,
        value: String(data[index]),
        remedy: Number.isFinite(data[index])
          ? `it is too large for ${dtype}; write BF16 or F32`
          : "train with a lower learning rate, or write weights from before"
      })
    })
  }
  return undefined
}

const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`

const storage = (operation: string, path: string) =>
  Effect.mapError((error: { readonly message: string }) =>
    CheckpointFolder.ofRun(Durable.storage(operation, path)(error))
  )

/** Writes a checkpoint to the folder `target`, which must not exist, be empty, or be a checkpoint that is replaced. */
export const write = Effect.fn("CheckpointWriter.write")(
  function*(target: string, options: WriteOptions) {
    const { config, dtype = config.dtype, replace = false, shardBytes = 5e9, tokenizer, weights } = options
    const given = options.files ?? new Map<string, Uint8Array>()
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const settings = yield* CheckpointConfig.encode(config, dtype)
    const problem = CheckpointTensors.mismatch(target, config.decoder, weights) ?? unfit(target, weights, dtype)
    if (problem !== undefined) return yield* problem
    const folder = path.resolve(target)
    const before = yield* fs.readDirectory(folder).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed<Array<string>>([])),
      storage("list", folder)
    )
    if (before.length > 0 && !(replace && before.includes("config.json"))) {
      const shown = before.toSorted()
      const found = `${shown.slice(0, 20).join(", ")}${shown.length > 20 ? " ..." : ""}`
      return yield* new CheckpointError({ reason: new Occupied({ path: folder, found }) })
    }
    const partial = `${folder}.partial`
    const old = `${folder}.replaced`
    const tensors = CheckpointTensors.expected(config.decoder)
    const shards = shardsOf(tensors, dtype, shardBytes)
    const writeAll = Effect.gen(function*() {
      yield* fs.remove(partial, { recursive: true, force: true }).pipe(storage("remove", partial))
      yield* Durable.makeFolder(partial).pipe(Effect.mapError(CheckpointFolder.ofRun))
      const flushed = (name: string, parts: Iterable<Uint8Array>) => {
        const file = path.join(partial, name)
        return Durable.writeParts(file, parts).pipe(storage("write", file))
      }
      if (tokenizer !== undefined) {
        for (const name of companions) {
          if (given.has(name)) continue
          const from = path.join(tokenizer, name)
          if (!(yield* fs.exists(from).pipe(storage("read", from)))) continue
          yield* flushed(name, [yield* fs.readFile(from).pipe(storage("read", from))])
        }
      }
      for (const [name, bytes] of given) {
        yield* Durable.makeFolder(path.dirname(path.join(partial, name))).pipe(Effect.mapError(CheckpointFolder.ofRun))
        yield* flushed(name, [bytes])
      }
      for (const shard of shards) yield* flushed(shard.name, partsOf(shard.tensors, weights, dtype))
      if (shards.length > 1) {
        yield* flushed("model.safetensors.index.json", [Buffer.from(json({
          metadata: { total_size: tensors.reduce((sum, { shape }) => sum + bytesOf(shape, dtype), 0) },
          weight_map: Object.fromEntries(
            shards.flatMap(({ name, tensors }) => tensors.map((tensor) => [tensor.name, name]))
          )
        }))])
      }
      yield* flushed("config.json", [Buffer.from(json(settings))])
      yield* Durable.flushFolder(partial)
    })
    const exchange = Effect.gen(function*() {
      if (before.length > 0) {
        yield* fs.remove(old, { recursive: true, force: true }).pipe(storage("remove", old))
        yield* fs.rename(folder, old).pipe(storage("rename", folder))
      }
      yield* fs.rename(partial, folder).pipe(
        Effect.onError(() => before.length > 0 ? Effect.ignore(fs.rename(old, folder)) : Effect.void),
        storage("write", folder)
      )
      yield* Durable.flushFolder(path.dirname(folder))
      yield* fs.remove(old, { recursive: true, force: true }).pipe(storage("remove", old))
    })
    yield* writeAll.pipe(
      Effect.andThen(Effect.uninterruptible(exchange)),
      Effect.onError(() => Effect.ignore(fs.remove(partial, { recursive: true, force: true })))
    )
  }
)
