import { assert, describe, it } from "@effect/vitest"
import * as Random from "../../src/statistics/Random.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"

const tensorsOf = (...sizes: ReadonlyArray<number>) =>
  new Map(sizes.map((size, i) => [`t${i}`, {
    dtype: "F32" as const,
    shape: [size],
    data: Float32Array.from({ length: size }, Random.uniform(i, size))
  }]))

const mib = 1 << 20

describe("Safetensors.encoding", () => {
  for (
    const sizes of [
      [],
      [0],
      [3, 0, 5],
      Array.from({ length: 300 }, (_, i) => i),
      [mib / 4, 1, mib / 4 - 1, 2, mib / 4 + 1, 7, 7],
      [1, 17 * mib, 1, 1]
    ]
  ) {
    it(`has parts that are the file, a few for many small tensors: ${sizes.length} of up to ${Math.max(0, ...sizes)}`, () => {
      const tensors = tensorsOf(...sizes)
      const { bytes, parts } = Safetensors.encoding(tensors, { made: "by a test" })
      const all = [...parts()]
      const joined = Buffer.concat(all)
      assert.strictEqual(joined.length, bytes)
      assert.isTrue(joined.equals(Safetensors.encode(tensors, { made: "by a test" })))
      for (const [name, { data }] of Safetensors.decode(joined)) assert.deepStrictEqual(data, tensors.get(name)!.data)
      const large = sizes.filter((size) => 4 * size > mib).reduce(
        (sum, size) => sum + Math.ceil(4 * size / (64 * mib)),
        0
      )
      // Between large tensors, and for every MiB of small ones.
      assert.isAtMost(all.length, 2 * large + 2 + Math.ceil(bytes / mib) - large)
      assert.isTrue(all.every((part) => part.length > 0 && part.length <= 64 * mib))
    })
  }

  it("takes data that are made when asked for once, one tensor after the other", () => {
    const scratch = new Float32Array(4)
    const taken: Array<number> = []
    const tensors = new Map([1, 2, 3].map((value) => [`t${value}`, {
      dtype: "F32" as const,
      shape: [4],
      get data() {
        taken.push(value)
        return scratch.fill(value)
      }
    }]))
    const decoded = Safetensors.decode(Safetensors.encode(tensors))
    assert.deepStrictEqual(taken, [1, 2, 3])
    for (const value of [1, 2, 3]) {
      assert.deepStrictEqual([...decoded.get(`t${value}`)!.data], [value, value, value, value])
    }
  })
})
