/**
 * Schemas of typed arrays in messages: bytes on the wire, base64 in JSON, and the array itself within a process.
 *
 * Bytes are little-endian, as in every machine that Node runs on.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

type Numbers = Int32Array | Float32Array | Float64Array

const bytesOf = ({ buffer, byteLength, byteOffset }: Numbers): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** Copies bytes, which may be a view of a larger buffer at an unaligned offset, to a buffer of their own. */
const ownBuffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

/** Schema of an `Int32Array` of any length. */
export const Int32s = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Int32Array<ArrayBufferLike>),
    SchemaTransformation.transform({
      decode: (bytes): Int32Array => new Int32Array(ownBuffer(bytes)),
      encode: bytesOf
    })
  )
)

/** Schema of a `Float32Array` of any length. */
export const Float32s = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Float32Array<ArrayBufferLike>),
    SchemaTransformation.transform({
      decode: (bytes): Float32Array => new Float32Array(ownBuffer(bytes)),
      encode: bytesOf
    })
  )
)

/** Schema of a `Float64Array` of any length. */
export const Float64s = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Float64Array<ArrayBufferLike>),
    SchemaTransformation.transform({
      decode: (bytes): Float64Array => new Float64Array(ownBuffer(bytes)),
      encode: bytesOf
    })
  )
)
