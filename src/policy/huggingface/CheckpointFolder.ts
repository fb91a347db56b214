/**
 * Folder of a Hugging Face checkpoint: config.json, and model.safetensors or the shards of
 * model.safetensors.index.json.
 *
 * Opening reads the headers of the files and compares every name, shape and type with the configuration, before any
 * weight is read. Weights are read in parts of 1 MiB into their places, so that reading needs no second copy.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { type PlatformError } from "effect/PlatformError"
import { closeSync, openSync, readSync } from "node:fs"
import * as Durable from "../../run/Durable.ts"
import { type RunError, Storage } from "../../run/RunError.ts"
import * as Safetensors from "../../storage/Safetensors.ts"
import { type ParameterSpec, type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as CheckpointConfig from "./CheckpointConfig.ts"
import { BadFile, BadWeight, CheckpointError } from "./CheckpointError.ts"
import * as CheckpointTensors from "./CheckpointTensors.ts"

/** Place of a tensor in a file. */
export interface TensorPlace extends CheckpointTensors.NamedShape {
  readonly file: string
  readonly dtype: Safetensors.FloatType
  /** Byte of the file at which the tensor begins. */
  readonly offset: number
  /** Number of elements. */
  readonly size: number
}

/** An opened checkpoint, whose tensors are those of its configuration. */
export interface CheckpointFolder {
  readonly path: string
  readonly config: CheckpointConfig.CheckpointConfig
  /** Every parameter of the decoder, by file and offset. */
  readonly tensors: ReadonlyArray<TensorPlace>
}

/** Bytes that are read at once. */
const part = 1 << 20

/** Largest header of a file, as in the safetensors library. */
const mostHeader = 100_000_000

const bad = (file: string, detail: string, remedy?: string) =>
  new CheckpointError({ reason: new BadFile({ file, detail, ...(remedy === undefined ? {} : { remedy }) }) })

const unreadable = (file: string) => (error: PlatformError) =>
  error.reason._tag === "NotFound" ? bad(file, "is missing") : bad(file, `cannot be read: ${Durable.wordsOf(error)}`)

/** Converts the failure of a write. */
export const ofRun = ({ message, reason }: RunError): CheckpointError =>
  new CheckpointError({
    reason: reason instanceof Storage
      ? reason
      : new Storage({ path: "the checkpoint", operation: "write", detail: message })
  })

const readJson = Effect.fnUntraced(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(file).pipe(Effect.mapError(unreadable(file)))
  return yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => bad(file, `is not JSON: ${(cause as Error).message}`)
  })
})

const fill = Effect.fnUntraced(function*(file: FileSystem.File, bytes: Uint8Array, offset: number) {
  let filled = 0
  while (filled < bytes.length) {
    const count = yield* file.read(bytes.subarray(filled), { position: BigInt(offset + filled) })
    if (count === 0) return false
    filled += count
  }
  return true
})

const readHeader = Effect.fnUntraced(
  function*(path: string) {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.open(path)
    const { size, type } = yield* file.stat
    if (type !== "File") return yield* bad(path, "is not a file")
    const parse = <A>(evaluate: () => A) =>
      Effect.try({
        try: evaluate,
        catch: (cause) => bad(path, `is ${(cause as Error).message}`)
      })
    const begin = new Uint8Array(Math.min(Safetensors.headerStart, Number(size)))
    if (!(yield* fill(file, begin, 0))) return yield* bad(path, "ends while it is read")
    const length = yield* parse(() => Safetensors.headerLength(begin, Number(size)))
    if (length > mostHeader) return yield* bad(path, `says its header has ${length} bytes, more than ${mostHeader}`)
    const json = new Uint8Array(length)
    if (!(yield* fill(file, json, Safetensors.headerStart))) return yield* bad(path, "ends while it is read")
    const start = Safetensors.headerStart + length
    const entries = yield* parse(() => Safetensors.entries(json, Number(size) - start))
    return [...entries].map(([name, entry]) => ({ name, file: path, start, entry }))
  },
  Effect.scoped,
  (effect, path) => Effect.catchTag(effect, "PlatformError", (error) => Effect.fail(unreadable(path)(error)))
)

const single = "model.safetensors"
const indexName = "model.safetensors.index.json"

