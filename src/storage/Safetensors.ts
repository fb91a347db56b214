/**
 * The safetensors file format: eight bytes of header length, a JSON header, then the tensors, little-endian.
 *
 * Half-precision tensors (`F16`, `BF16`) are decoded to float32; everything else keeps its type.
 */
import * as Schema from "effect/Schema"
import * as Half from "./Half.ts"

/** Type of a stored tensor; `encode` writes no `F16` and `BF16`, `convert` does. */
export type StoredType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "U8" | "BOOL"

/** A tensor in memory, row-major. */
export interface StoredTensor {
  readonly dtype: StoredType
  readonly shape: ReadonlyArray<number>
  readonly data: Float64Array | Float32Array | BigInt64Array | Int32Array | Uint8Array
}

/** A file that is damaged or not in the safetensors format. */
export class SafetensorsError extends Schema.TaggedError<SafetensorsError>()("SafetensorsError", {
  tensor: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `not a valid safetensors file: ${this.tensor === "" ? "" : `tensor "${this.tensor}" `}${this.detail}`
  }
}

/** Bytes per element by type. */
export const width: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  BOOL: 1
}

/** Bytes before the JSON header, which hold its length. */
export const headerStart = 8

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

/**
 * Encodes tensors to the bytes of a file, in the order of the map.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Safetensors from "sidereal/storage/Safetensors"
 *
 * const tensors = new Map([["w", { dtype: "F32" as const, shape: [2, 1], data: Float32Array.of(0.5, -1) }]])
 * const bytes = Safetensors.encode(tensors, { made: "by hand" })
 * assert.deepEqual(Safetensors.decode(bytes).get("w"), tensors.get("w"))
 * ```
 */
export const encode = (
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {}
): Uint8Array => {
  const { bytes, parts } = encoding(tensors, metadata)
  const out = new Uint8Array(bytes)
  let at = 0
  for (const part of parts()) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Most bytes of a part, and most of one that is gathered of several tensors. */
const [mostBytes, mostGathered] = [1 << 26, 1 << 20]

/**
 * Returns the bytes of a file as parts of at most 64 MiB. Those of large tensors are views of their data; small tensors are
 * copied together, since each part is a write. The data of a tensor are taken when its first part is, and once.
 */
export const encoding = (
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {}
): { readonly bytes: number; readonly parts: () => Iterable<Uint8Array> } => {
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  let offset = 0
  for (const [name, { dtype, shape }] of tensors) {
    if (dtype === "F16" || dtype === "BF16") throw unwritable(name, dtype, shape)
    const size = sizeOf(shape) * width[dtype]
    header[name] = { dtype, shape, data_offsets: [offset, offset + size] }
    offset += size
  }
  const begin = beginning(header)
  const views = function*(): Iterable<Uint8Array> {
    yield begin
    for (const [name, tensor] of tensors) {
      const { data } = tensor
      if (data.length !== sizeOf(tensor.shape)) throw unwritable(name, tensor.dtype, tensor.shape)
      for (let at = 0; at < data.byteLength; at += mostBytes) {
        yield new Uint8Array(data.buffer, data.byteOffset + at, Math.min(mostBytes, data.byteLength - at))
      }
    }
  }
  return {
    bytes: begin.length + offset,
    parts: function*() {
      let room = new Uint8Array(Math.min(mostGathered, begin.length + offset))
      let filled = 0
      for (const view of views()) {
        if (filled + view.length > room.length && filled > 0) {
          yield room.subarray(0, filled)
          room = new Uint8Array(mostGathered)
          filled = 0
        }
        if (view.length > room.length) yield view
        else {
          room.set(view, filled)
          filled += view.length
        }
      }
      if (filled > 0) yield room.subarray(0, filled)
    }
  }
}

const unwritable = (tensor: string, dtype: StoredType, shape: ReadonlyArray<number>) =>
  new SafetensorsError({ tensor, detail: `cannot be written as ${dtype} of shape [${shape.join(", ")}]` })

/** Returns the bytes before the first tensor: the length of the header, then its JSON, padded to a multiple of 8. */
const beginning = (header: Readonly<Record<string, unknown>>): Uint8Array => {
  const json = Buffer.from(JSON.stringify(header))
  const padded = Math.ceil(json.length / 8) * 8
  const out = Buffer.alloc(headerStart + padded, 0x20)
  out.writeBigUInt64LE(BigInt(padded), 0)
  json.copy(out, headerStart)
  return out
}

/** Types of numbers in which weights are stored. */
export type FloatType = "F32" | "F16" | "BF16"

/** Layout of a file of weights: its tensors in order, all of one type. */
export interface FloatLayout {
  readonly dtype: FloatType
  readonly tensors: ReadonlyArray<{ readonly name: string; readonly shape: ReadonlyArray<number> }>
}

/** Encodes the bytes of a file before its first tensor; the tensors follow in order, without gaps. */
export const encodeHeader = (
  { dtype, tensors }: FloatLayout,
  metadata: Readonly<Record<string, string>> = {}
): Uint8Array => {
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  let offset = 0
  for (const { name, shape } of tensors) {
    const size = sizeOf(shape) * width[dtype]
    header[name] = { dtype, shape, data_offsets: [offset, offset + size] }
    offset += size
  }
  return beginning(header)
}

/** Converts numbers to the bytes of a type; ties go to the even one. */
export const convert = (numbers: Float32Array, dtype: FloatType): Uint8Array => {
  if (dtype === "F32") return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength).slice()
  const patterns = new Uint16Array(numbers.length)
  if (dtype === "BF16") Half.writeBfloat16(numbers, patterns)
  else Half.writeFloat16(numbers, patterns)
  return new Uint8Array(patterns.buffer)
}

