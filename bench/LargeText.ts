/**
 * Memory and time of a text policy of the shape of Qwen2.5-0.5B, with random weights: loading its folder, supervised
 * steps on 512 packed positions with adapters and with all weights, and beams under the trie.
 *
 * Every mode runs in its own process, so that its peak memory is known. The tokenizer has as many tokens as that of
 * Qwen2.5: single bytes, beginnings of the words of a generated shop, and then pairs of tokens that hardly occur.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as Shop from "../src/catalog/shop/Shop.ts"
import * as BeamSearch from "../src/decode/BeamSearch.ts"
import { ItemEmbeddings } from "../src/embedding/ItemEmbeddings.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import { AdamWConfig } from "../src/optimizer/AdamW.ts"
import { PolicyModel } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import * as TextFolder from "../src/policy/text/TextFolder.ts"
import * as TextPolicy from "../src/policy/text/TextPolicy.ts"
import * as Transformer from "../src/policy/transformer/Transformer.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as Random from "../src/statistics/Random.ts"
import * as ItemTexts from "../src/task/ItemTexts.ts"
import * as Mixture from "../src/task/Mixture.ts"
import { TextConfig } from "../src/task/TextConfig.ts"
import * as TextPrompts from "../src/task/TextPrompts.ts"
import * as ByteAlphabet from "../src/tokenizer/ByteAlphabet.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as TextModel from "./TextModel.ts"

/** Shape of Qwen2.5-0.5B: 494 million weights. */
const shape = new Transformer.DecoderConfig({
  vocabulary: 151_936,
  width: 896,
  layers: 24,
  heads: 14,
  keyValueHeads: 2,
  headWidth: 64,
  feedForward: 4864,
  maxPositions: 32_768,
  ropeTheta: 1_000_000,
  attentionBias: true,
  queryKeyNorm: false,
  tied: true,
  epsilon: 1e-6
})

/** Tokens of Qwen2.5 that merges make, and ids with its added tokens. */
const [mergedTokens, tokens] = [151_643, 151_665]

const [items, users, levels, codes] = [64, 200, 3, 16]
const shop = Shop.generate(Schema.decodeSync(Shop.ShopConfig)({ users, items }), 3)
const texts = ItemTexts.ofItems(shop.items)
const draw = Random.uniform(5)
const index = SidIndex.make(
  Array.from({ length: items }, () => Int32Array.from({ length: levels }, () => Math.floor(draw() * codes))),
  Array.from({ length: levels }, () => codes),
  "keep"
)

/** Returns the files of the tokenizer. */
const tokenizerFiles = (): ReadonlyMap<string, Uint8Array> => {
  const merges = new TextModel.Merges()
  merges.addWords(
    shop.items.map(({ categories, description, title }) => [title, description, ...categories].join(" "))
  )
  // Bytes above 127 are rare in the shop's texts: these stand for the tokens of other languages.
  const rare = [...merges.vocabulary.keys()]
  for (const left of ByteAlphabet.characters.slice(128)) {
    for (const right of rare) if (merges.vocabulary.size < mergedTokens) merges.add(left, right)
  }
  const added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
  while (merges.vocabulary.size + added.length < tokens) added.push(`<|unused_${added.length}|>`)
  return merges.files(added)
}

/** What one process does. */
interface Task {
  readonly folder: string
  readonly mode: "write" | "lora" | "all"
  /** Trained steps; the first is not counted. */
  readonly steps: number
}

/** Measurements of one process. */
interface Point {
  readonly parameters: number
  readonly trained: number
  readonly positions: number
  readonly targets: number
  readonly loadSeconds: number
  readonly firstSeconds: number
  readonly stepSeconds: number
  readonly decodeSeconds: number
  readonly checkpointSeconds: number
  readonly losses: ReadonlyArray<number>
  /** Peak memory in GiB after loading, after the steps, after decoding, and after a checkpoint. */
  readonly peaks: readonly [number, number, number, number]
}

/** Returns the peak of this process's resident memory, in GiB. */
const peak = (): number => {
  const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : ""
  // What the process before it needed counts in maxRSS, too.
  const kib = /VmHWM:\s*(\d+)/.exec(status)?.[1]
  return (kib === undefined ? process.resourceUsage().maxRSS : Number(kib)) / 2 ** 20
}

const counters: TrainingState.Counters = {
  step: 1,
  epoch: 0,
  best: 0,
  bestEpoch: 0,
  sinceBest: 0,
  start: 0,
  asked: 1,
  origin: -1
}

/** Users who are decoded, and beams of each. */
const [decoded, beams] = [4, 10]

const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({}))

