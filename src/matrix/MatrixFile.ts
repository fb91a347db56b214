/**
 * Reading of a matrix stored as plain little-endian numbers, block by block: the file may be larger than a buffer can be,
 * and only one block is in memory beside the matrix.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type PlatformError } from "effect/PlatformError"
import * as Half from "../storage/Half.ts"
import * as Matrix from "./Matrix.ts"

/** Bytes per number by type. */
export const sizes = { f2: 2, bf2: 2, f4: 4, f8: 8 } as const

/** Place, shape and type of the numbers in a file. */
export interface MatrixLayout {
  /** Bytes before the first number. */
  readonly offset: number
  readonly rows: number
  readonly width: number
  readonly type: keyof typeof sizes
  /** Column after column, as Fortran has it. */
  readonly byColumn: boolean
}

/** Reason why a file cannot be used. */
export interface Problem {
  readonly problem: string
}

/** Returns the bytes of all numbers. */
export const bytesOf = ({ rows, type, width }: MatrixLayout): number => rows * width * sizes[type]

const block = 1 << 22

const numbersOf = (bytes: Uint8Array, type: MatrixLayout["type"]): Float32Array | Float64Array => {
  const { buffer, byteOffset } = bytes
  const count = bytes.byteLength / sizes[type]
  switch (type) {
    case "f2":
      return Half.ofFloat16(new Uint16Array(buffer, byteOffset, count))
    case "bf2":
      return Half.ofBfloat16(new Uint16Array(buffer, byteOffset, count))
    case "f4":
      return new Float32Array(buffer, byteOffset, count)
    case "f8":
      return new Float64Array(buffer, byteOffset, count)
  }
}

/** Reads `size` bytes from an offset in a file; fewer where the file ends. */
export const readAt = Effect.fnUntraced(function*(
  file: FileSystem.File,
  offset: number,
  size: number
): Effect.fn.Return<Uint8Array, PlatformError> {
  const bytes = new Uint8Array(size)
  let filled = 0
  while (filled < size) {
    const count = yield* file.read(bytes.subarray(filled), { position: BigInt(offset + filled) })
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
})

/** Reads the matrix; the file must be long enough, which the caller checks. */
export const read = Effect.fn("MatrixFile.read")(function*(
  file: FileSystem.File,
  layout: MatrixLayout
): Effect.fn.Return<Matrix.Matrix, PlatformError> {
  const { byColumn, offset, rows, type, width } = layout
  const matrix = Matrix.zeros(rows, width)
  const total = bytesOf(layout)
  for (let from = 0; from < total; from += block) {
    const numbers = numbersOf(yield* readAt(file, offset + from, Math.min(block, total - from)), type)
    const first = from / sizes[type]
    if (!byColumn) matrix.data.set(numbers, first)
    else {
      for (let i = 0; i < numbers.length; i++) {
        const at = first + i
        matrix.data[(at % rows) * width + Math.floor(at / rows)] = numbers[i]!
      }
    }
  }
  return matrix
})
