/**
 * Cost of building SIDs as the catalogue grows: residual k-means, balanced codes, collisions, the trie.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as Chart from "../src/report/Chart.ts"
import { Progress } from "../src/run/Progress.ts"
import * as NearestFreeLeaf from "../src/sid/collision/NearestFreeLeaf.ts"
import * as CollisionPolicy from "../src/sid/CollisionPolicy.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import * as BalancedRqKMeans from "../src/sid/quantizer/BalancedRqKMeans.ts"
import * as RqKMeans from "../src/sid/quantizer/RqKMeans.ts"
import * as Trie from "../src/sid/trie/Trie.ts"
import * as Sids from "./Sids.ts"

const sizes = [10_000, 30_000, 100_000, 300_000, 1_000_000] as const
const width = 64
const runtime = Layer.merge(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent)
const shape = Schema.decodeSync(Quantizer.SidShape)({ codes: 256 })

const timed = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const started = performance.now()
    const value = yield* work
    return { value, seconds: (performance.now() - started) / 1000 }
  })

const measure = (rows: number) =>
  Effect.gen(function*() {
    const items = Quantizer.itemsOf(Sids.vectors(rows, width))
    const quantizer = yield* Quantizer.Quantizer
    const trained = yield* timed(quantizer.train(items))
    const resolved = yield* timed(CollisionPolicy.resolve(NearestFreeLeaf.policy, quantizer, items, trained.value))
    const trie = yield* timed(Effect.sync(() => Trie.build(resolved.value.sids)))
    const balanced = yield* timed(
      BalancedRqKMeans.level(
        Schema.decodeSync(BalancedRqKMeans.BalancedRqKMeansConfig)({ iterations: 25, exactRows: 20_000 }),
        items.embeddings,
        256,
        1
      ).pipe(Effect.scoped)
    )
    const { distinct } = yield* quantizer.diagnose(items, trained.value)
    return {
      rows,
      train: trained.seconds,
      policy: resolved.seconds,
      trie: trie.seconds,
      balanced: balanced.seconds,
      collisions: (rows - distinct) / rows,
      trieMiB: Trie.bytes(trie.value) / 2 ** 20,
      rssMiB: process.resourceUsage().maxRSS / 1024
    }
  }).pipe(
    Effect.provide(
      RqKMeans.layer(Schema.decodeSync(RqKMeans.RqKMeansConfig)({}), shape, 1).pipe(Layer.provideMerge(runtime))
    )
  )

/** Passes the table in Markdown to `show` line by line; returns a chart as the text of an SVG file. */
export const run = async (show: (line: string) => void): Promise<string> => {
  const points: Array<Effect.Success<ReturnType<typeof measure>>> = []
  show(
    "| items | RQ-KMeans | collisions before | nearest free leaf | trie | trie's memory | one balanced level | peak memory so far |"
  )
  show("| --- | --- | --- | --- | --- | --- | --- | --- |")
  for (const rows of sizes) {
    const point = await Effect.runPromise(measure(rows))
    points.push(point)
    show(
      `| ${rows.toLocaleString("en")} | ${point.train.toFixed(1)} s | ${(100 * point.collisions).toFixed(1)} % | ${
        point.policy.toFixed(1)
      } s | ${point.trie.toFixed(2)} s | ${point.trieMiB.toFixed(1)} MiB | ${point.balanced.toFixed(1)} s | ${
        point.rssMiB.toFixed(0)
      } MiB |`
    )
  }
  const series = (name: string, of: (point: (typeof points)[number]) => number) => ({
    name,
    points: points.map((point) => [point.rows / 1000, of(point)] as const)
  })
  return Chart.file(`Seconds to make SIDs of ${width} components, 3 x 256 codes`, "thousand items", [
    series("RQ-KMeans", ({ train }) => train),
    series("nearest leaf", ({ policy }) => policy),
    series("trie", ({ trie }) => trie),
    series("balanced level", ({ balanced }) => balanced)
  ])
}
