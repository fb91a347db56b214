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

const schemaOf = <A extends Numbers>(type: new(buffer: ArrayBufferLike) => A) =>
  Schema.Uint8Array.pipe(
    Schema.decodeTo(
      Schema.instanceOf(type),
      SchemaTransformation.transform({
        decode: (bytes): A => new type(ownBuffer(bytes)),
        encode: bytesOf
      })
    )
  )

/** Schema of an `Int32Array` of any length. */
export const Int32s = schemaOf<Int32Array>(Int32Array)

/** Schema of a `Float32Array` of any length. */
export const Float32s = schemaOf<Float32Array>(Float32Array)

/** Schema of a `Float64Array` of any length. */
export const Float64s = schemaOf<Float64Array>(Float64Array)
