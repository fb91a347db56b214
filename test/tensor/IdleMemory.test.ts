import { assert, describe, it } from "@effect/vitest"
import { IdleMemory } from "../../layers/onnx/IdleMemory.ts"

describe("IdleMemory", () => {
  const make = (limit?: number) => new IdleMemory((bytes) => new ArrayBuffer(bytes), limit)

  it("returns what was given back for sizes a little smaller or larger, and for no others", () => {
    const memory = make()
    const first = memory.take(100_000)
    memory.give(first)
    assert.strictEqual(memory.take(99_000), first)
    assert.notStrictEqual(memory.take(99_000), first)
    memory.give(first)
    assert.notStrictEqual(memory.take(50_000), first)
    assert.notStrictEqual(memory.take(200_000), first)
    assert.strictEqual(memory.take(100_000), first)
  })

  it("returns enough bytes, and at most a quarter more", () => {
    const memory = make()
    for (let bytes = 0; bytes < 3_000_000; bytes += 1 + (bytes >> 3)) {
      const { byteLength } = memory.take(bytes)
      assert.isAtLeast(byteLength, bytes)
      assert.isAtMost(byteLength, Math.max(bytes * 1.25, bytes + 1024))
    }
  })

  it("gives up what has been idle longest when more bytes are idle than allowed", () => {
    const memory = make(40_000)
    const [a, b, c] = [memory.take(16_384), memory.take(16_384), memory.take(16_384)]
    for (const one of [a, b, c]) memory.give(one!)
    assert.strictEqual(memory.take(16_384), c)
    assert.strictEqual(memory.take(16_384), b)
    assert.notStrictEqual(memory.take(16_384), a)
  })
})
