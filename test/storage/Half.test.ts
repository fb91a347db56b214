import { assert, describe, it } from "@effect/vitest"
import * as Half from "../../src/storage/Half.ts"

const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i)

const formats = [
  { name: "float16", of: Half.ofFloat16, write: Half.writeFloat16, infinity: 0x7c00 },
  { name: "bfloat16", of: Half.ofBfloat16, write: Half.writeBfloat16, infinity: 0x7f80 }
] as const

describe("Half", () => {
  for (const { infinity, name, of, write } of formats) {
    it(`${name}: every pattern comes back from float32`, () => {
      const back = new Uint16Array(65_536)
      write(of(patterns), back)
      for (const bits of patterns) {
        const isNan = (bits & 0x7fff) > infinity
        if (isNan) assert.isAbove(back[bits]! & 0x7fff, infinity)
        else assert.strictEqual(back[bits], bits)
      }
    })

    it(`${name}: rounds to the nearest, ties to the even pattern`, () => {
      const values = of(patterns)
      const numbers: Array<number> = []
      const wanted: Array<number> = []
      for (let bits = 0; bits + 1 < infinity; bits++) {
        const [low, high] = [values[bits]!, values[bits + 1]!]
        const middle = (low + high) / 2
        const gap = (high - low) / 16
        for (const sign of [1, -1]) {
          const signed = sign === 1 ? 0 : 0x8000
          numbers.push(sign * middle, sign * (middle - gap), sign * (middle + gap))
          wanted.push(signed | (bits % 2 === 0 ? bits : bits + 1), signed | bits, signed | (bits + 1))
        }
      }
      const exact = Float32Array.from(numbers)
      const found = new Uint16Array(numbers.length)
      write(exact, found)
      for (const [i, number] of numbers.entries()) {
        // The smallest bfloat16 numbers have no middle in float32.
        if (exact[i] === number && found[i] !== wanted[i]) assert.fail(`${number}: ${found[i]}, expected ${wanted[i]}`)
      }
    })
  }

  it("float16 becomes infinite from 65,520 on, and a NaN of bfloat16 stays one", () => {
    const into = new Uint16Array(3)
    Half.writeFloat16(Float32Array.of(65_519, 65_520, -Infinity), into)
    assert.deepStrictEqual([...into], [0x7bff, 0x7c00, 0xfc00])
    const words = Uint32Array.of(0x7f80_0001, 0xff80_ffff, 0x7fc1_0000)
    Half.writeBfloat16(new Float32Array(words.buffer), into)
    assert.deepStrictEqual([...into], [0x7fc0, 0xffc0, 0x7fc1])
  })
})
