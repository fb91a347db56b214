/**
 * Schemas of typed arrays in messages: bytes on the wire, base64 in JSON, and the array itself where nothing is encoded.
 *
 * Bytes are little-endian, as in every machine that Node runs on.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

type Numbers = Int32Array | Float32Array | Float64Array

const bytesOf = ({ buffer, byteLength, byteOffset }: Numbers): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** Bytes may be a view of a larger buffer at any offset, so they are copied to one of their own. */
const ownBuffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

/** Any length, 32-bit integers. */
export const Int32s = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Int32Array<ArrayBufferLike>),
    SchemaTransformation.transform({
      decode: (bytes): Int32Array => new Int32Array(ownBuffer(bytes)),
      encode: bytesOf
    })
  )
)

/** Any length, 32-bit floating point. */
export const Float32s = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Float32Array<ArrayBufferLike>),
    SchemaTransformation.transform({
      decode: (bytes): Float32Array => new Float32Array(ownBuffer(bytes)),
      encode: bytesOf
    })
  )
)

/** Any length, 64-bit floating point. */
export const Float64s = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Float64Array<ArrayBufferLike>),
    SchemaTransformation.transform({
      decode: (bytes): Float64Array => new Float64Array(ownBuffer(bytes)),
      encode: bytesOf
    })
  )
)
