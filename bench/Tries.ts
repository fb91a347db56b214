/**
 * Benchmark of the trie of ten million SIDs: building, memory, and look-ups of children.
 */
import * as Trie from "../src/sid/trie/Trie.ts"
import * as Random from "../src/statistics/Random.ts"
import { type Benchmark } from "./Benchmark.ts"

const items = 10_000_000
const levels = 4
const codes = 256
const lookUps = 5_000_000

/** Walks from the root along the SIDs of random items; every step is a look-up by code. */
const walk = (trie: Trie.Trie, sids: Int32Array, next: () => number): number => {
  let found = 0
  for (let i = 0; i < lookUps;) {
    const from = Math.floor(next() * items) * levels
    let node = 0
    for (let level = 0; level < levels; level++, i++) node = Trie.child(trie, node, sids[from + level]!)
    found += node
  }
  return found
}

/** Benchmarks of tries. */
export const tries: ReadonlyArray<Benchmark> = [{
  name: "sid.trie.10m",
  repeats: 1,
  warmup: 0,
  prepare: () => {
    const next = Random.uniform(10)
    const sids = Int32Array.from({ length: items * levels }, () => Math.floor(next() * codes))
    const work: Record<string, unknown> = { items, levels, codes }
    let seconds = 0
    return Promise.resolve({
      work,
      // The time of building only; look-ups are timed separately.
      seconds: () => seconds,
      amount: items,
      unit: "items/s",
      run: () => {
        const before = process.memoryUsage().rss
        const built = performance.now()
        const trie = Trie.ofCodes({ levels, codes: sids })
        seconds = (performance.now() - built) / 1000
        work["nodes"] = trie.nodes
        work["trieMiB"] = Math.round(Trie.bytes(trie) / 2 ** 20)
        // Peak of the first build: later ones reuse memory freed by earlier ones.
        work["buildPeakMiB"] ??= Math.round((process.resourceUsage().maxRSS * 1024 - before) / 2 ** 20)
        const started = performance.now()
        walk(trie, sids, Random.uniform(11))
        work["lookUpsPerSecond"] = Math.round(lookUps / ((performance.now() - started) / 1000))
        return Promise.resolve()
      },
      close: () => Promise.resolve()
    })
  }
}]