const measure = ({ folder, mode, steps }: Task & { readonly mode: "lora" | "all" }) => {
  const config = Schema.decodeSync(TextConfig)({
    folder,
    train: mode,
    lora: { rank: 8 },
    maximumTokens: 256,
    batchTokens: 512
  })
  const started = performance.now()
  const since = (from: number) => (performance.now() - from) / 1000
  return Effect.gen(function*() {
    const policy = yield* PolicyModel
    const store = yield* PolicyParameters
    const loadSeconds = since(started)
    const loaded = peak()
    const { vocabulary } = yield* TextFolder.open(config, index)
    const options = TextPrompts.optionsOf(config.tasks, vocabulary.beginning)
    const sources = yield* Mixture.sourcesOf(
      config.tasks,
      { sequences: shop.sequences, sids: index.sids, texts },
      options
    )
    const examples = (yield* Mixture.examples(sources, texts, options, 1, 0)).slice(0, 500)
    const batches = (yield* policy.plan(examples, 1, 0)).slice(0, steps)
    const gradient = yield* policy.supervised
    const losses: Array<number> = []
    const seconds: Array<number> = []
    for (const [step, batch] of batches.entries()) {
      const from = performance.now()
      losses.push((yield* gradient.accumulate(store, [{ batch }], { seed: 1, step })).loss)
      yield* store.apply(optimizer, 1e-4)
      seconds.push(since(from))
    }
    const trained = peak()
    const { space } = yield* Sids
    const from = performance.now()
    yield* BeamSearch.search(
      shop.sequences.slice(0, decoded).map((items) => ({ prompt: Prompt.ofItems(items.subarray(-8)), space })),
      yield* store.weights,
      { beams }
    )
    const decodeSeconds = since(from)
    const answered = peak()
    const begun = performance.now()
    yield* TrainingState.save(store, "sft", counters, true).pipe(
      Effect.provide(Checkpointer.layer(join(folder, "..", mode)))
    )
    const checkpointSeconds = since(begun)
    const sizeOf = (some: typeof store.buffer.slots) => some.reduce((sum, { size }) => sum + size, 0)
    const point: Point = {
      parameters: sizeOf(store.buffer.slots),
      trained: sizeOf(store.buffer.slots.filter(({ trainable }) => trainable)),
      positions: batches[0]!.feeds["tokens"]!.data.length,
      targets: batches.reduce((sum, { targets }) => sum + targets, 0) / batches.length,
      loadSeconds,
      firstSeconds: seconds[0]!,
      stepSeconds: seconds.slice(1).toSorted((a, b) => a - b)[(seconds.length - 1) >> 1]!,
      decodeSeconds,
      checkpointSeconds,
      losses,
      peaks: [loaded, trained, answered, peak()]
    }
    return point
  }).pipe(
    Effect.scoped,
    Effect.provide(
      PolicyParameters.layer.pipe(
        Layer.provideMerge(TextPolicy.layer(config, TextPrompts.words(config.tasks, texts), 1)),
        Layer.provide(ItemEmbeddings.layer({ rows: 0, width: 0, data: new Float32Array() })),
        Layer.provideMerge(Sids.layer(index)),
        Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
      )
    )
  )
}

const inProcess = (task: Task): string =>
  execFileSync(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(task)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"]
  })

/** Passes the table in Markdown to `show` line by line. */
export const run = async (show: (line: string) => void): Promise<void> => {
  const parent = await mkdtemp(join(tmpdir(), "sidereal-large-"))
  const folder = join(parent, "model")
  try {
    inProcess({ folder, mode: "write", steps: 0 })
    show(
      "| trained | values | positions, with a loss | load | first step | step | decode | checkpoint | peak after loading | with steps | with decoding | with a checkpoint |"
    )
    show("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (const mode of ["lora", "all"] as const) {
      const point = JSON.parse(inProcess({ folder, mode, steps: 6 })) as Point
      const seconds = [
        point.loadSeconds,
        point.firstSeconds,
        point.stepSeconds,
        point.decodeSeconds,
        point.checkpointSeconds
      ]
      show(
        `| ${mode === "lora" ? "adapters of rank 8" : "all weights"} | ${(point.trained / 1e6).toFixed(1)} of ${
          (point.parameters / 1e6).toFixed(0)
        } million | ${point.positions}, ${point.targets.toFixed(0)} | ${
          seconds.map((value) => `${value.toFixed(1)} s`).join(" | ")
        } | ${point.peaks.map((value) => `${value.toFixed(2)} GiB`).join(" | ")} |`
      )
    }
    show("")
    show(`${decoded} users with ${beams} beams each are decoded, with the compilation of the programs.`)
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
}

// `import.meta.main` is not in Node 22.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const task = JSON.parse(process.argv[2]!) as Task
  const { mode } = task
  const result = mode === "write"
    ? await Effect.runPromise(
      TextModel.write(task.folder, shape, "BF16", tokenizerFiles()).pipe(Effect.provide(NodeServices.layer))
    )
    : await Effect.runPromise(measure({ ...task, mode }).pipe(Effect.provide(NodeServices.layer)))
  process.stdout.write(JSON.stringify(result ?? null))
}