/** Returns the names of the shards with the tensors that the index says are in each. */
const shardsOf = Effect.fnUntraced(function*(file: string) {
  const json = yield* readJson(file)
  const map = typeof json === "object" && json !== null ? (json as Record<string, unknown>)["weight_map"] : undefined
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    return yield* bad(file, "has no weight_map, an object of tensor names and files")
  }
  const shards = new Map<string, Set<string>>()
  for (const [name, shard] of Object.entries(map)) {
    // A name with a separator would lead out of the folder.
    if (typeof shard !== "string" || !/^[^/\\]+\.safetensors$/.test(shard)) {
      return yield* bad(
        file,
        `names ${JSON.stringify(shard)} as the file of ${name}, expected a .safetensors file beside it`
      )
    }
    const names = shards.get(shard) ?? new Set()
    shards.set(shard, names.add(name))
  }
  if (shards.size === 0) return yield* bad(file, "names no tensors")
  return shards
})

const placesOf = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* fs.readDirectory(folder).pipe(Effect.mapError(unreadable(folder)))
  if (names.includes(single)) return yield* readHeader(path.join(folder, single))
  if (!names.includes(indexName)) {
    const pickled = names.find((name) => /\.(bin|pt|pth)$/.test(name))
    return yield* bad(
      path.join(folder, single),
      `and ${indexName} are missing`,
      pickled === undefined
        ? "copy the files of the original model again"
        : `convert ${pickled} with save_pretrained(..., safe_serialization=True) of transformers`
    )
  }
  const index = path.join(folder, indexName)
  const shards = yield* shardsOf(index)
  const absent = [...shards.keys()].filter((shard) => !names.includes(shard))
  if (absent.length > 0) return yield* bad(index, `names the shards ${absent.join(", ")}, which are missing`)
  const places = []
  for (const [shard, listed] of shards) {
    const found = yield* readHeader(path.join(folder, shard))
    const there = new Set(found.map(({ name }) => name))
    for (const { name } of found) {
      if (!listed.has(name)) {
        return yield* bad(path.join(folder, shard), `holds ${name}, which ${indexName} does not list there`)
      }
    }
    const lost = [...listed].filter((name) => !there.has(name))
    if (lost.length > 0) {
      return yield* bad(path.join(folder, shard), `lacks ${lost.join(", ")}, which ${indexName} lists there`)
    }
    places.push(...found)
  }
  return places
})

/**
 * Opens a checkpoint. Fails with an error that lists every tensor that is missing, unknown or of another shape or type
 * than its config.json says.
 */
