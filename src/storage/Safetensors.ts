/**
 * The safetensors file format: eight bytes of header length, a JSON header, then the tensors, little-endian.
 *
 * Half-precision tensors (`F16`, `BF16`) are decoded to float32; everything else keeps its type.
 */
import * as Schema from "effect/Schema"
import * as Half from "./Half.ts"

/** Type of a stored tensor; `F16` and `BF16` are supported for reading only. */
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

const width: Record<StoredType, number> = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U8: 1, BOOL: 1 }

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
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  let offset = 0
  for (const [name, { data, dtype, shape }] of tensors) {
    if (dtype === "F16" || dtype === "BF16" || data.length !== sizeOf(shape)) {
      throw new SafetensorsError({
        tensor: name,
        detail: `cannot be written as ${dtype} of shape [${shape.join(", ")}]`
      })
    }
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] }
    offset += data.byteLength
  }
  const json = Buffer.from(JSON.stringify(header))
  const padded = Math.ceil(json.length / 8) * 8
  const out = Buffer.alloc(8 + padded + offset, 0x20)
  out.writeBigUInt64LE(BigInt(padded), 0)
  json.copy(out, 8)
  let at = 8 + padded
  for (const { data } of tensors.values()) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
    at += data.byteLength
  }
  return out
}

const read = (dtype: StoredType, bytes: Uint8Array): StoredTensor["data"] => {
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

/** Bytes before the JSON header, which hold its length. */
export const headerStart = 8

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

/** Parses a JSON header that is followed by `body` bytes; throws `SafetensorsError`. */
export const entries = (json: Uint8Array, body: number): Map<string, StoredEntry> => {
  let header: Record<string, unknown> = {}
  try {
    header = JSON.parse(Buffer.from(json).toString("utf8"))
  } catch {
    fail("", "has a header that is not JSON")
  }
  const found = new Map<string, StoredEntry>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue
    const { data_offsets: offsets, dtype, shape } = entry as {
      dtype: StoredType
      shape: ReadonlyArray<number>
      data_offsets: readonly [number, number]
    }
    if (width[dtype] === undefined) fail(name, `has the unknown type ${String(dtype)}`)
    const [from, to] = offsets
    if (!(from >= 0 && to <= body && from <= to)) fail(name, `lies at ${from}..${to} of ${body} bytes`)
    if (to - from !== sizeOf(shape) * width[dtype]) {
      fail(name, `has ${to - from} bytes; [${shape.join(", ")}] of ${dtype} takes ${sizeOf(shape) * width[dtype]}`)
    }
    found.set(name, { dtype, shape, from, to })
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
