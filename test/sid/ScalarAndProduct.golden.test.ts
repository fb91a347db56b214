import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import * as KMeans from "../../src/sid/clustering/KMeans.ts"
import * as PackedCodes from "../../src/sid/codebook/PackedCodes.ts"
import * as Fsq from "../../src/sid/quantizer/Fsq.ts"
import * as Opq from "../../src/sid/quantizer/Opq.ts"
import { type StoredTensor } from "../../src/storage/Safetensors.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"

const folder = join(golden, "sid")
const kind = list(folder).find((name) => name.endsWith("-fsq-opq"))

const matrix = ({ data, shape }: StoredTensor): Matrix => ({
  rows: shape[0]!,
  width: shape[1]!,
  data: Float32Array.from(data as Float32Array)
})

describe("Fsq.scalar against the paper's listing", () => {
  if (kind === undefined) it.skipIf(true)("no case is here", () => {})
  else {
    const all = tensors(folder, kind, "fsq.safetensors")
    for (const [name, one] of Object.entries<Record<string, never>>(json(folder, kind, "fsq.json"))) {
      it(`bounds, digits, numbers and gradients: ${name}`, () => {
        const sizes = one["levels"] as unknown as ReadonlyArray<number>
        const of = (key: string) => all.get(`${name}.${key}`)!.data as Float64Array
        const z = of("z")
        const width = sizes.length
        for (let row = 0; row < z.length / width; row++) {
          const found = sizes.map((size, d) => Fsq.scalar(z[row * width + d]!, size))
          for (const [d, { bounded, code, digit, gradient }] of found.entries()) {
            const at = row * width + d
            assert.closeTo(bounded, of("bounded")[at]!, 1e-12)
            assert.closeTo(code, of("code")[at]!, 1e-12)
            assert.closeTo(gradient, of("gradient")[at]!, 1e-12)
            assert.strictEqual(digit, of("digits")[at])
            const back = Fsq.valueOf(digit, sizes[d]!)
            assert.strictEqual(Fsq.scalar(back.z, sizes[d]!).digit, digit)
          }
          assert.strictEqual(Fsq.indexOf(found.map(({ digit }) => digit), sizes), of("index")[row])
        }
      })
    }
  }
  it("chooses digits whose product is at most K", () => {
    for (const codes of [2, 3, 7, 16, 64, 128, 256, 1000, 4096]) {
      const digits = Fsq.defaultDigits(codes)
      const size = digits.reduce((a, b) => a * b, 1)
      assert.isAtMost(size, codes)
      assert.isAbove(size, codes * 0.7, String(digits))
    }
  })
})

describe("Opq against faiss", () => {
  if (kind === undefined) it.skipIf(true)("no case is here", () => {})
  else {
    const all = tensors(folder, kind, "opq.safetensors")
    for (const [name, one] of Object.entries<Record<string, number>>(json(folder, kind, "opq.json"))) {
      it.effect(`rotation, codes, bytes and reconstruction: ${name}`, () =>
        Effect.gen(function*() {
          const of = (key: string) => all.get(`${name}.${key}`)!
          const [levels, codes, width] = of("codebooks").shape as [number, number, number]
          const values = Float32Array.from(of("codebooks").data as Float32Array)
          const codebooks = Array.from({ length: levels }, (_, l) => ({
            rows: codes,
            width,
            data: values.slice(l * codes * width, (l + 1) * codes * width)
          }))
          const rotation = matrix(of("rotation"))
          const rotated = Opq.rotate(matrix(of("x")), rotation)
          assert.isBelow(distance(rotated.data, of("rotated").data as Float32Array), 1e-4)
          const found = yield* Opq.encodeRotated(yield* KMeans.assigner, rotated, codebooks)
          assert.deepStrictEqual([...found.codes], [...of("codes").data as Int32Array])
          const packed = PackedCodes.pack(found, one["nbits"]!)
          assert.deepStrictEqual([...packed], [...of("packed").data as Uint8Array])
          assert.deepStrictEqual(PackedCodes.unpack(packed, levels, one["nbits"]!), found)
          const decoded = Opq.decodeRotated(found, codebooks)
          assert.isBelow(distance(decoded.data, of("decoded_rotated").data as Float32Array), 1e-6)
          const back = Opq.unrotate(decoded, rotation, one["d"]!)
          assert.isBelow(distance(back.data, of("reconstruction").data as Float32Array), 1e-4)
        }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 1 }))))
    }
  }
})

describe("PackedCodes against faiss's residual quantizer", () => {
  const residual = list(folder).find((name) => name.endsWith("-rqkmeans"))
  const files = residual === undefined ? [] : list(folder, residual).filter((file) => file.startsWith("encode-"))
  if (files.length === 0) it.skipIf(true)("no case is here", () => {})
  for (const file of files) {
    it(file, () => {
      const all = tensors(folder, residual!, file)
      const packed = all.get("packed_beam1") ?? all.get("packed")
      if (packed === undefined) return
      const { data, shape } = all.get("codes_beam1")!
      const bits = Math.round(Math.log2(all.get("codebooks")!.shape[1]!))
      const found = PackedCodes.pack({ levels: shape[1]!, codes: Int32Array.from(data as Int32Array) }, bits)
      assert.deepStrictEqual([...found], [...packed.data as Uint8Array])
    })
  }
})