/** Writes the numbers that `bytes` holds in a type into `into`; the bytes begin at a multiple of their width. */
export const widen = (bytes: Uint8Array, dtype: FloatType, into: Float32Array): void => {
  const { buffer, byteLength, byteOffset } = bytes
  if (dtype === "F32") into.set(new Float32Array(buffer, byteOffset, byteLength / 4))
  else {
    const patterns = new Uint16Array(buffer, byteOffset, byteLength / 2)
    if (dtype === "BF16") Half.readBfloat16(patterns, into)
    else Half.readFloat16(patterns, into)
  }
}

/** Returns the numbers that bytes hold in a type, in memory of their own. */
export const read = (dtype: StoredType, bytes: Uint8Array): StoredTensor["data"] => {
  const copy = new Uint8Array(bytes).buffer
  switch (dtype) {
    case "F64":
      return new Float64Array(copy)
    case "F32":
      return new Float32Array(copy)
    case "I64":
      return new BigInt64Array(copy)
    case "I32":
      return new Int32Array(copy)
    case "F16":
      return Half.ofFloat16(new Uint16Array(copy))
    case "BF16":
      return Half.ofBfloat16(new Uint16Array(copy))
    default:
      return new Uint8Array(copy)
  }
}

const fail = (tensor: string, detail: string): never => {
  throw new SafetensorsError({ tensor, detail })
}

/**
 * Returns the length in bytes of the JSON header, from a file's first bytes and its size; throws `SafetensorsError`.
 */
export const headerLength = (begin: Uint8Array, size: number): number => {
  if (size < headerStart) fail("", `has ${size} bytes; the header length alone takes ${headerStart}`)
  const length = Number(new DataView(begin.buffer, begin.byteOffset, headerStart).getBigUint64(0, true))
  if (headerStart + length > size) fail("", `says its header has ${length} bytes, but the file ends before that`)
  return length
}

/** Entry of a tensor in the header; offsets are bytes from the header's end. */
export interface StoredEntry {
  readonly dtype: StoredType
  readonly shape: ReadonlyArray<number>
  readonly from: number
  readonly to: number
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isSizes = (value: unknown): value is ReadonlyArray<number> => Array.isArray(value) && value.every(isSize)

/** Parses a JSON header that is followed by `body` bytes; throws `SafetensorsError`. */
export const entries = (json: Uint8Array, body: number): Map<string, StoredEntry> => {
  let header: unknown
  try {
    header = JSON.parse(Buffer.from(json).toString("utf8"))
  } catch {
    fail("", "has a header that is not JSON")
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("", "has a header that is not a JSON object")
  }
  const found = new Map<string, StoredEntry>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue
    const { data_offsets: offsets, dtype, shape } = Object(entry) as {
      readonly [key in "data_offsets" | "dtype" | "shape"]?: unknown
    }
    const bytes = Object.hasOwn(width, String(dtype)) ? width[dtype as StoredType] : undefined
    if (bytes === undefined) return fail(name, `has the unknown type ${String(dtype)}`)
    if (!isSizes(shape)) return fail(name, "has no list of sizes as its shape")
    if (!isSizes(offsets) || offsets.length !== 2) return fail(name, "has no two data_offsets")
    const [from, to] = offsets as unknown as readonly [number, number]
    if (!(to <= body && from <= to)) fail(name, `lies at ${from}..${to} of ${body} bytes`)
    if (to - from !== sizeOf(shape) * bytes) {
      fail(name, `has ${to - from} bytes; [${shape.join(", ")}] of ${String(dtype)} takes ${sizeOf(shape) * bytes}`)
    }
    found.set(name, { dtype: dtype as StoredType, shape, from, to })
  }
  const ordered = [...found].toSorted(([, a], [, b]) => a.from - b.from || a.to - b.to)
  for (const [i, [name, { to }]] of ordered.entries()) {
    const next = ordered[i + 1]
    if (next !== undefined && next[1].from < to) fail(next[0], `overlaps tensor "${name}"`)
  }
  return found
}

/** Decodes the tensors of a file; throws `SafetensorsError`. */
export const decode = (bytes: Uint8Array): Map<string, StoredTensor> => {
  const start = headerStart + headerLength(bytes, bytes.byteLength)
  const tensors = new Map<string, StoredTensor>()
  for (const [name, entry] of entries(bytes.subarray(headerStart, start), bytes.byteLength - start)) {
    const { dtype, from, shape, to } = entry
    tensors.set(name, { dtype, shape, data: read(dtype, bytes.subarray(start + from, start + to)) })
  }
  return tensors
}

/** Arrays by the type that is stored; half precision is read as float32. */
interface Arrays {
  readonly F64: Float64Array
  readonly F32: Float32Array
  readonly I32: Int32Array
  readonly U8: Uint8Array
}

/** Returns the tensor `name`; throws `SafetensorsError` where it is missing, of another type or of other axes. */
export const pick = <T extends keyof Arrays>(
  tensors: ReadonlyMap<string, StoredTensor>,
  name: string,
  dtype: T,
  axes = 1
): { readonly shape: ReadonlyArray<number>; readonly data: Arrays[T] } => {
  const found = tensors.get(name)
  if (found === undefined) return fail(name, "is missing")
  if (found.dtype !== dtype || found.shape.length !== axes) {
    return fail(name, `is ${found.dtype} of shape [${found.shape.join(", ")}]; expected ${dtype} with ${axes} axes`)
  }
  return { shape: found.shape, data: found.data as Arrays[T] }
}
