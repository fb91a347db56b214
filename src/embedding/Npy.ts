/**
 * NumPy's `.npy` files of two-dimensional arrays of floating-point numbers.
 */
import * as Safetensors from "../run/Safetensors.ts"
import { type Matrix } from "./Matrix.ts"

/** Why a file cannot be used. */
export interface NpyProblem {
  readonly problem: string
}

const widths: Readonly<Record<string, number>> = { f2: 2, f4: 4, f8: 8 }

/** The matrix of a file, in float32; rows of C and of Fortran order. */
export const decode = (bytes: Uint8Array): Matrix | NpyProblem => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < 12 || Buffer.from(bytes.subarray(0, 6)).toString("latin1") !== "\u0093NUMPY") {
    return { problem: "it does not begin as a .npy file does" }
  }
  const start = bytes[6] === 1 ? 10 : 12
  const length = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  const header = Buffer.from(bytes.subarray(start, start + length)).toString("latin1")
  const type = /'descr':\s*'([<>=|]?)([a-z]\d+)'/.exec(header)
  const fortran = /'fortran_order':\s*(True|False)/.exec(header)
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)
  if (type === null || fortran === null || shape === null) return { problem: "its header names no type and shape" }
  const size = widths[type[2]!]
  if (size === undefined) return { problem: `its numbers are ${type[2]}; float16, float32 or float64 are read` }
  if (type[1] === ">") return { problem: "its numbers are big-endian; write it with little-endian ones" }
  const [rows, width, ...more] = shape[1]!.split(",").map((part) => part.trim()).filter((part) => part !== "").map(
    Number
  )
  if (rows === undefined || width === undefined || more.length > 0) {
    return { problem: `its shape is (${shape[1]}); two axes are needed, items and components` }
  }
  const from = start + length
  if (bytes.byteLength - from !== rows * width * size) {
    return {
      problem: `it has ${bytes.byteLength - from} bytes of numbers; ${rows} x ${width} of ${type[2]} are ${
        rows * width * size
      }`
    }
  }
  const data = new Float32Array(rows * width)
  for (let i = 0; i < data.length; i++) {
    const at = fortran[1] === "True" ? (i % width) * rows + Math.floor(i / width) : i
    const byte = from + at * size
    data[i] = size === 4
      ? view.getFloat32(byte, true)
      : size === 8
      ? view.getFloat64(byte, true)
      : Safetensors.half(view.getUint16(byte, true))
  }
  return { rows, width, data }
}
