/**
 * `node test/tensor/MemoryProbe.ts steps|cycles COUNT EVERY`: trains a small decoder, or compiles and closes it, and prints
 * resident bytes as a JSON line every so often. Run with `--expose-gc --max-semi-space-size=16`, so that what is seen is
 * the engine's memory and not the growth of V8's young generation.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as FlatPrograms from "../../src/policy/flat/FlatPrograms.ts"
import * as LevelHead from "../../src/policy/flat/LevelHead.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { hostBool, hostFloat32, hostInt32 } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

const [mode, count, every] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const config = Schema.decodeSync(Transformer.DecoderConfig)({
  vocabulary: 256,
  width: 64,
  layers: 4,
  heads: 4,
  keyValueHeads: 2,
  headWidth: 16,
  feedForward: 128
})
const buffer = ParameterBuffer.make(Transformer.parameters(config, Random.normal(1)))
const optimizer = Schema.decodeSync(AdamW.AdamWConfig)({})
const [rows, length] = [4, 64]
const ids = Int32Array.from({ length: rows * length }, (_, i) => (i * 7) % 256)
const vocabulary = { size: 256, offsets: [1, 64, 128], sizes: [63, 64, 128], ends: false }
const tiles = LevelHead.tiles(ids.map((id) => id % 3))
const places = [tiles.count, tiles.width] as const
const feeds = {
  ...buffer.tensors("weights"),
  tokens: hostInt32(ids, rows, length),
  ...LevelHead.feeds(vocabulary, tiles, rows, length),
  targets: hostInt32(tiles.rows.map((row) => ids[row]! % 63), ...places),
  positions: hostInt32(ids.map((_, i) => i % length), rows, length),
  segments: hostInt32(new Int32Array(ids.length), rows, length),
  weights: hostFloat32(new Float32Array(tiles.rows.length).fill(1 / ids.length), ...places),
  legal: hostBool(new Uint8Array(tiles.rows.length * 128).fill(1), ...places, 128)
}

const collect = (globalThis as { readonly gc?: () => void }).gc
const report = (done: number) => {
  collect?.()
  process.stdout.write(`${JSON.stringify({ done, rss: process.memoryUsage.rss() })}\n`)
}

const compile = Effect.flatMap(
  TensorRuntime,
  (runtime) =>
    runtime.compile(FlatPrograms.supervised(config, vocabulary, buffer.slots, { length, dropout: false, smoothing: 0 }))
)

const steps = Effect.gen(function*() {
  const executable = yield* compile
  for (let step = 1; step <= count; step++) {
    yield* Effect.scoped(executable.run(feeds, buffer.views("gradients")))
    AdamW.apply(buffer, optimizer, step, 1e-4)
    if (step % every === 0) report(step)
  }
})

const cycles = Effect.gen(function*() {
  for (let cycle = 1; cycle <= count; cycle++) {
    yield* Effect.scoped(Effect.flatMap(compile, (executable) => executable.run(feeds, buffer.views("gradients"))))
    if (cycle % every === 0) report(cycle)
  }
})

const usage = Effect.flatMap(TensorRuntime, (runtime) => runtime.usage)

await Effect.runPromise(
  Effect.scoped(mode === "steps" ? steps : cycles).pipe(
    Effect.andThen(usage),
    Effect.tap((alive) => Effect.sync(() => process.stdout.write(`${JSON.stringify(alive)}\n`))),
    Effect.provide(OnnxRuntime.layerCpu({ threads: 2 }))
  )
)