export const open = Effect.fn("CheckpointFolder.open")(function*(
  folder: string,
  options: Pick<CheckpointConfig.ReadOptions, "positions"> = {}
) {
  const path = yield* Path.Path
  const file = path.join(folder, "config.json")
  const config = yield* CheckpointConfig.decode(yield* readJson(file), { ...options, file })
  const found = yield* placesOf(folder)
  const error = CheckpointTensors.mismatch(
    folder,
    config.decoder,
    new Map(found.map(({ entry, name }) => [name, entry]))
  )
  if (error !== undefined) return yield* error
  const checkpoint: CheckpointFolder = {
    path: folder,
    config,
    tensors: found.filter(({ name }) => !CheckpointTensors.ignored(config.decoder, name)).map((
      { entry: { dtype, from, shape, to }, file, name, start }
    ) => ({
      name,
      shape,
      file,
      dtype: dtype as Safetensors.FloatType,
      offset: start + from,
      size: (to - from) / Safetensors.width[dtype]
    })).toSorted((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : a.offset - b.offset)
  }
  return checkpoint
})

/** Parts of a tensor: each is read from `from` in its file and belongs at `at` in the weights, in elements. */
const partsOf = ({ dtype, offset, size }: TensorPlace) => {
  const width = Safetensors.width[dtype]
  const most = part / width
  return Array.from({ length: Math.ceil(size / most) }, (_, i) => ({
    from: offset + i * part,
    at: i * most,
    count: Math.min(most, size - i * most),
    bytes: Math.min(most, size - i * most) * width
  }))
}

/** Writes a part into the weights of a tensor, or returns an error for a weight that is not finite. */
const accept = (
  { dtype, file, name }: TensorPlace,
  bytes: Uint8Array,
  at: number,
  values: Float32Array
): CheckpointError | undefined => {
  Safetensors.widen(bytes, dtype, values)
  // A sum is finite unless one of its terms is not, or all are huge: only then are the terms looked at.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  if (Number.isFinite(sum)) return undefined
  const wrong = values.findIndex((value) => !Number.isFinite(value))
  return wrong < 0 ? undefined : new CheckpointError({
    reason: new BadWeight({
      file,
      tensor: name,
      index: at + wrong,
      value: String(values[wrong]),
      remedy: "copy the file of the original model again"
    })
  })
}

const cut = (file: string) => bad(file, "became shorter after it was opened")

/**
 * Reads every tensor into the array that `into` returns for its name, such as a view of a parameter buffer. Beside the
 * weights, 1 MiB is needed. Fails for a weight that is not finite; the arrays are then partly written.
 */
export const load = Effect.fn("CheckpointFolder.load")(function*(
  { tensors }: CheckpointFolder,
  into: (name: string) => Float32Array
) {
  const fs = yield* FileSystem.FileSystem
  const scratch = new Uint8Array(part)
  for (const file of new Set(tensors.map((tensor) => tensor.file))) {
    yield* Effect.gen(function*() {
      const opened = yield* fs.open(file)
      for (const tensor of tensors) {
        if (tensor.file !== file) continue
        const values = into(tensor.name)
        for (const { at, bytes, count, from } of partsOf(tensor)) {
          const read = scratch.subarray(0, bytes)
          if (!(yield* fill(opened, read, from))) return yield* cut(file)
          const error = accept(tensor, read, at, values.subarray(at, at + count))
          if (error !== undefined) return yield* error
        }
      }
    }).pipe(
      Effect.scoped,
      Effect.catchTag("PlatformError", (error) => Effect.fail(unreadable(file)(error)))
    )
  }
})

/** Function that takes a part of a tensor, at an element; returns an error for a weight that is not finite. */
type Taker = (bytes: Uint8Array, at: number, count: number) => CheckpointError | undefined

/** Reads a tensor at once, part by part into `scratch`; throws `CheckpointError`. */
const readNow = (tensor: TensorPlace, scratch: Uint8Array, take: Taker): void => {
  let opened: number
  try {
    opened = openSync(tensor.file, "r")
  } catch (cause) {
    throw bad(tensor.file, `cannot be read: ${(cause as Error).message}`)
  }
  try {
    for (const { at, bytes, count, from } of partsOf(tensor)) {
      for (let filled = 0; filled < bytes;) {
        const read = readSync(opened, scratch, filled, bytes - filled, from + filled)
        if (read === 0) throw cut(tensor.file)
        filled += read
      }
      const error = take(scratch.subarray(0, bytes), at, count)
      if (error !== undefined) throw error
    }
  } finally {
    closeSync(opened)
  }
}

/** Options of the parameters of a checkpoint. */
export interface ParameterOptions {
  /** Returns whether a parameter is trained. @default every one is */
  readonly trainable?: ((name: string) => boolean) | undefined
  /**
   * Whether frozen parameters that the files hold in bfloat16 are kept so, in half the memory; a runtime on the processor
   * widens them at every use, which takes longer where few positions are computed at once. Programs take them with
   * `ParameterBuffer.inputs`. @default false
   */
  readonly halves?: boolean | undefined
}

/**
 * Returns the specifications of the decoder's parameters, in its order, of which each is read from its file when it is
 * initialised. `initialize` throws `CheckpointError` if the file was changed or removed since it was opened, or holds a
 * weight that is not finite.
 */
export const parameters = (
  { config, tensors }: CheckpointFolder,
  { halves = false, trainable = () => true }: ParameterOptions = {}
): ParameterSpecs => {
  const places = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  let made: { readonly bytes: Uint8Array; readonly values: Float32Array } | undefined
  /** Memory that all tensors use in turn: new memory for each would be freed much later. */
  const memory = () => made ??= { bytes: new Uint8Array(part), values: new Float32Array(part / 2) }
  return Object.fromEntries(
    CheckpointTensors.expected(config.decoder).map(({ name, shape }): [string, ParameterSpec] => {
      const place = places.get(name)!
      const isTrained = trainable(name)
      return [name, {
        shape,
        trainable: isTrained,
        initialize: (values) =>
          readNow(
            place,
            memory().bytes,
            (bytes, at, count) => accept(place, bytes, at, values.subarray(at, at + count))
          ),
        ...(halves && !isTrained && place.dtype === "BF16"
          ? {
            storage: "bfloat16",
            initializePatterns: (patterns) => {
              const { bytes, values } = memory()
              readNow(place, bytes, (bytes, at, count) => {
                patterns.set(new Uint16Array(bytes.buffer, bytes.byteOffset, count), at)
                return accept(place, bytes, at, values.subarray(0, count))
              })
            }
          }
          : {})
      }]
    })
  )
}
