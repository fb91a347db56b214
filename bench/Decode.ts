/**
 * Benchmarks of decoding: 50 constrained beams per user on the Industrial catalogue, prompts of SIDs, 8 users at a
 * time.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as BeamSearch from "../src/decode/BeamSearch.ts"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as Random from "../src/statistics/Random.ts"
import { type Benchmark } from "./Benchmark.ts"
import { shapeOf } from "./Engine.ts"
import * as Scoped from "./Scoped.ts"

const folder = process.env["SIDEREAL_DATA"] ?? fileURLToPath(new URL("../../shared/data", import.meta.url))

const splits = {
  train: "train/Industrial_and_Scientific_5_2016-10-2018-11.small.csv",
  test: "test/Industrial_and_Scientific_5_2016-10-2018-11.csv"
}

/**
 * Returns the catalogue, histories and their next items of the first rows of the peer's data, or random ones of the same
 * size where it is absent.
 */
export const catalogue = async (split: keyof typeof splits, users: number) => {
  const base = `${folder}/minionerec-industrial`
  const file = `${base}/Industrial_and_Scientific.index.json`
  const next = Random.uniform(5)
  if (!existsSync(file)) {
    const sids = Array.from({ length: 3686 }, () => Int32Array.from([48, 256, 256], (k) => Math.floor(next() * k)))
    return {
      source: "random",
      index: SidIndex.make(sids, [48, 256, 256], "keep"),
      histories: Array.from({ length: users }, () => Int32Array.from({ length: 8 }, () => Math.floor(next() * 3686))),
      targets: Array.from({ length: users }, () => Math.floor(next() * 3686))
    }
  }
  const index = await Effect.runPromise(SidIndex.fromJson(JSON.parse(readFileSync(file, "utf8"))))
  const text = readFileSync(`${base}/${splits[split]}`, "utf8")
  const rows = [...text.matchAll(/"?\[((?:\d+(?:, )?)+)\]"?,(\d+),/g)].slice(0, users)
  return {
    source: "minionerec-industrial",
    index,
    histories: rows.map((row) => Int32Array.from(row[1]!.split(", "), Number)),
    targets: rows.map((row) => Number(row[2]))
  }
}

/** Returns a policy of the peer's shape, over the compact vocabulary of the catalogue's SIDs. */
export const flat = (width: number): FlatPolicy.FlatPolicyConfig => {
  const { feedForward, heads, layers } = shapeOf(width)
  return new FlatPolicy.FlatPolicyConfig({
    width,
    layers,
    heads,
    keyValueHeads: heads,
    feedForward,
    historyItems: 50,
    batchTokens: 2048,
    dropout: 0,
    labelSmoothing: 0
  })
}

const decode = (name: string, width: number, users: number): Benchmark => ({
  name,
  repeats: 5,
  warmup: 3,
  peer: {
    script: "constrained_beam.py",
    environment: "minionerec",
    args: ["--d", String(width), "--form", "ids", "--users", String(users), "--batch", String(users), "--repeats", "3"]
  },
  prepare: async () => {
    const { histories, index, source } = await catalogue("test", users)
    const config = flat(width)
    const engine = await Scoped.open(
      PolicyParameters.layer.pipe(
        Layer.provideMerge(FlatPolicy.layer(config, 1)),
        Layer.provideMerge(Sids.layer(index)),
        Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
      )
    )
    const store = await engine.run(Effect.flatMap(PolicyParameters, Effect.succeed))
    const { space } = await engine.run(Effect.flatMap(Sids, Effect.succeed))
    const weights = { version: 0, feeds: store.buffer.tensors("weights") }
    const searches = histories.map((items) => ({ prompt: Prompt.ofItems(items), space }))
    return {
      work: {
        d: width,
        layers: config.layers,
        beams: 50,
        users: histories.length,
        catalogue: index.sids.length,
        source,
        promptTokens:
          histories.reduce((sum, history) => history.reduce((n, item) => n + index.sids[item]!.length, sum + 1), 0) /
          histories.length
      },
      amount: histories.length,
      unit: "users/s",
      run: async () => void await engine.run(BeamSearch.search(searches, weights, { beams: 50 })),
      close: engine.close
    }
  }
})

/** Benchmarks of decoding. */
export const benchmarks: ReadonlyArray<Benchmark> = [
  decode("decode.beam50.d128", 128, 8),
  decode("decode.beam50.d256", 256, 8),
  decode("decode.latency.d256", 256, 1)
]
