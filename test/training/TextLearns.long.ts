/**
 * A trained model of stories is taught the SIDs of a small shop by text tasks: the items that titles name, and what comes
 * after a history.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Shop from "../../src/catalog/shop/Shop.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import { ItemEmbeddings } from "../../src/embedding/ItemEmbeddings.ts"
import * as PolicyRanking from "../../src/evaluation/PolicyRanking.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import { AdamWConfig } from "../../src/optimizer/AdamW.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as TextFolder from "../../src/policy/text/TextFolder.ts"
import * as TextPolicy from "../../src/policy/text/TextPolicy.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as ItemTexts from "../../src/task/ItemTexts.ts"
import * as Mixture from "../../src/task/Mixture.ts"
import { TextConfig } from "../../src/task/TextConfig.ts"
import * as TextPrompts from "../../src/task/TextPrompts.ts"
import * as Stories from "../policy/Stories260K.ts"

const items = 24

/** A walk through all items, from each of them: what comes next follows from the last item alone. */
const after = (item: number) => (item * 5 + 7) % items
const sequences = Array.from({ length: items }, (_, start) => {
  const walk = [start]
  while (walk.length < 4) walk.push(after(walk.at(-1)!))
  return Int32Array.from(walk)
})

const index = SidIndex.make(
  Array.from({ length: items }, (_, item) => Int32Array.of(Math.floor(item / 6), Math.floor(item / 2) % 3, item % 2)),
  [4, 3, 2],
  "none"
)
const dataset = Shop.generate(Schema.decodeSync(Shop.ShopConfig)({ users: 30, items }), 3)
const texts = ItemTexts.ofItems(dataset.items)
const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({ averaging: 0 }))

const settingsOf = (folder: string) =>
  Schema.decodeSync(TextConfig)({
    folder,
    train: "lora",
    tasks: { historyItems: 2, weights: { "history-to-sid": 1, "title-to-sid": 1 } },
    maximumTokens: 256,
    batchTokens: 4096
  })

const learn = Effect.fnUntraced(function*(config: TextConfig, epochs: number) {
  const policy = yield* PolicyModel
  const store = yield* PolicyParameters
  const { vocabulary } = yield* TextFolder.open(config, index)
  const options = TextPrompts.optionsOf(config.tasks, vocabulary.beginning)
  const sources = yield* Mixture.sourcesOf(config.tasks, { sequences, sids: index.sids, texts }, options)
  const titles = (yield* Mixture.examples(
    sources.filter(({ template }) => template.name === "title-to-sid"),
    texts,
    options,
    1,
    0
  )).map(({ answer, prompt }) => ({ prompt, item: (answer[0] as { readonly item: number }).item }))
  assert.isAbove(titles.length, items / 2)
  /** Share of the titles whose item is the most probable, and how well histories rank what comes next. */
  const quality = Effect.gen(function*() {
    const weights = yield* store.weights
    const { space } = yield* Sids
    const found = yield* (yield* LeafDecoder).decode(
      titles.map(({ prompt }) => ({ prompt, count: 4, space })),
      weights
    )
    const right = titles.filter(({ item }, t) => found[t]!.leaves[0] === index.leafOf[item])
    const ranked = yield* PolicyRanking.rankAll(
      sequences.map((walk, user) => ({ user, history: walk.subarray(0, 3), target: walk[3]! })),
      weights,
      { beams: 10, historyExcluded: false }
    )
    return { titles: right.length / titles.length, ndcg: PolicyRanking.meanNdcg(ranked, 10) }
  })
  const gradient = yield* policy.supervised
  const before = yield* quality
  const losses: Array<number> = []
  let step = 0
  for (let epoch = 0; epoch < epochs; epoch++) {
    const batches = yield* policy.plan(yield* Mixture.examples(sources, texts, options, 1, epoch), 1, epoch)
    for (const batch of batches) {
      losses.push((yield* gradient.accumulate(store, [{ batch }], { seed: 1, step: step++ })).loss)
      // A constant rate ends where the last batches push it, on another processor elsewhere.
      yield* store.apply(optimizer, 0.003 * (1 - epoch / epochs))
    }
  }
  return { before, after: yield* quality, first: losses[0]!, last: losses.at(-1)! }
}, Effect.scoped)

describe("a text policy on stories260K", () => {
  if (!existsSync(Stories.model)) it.skipIf(true)("the model is not here", () => {})
  else {
    it.effect("learns the items of titles and what comes next", () =>
      Effect.gen(function*() {
        const folder = join(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped(), "stories")
        yield* Stories.write(folder)
        const config = settingsOf(folder)
        const { after, before, first, last } = yield* learn(config, 30).pipe(
          Effect.provide(
            LeafDecoder.layerBeams().pipe(
              Layer.provideMerge(PolicyParameters.layer),
              Layer.provideMerge(TextPolicy.layer(config, TextPrompts.words(config.tasks, texts), 1)),
              Layer.provide(ItemEmbeddings.layer({ rows: 0, width: 0, data: new Float32Array() })),
              Layer.provideMerge(Sids.layer(index)),
              Layer.provide(OnnxRuntime.layerCpu({ threads: 1 }))
            )
          )
        )
        const told = JSON.stringify({ before, after, first, last })
        assert.isBelow(before.titles, 0.2, told)
        assert.isBelow(before.ndcg, 0.3, told)
        assert.isBelow(last, 0.5 * first, told)
        assert.isAbove(after.titles, 0.4, told)
        assert.isAbove(after.ndcg, 0.45, told)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 900_000)
  }
})
