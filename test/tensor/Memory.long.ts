import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const probe = (mode: "steps" | "cycles", count: number, every: number) => {
  const lines = execFileSync(process.execPath, [
    "--expose-gc",
    "--max-semi-space-size=16",
    fileURLToPath(new URL("./MemoryProbe.ts", import.meta.url)),
    mode,
    String(count),
    String(every)
  ], { encoding: "utf8" }).trim().split("\n").map((line) => JSON.parse(line) as Record<string, number>)
  return {
    alive: lines.at(-1)!,
    rss: new Map(lines.slice(0, -1).map((line) => [line["done"]!, line["rss"]!]))
  }
}

const drift = (rss: ReadonlyMap<number, number>, from: number, to: number) => rss.get(to)! / rss.get(from)! - 1

describe("resident memory", () => {
  it("is flat over 1,000 training steps", { timeout: 300_000 }, () => {
    // V8 still compiles functions and grows its heap by single pages in the first 1,000 steps.
    const { alive, rss } = probe("steps", 2200, 100)
    assert.deepStrictEqual(alive, { handles: 0, bytes: 0, executables: 0 })
    assert.isBelow(Math.abs(drift(rss, 1200, 2200)), 0.02, JSON.stringify([...rss]))
  })

  it("is flat over 100 cycles of compiling and closing", { timeout: 300_000 }, () => {
    const { alive, rss } = probe("cycles", 200, 50)
    assert.deepStrictEqual(alive, { handles: 0, bytes: 0, executables: 0 })
    assert.isBelow(Math.abs(drift(rss, 100, 200)), 0.02, JSON.stringify([...rss]))
  })
})
