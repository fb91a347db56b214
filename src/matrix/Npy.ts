/**
 * NumPy's `.npy` files of two-dimensional arrays of floating-point numbers.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type PlatformError } from "effect/PlatformError"
import * as MatrixFile from "./MatrixFile.ts"

const isType = (type: string): type is "f2" | "f4" | "f8" => type === "f2" || type === "f4" || type === "f8"

/**
 * Reads the layout of a file, in C or Fortran order; returns a problem where it cannot be used.
 *
 * @example
 * ```ts
 * import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
 * import * as Effect from "effect/Effect"
 * import * as FileSystem from "effect/FileSystem"
 * import * as assert from "node:assert/strict"
 * import * as MatrixFile from "sidereal/matrix/MatrixFile"
 * import * as Npy from "sidereal/matrix/Npy"
 *
 * const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".padEnd(117) + "\n"
 * const begin = Buffer.from(`\x93NUMPY\x01\x00\x76\x00${header}`, "latin1")
 * const program = Effect.gen(function*() {
 *   const fs = yield* FileSystem.FileSystem
 *   const path = yield* fs.makeTempFileScoped()
 *   yield* fs.writeFile(path, Buffer.concat([begin, new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)]))
 *   const file = yield* fs.open(path)
 *   const layout = yield* Npy.layout(file)
 *   return "problem" in layout ? yield* Effect.fail(layout.problem) : yield* MatrixFile.read(file, layout)
 * })
 * const matrix = await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))
 * assert.deepEqual(matrix, { rows: 2, width: 2, data: Float32Array.of(1, 2, 3, 4) })
 * ```
 */
export const layout = Effect.fn("Npy.layout")(function*(
  file: FileSystem.File
): Effect.fn.Return<MatrixFile.MatrixLayout | MatrixFile.Problem, PlatformError> {
  const size = Number((yield* file.stat).size)
  const begin = yield* MatrixFile.readAt(file, 0, 12)
  if (begin.byteLength < 12 || Buffer.from(begin.subarray(0, 6)).toString("latin1") !== "\u0093NUMPY") {
    return { problem: "it does not begin as a .npy file does" }
  }
  const view = new DataView(begin.buffer)
  const start = begin[6] === 1 ? 10 : 12
  const length = begin[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  const offset = start + length
  if (offset > size) return { problem: `its header has ${length} bytes, but the file ends before that` }
  const header = Buffer.from(yield* MatrixFile.readAt(file, start, length)).toString("latin1")
  const type = /'descr':\s*'([<>=|]?)([a-z]\d+)'/.exec(header)
  const fortran = /'fortran_order':\s*(True|False)/.exec(header)
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)
  if (type === null || fortran === null || shape === null) return { problem: "its header names no type and shape" }
  const name = type[2]!
  if (!isType(name)) return { problem: `its numbers are ${name}; float16, float32 or float64 are read` }
  if (type[1] === ">") return { problem: "its numbers are big-endian; write it with little-endian ones" }
  const [rows, width, ...more] = shape[1]!.split(",").map((part) => part.trim()).filter((part) => part !== "").map(
    Number
  )
  if (rows === undefined || width === undefined || more.length > 0) {
    return { problem: `its shape is (${shape[1]}); two axes are needed, items and components` }
  }
  const found = { offset, rows, width, type: name, byColumn: fortran[1] === "True" }
  const needed = MatrixFile.bytesOf(found)
  return size - offset === needed
    ? found
    : { problem: `it has ${size - offset} bytes of numbers; ${rows} x ${width} of ${name} are ${needed}` }
})
