/**
 * Written text policies: the folder is one language model over the tokenizer beside it, and a policy again.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as Lora from "../../src/policy/lora/Lora.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import type * as Prompt from "../../src/policy/Prompt.ts"
import * as TextExport from "../../src/policy/text/TextExport.ts"
import * as TextFolder from "../../src/policy/text/TextFolder.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import { type TextConfig } from "../../src/task/TextConfig.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { distance } from "../Golden.ts"
import { catalogues, enliven, onnx, walk } from "./FamilyFixture.ts"
import * as Logits from "./Logits.ts"
import * as TextFixture from "./TextFixture.ts"

const text = "<begin>a text and its items "
const prompt: Prompt.Prompt = { _tag: "Text", task: "own", segments: [text, { item: 6 }, { item: 0 }, "\n"] }

/** Probabilities of everything after the prompt, over the whole vocabulary. */
const scored = Effect.fnUntraced(function*(weights: Parameters<PolicyModel["Service"]["score"]>[1]) {
  const policy = yield* PolicyModel
  const { space } = yield* Sids
  const [rows] = yield* walk(yield* policy.open([prompt], { weights, space, normaliser: "vocabulary" }), [space])
  return { rows: rows!, space }
})

for (const [name, index] of catalogues) {
  for (const tied of [true, false]) {
    const layerOf = (config: TextConfig) =>
      PolicyParameters.layer.pipe(
        Layer.provideMerge(TextFixture.layerOf(config, index)),
        Layer.provideMerge(Sids.layer(index)),
        Layer.provideMerge(onnx)
      )

    describe(`TextExport, ${tied ? "tied" : "untied"}: ${name}`, () => {
      it.effect("is the same language model, and the same policy", () =>
        Effect.gen(function*() {
          const root = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
          const [folder, written] = [join(root, "model"), join(root, "written")]
          yield* TextFixture.write(folder, { tied })
          const config = TextFixture.settings(folder, { train: "lora", lora: { rank: 2 }, start: "around-mean" })
          const { checkpoint, vocabulary } = yield* TextFolder.open(config, index)
          const { found, weights } = yield* Effect.gen(function*() {
            const found = yield* scored(yield* enliven)
            return { found, weights: (yield* (yield* PolicyParameters).save).weights }
          }).pipe(Effect.provide(layerOf(config)))
          const model = TextExport.model(checkpoint.config, vocabulary, weights)
          yield* CheckpointWriter.write(written, {
            config: model.config,
            weights: yield* Lora.merge(config.lora, Lora.baseIn(model.weights), model.weights),
            tokenizer: folder,
            files: TextExport.tokenizer(vocabulary)
          })

          // A plain decoder over plain tokens.
          const opened = yield* CheckpointFolder.open(written)
          const { decoder } = opened.config
          const definition = yield* TokenizerFile.read(written)
          assert.strictEqual(definition.roles.eos, "<end>")
          const tokenizer = yield* ByteLevelBpe.make(definition)
          assert.isAtMost(tokenizer.size, decoder.vocabulary)
          const logits = yield* Logits.compile(
            decoder,
            ParameterBuffer.make(CheckpointFolder.parameters(opened))
          ).pipe(Effect.provide(onnx))
          const sidText = (codes: ReadonlyArray<number>) => SidIndex.format(codes)
          const asked = text + sidText([...index.sids[6]!]) + sidText([...index.sids[0]!]) + "\n"
          let compared = 0
          for (const [node, { children, end }] of found.rows) {
            const { space } = found
            const nodes = LeafSpace.childNodes(space, node)
            if (nodes.length === 0) continue
            const codesOf = (of: number) => LeafSpace.path(space, of).map((one) => space.code(one))
            const ids = tokenizer.encode(asked + sidText(codesOf(node)))
            const row = new Int32Array(64 * Math.ceil(ids.length / 64))
            row.set(ids)
            const all = (yield* logits([row])).subarray(
              (ids.length - 1) * decoder.vocabulary,
              ids.length * decoder.vocabulary
            )
            const most = Math.max(...all)
            const total = most + Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
            const next = Array.from(nodes, (child) => tokenizer.idOf(SidIndex.tokens(codesOf(child)).at(-1)!)!)
            const wanted = [...next, ...(space.ends(node) ? [tokenizer.idOf("<sid_end>")!] : [])]
              .map((id) => all[id]! - total)
            assert.isBelow(distance(space.ends(node) ? [...children, end] : [...children], wanted), 1e-4)
            compared += wanted.length
          }
          assert.isAbove(compared, 10)

          // The folder has the tokens of the SIDs, whose rows are kept.
          const again = yield* Effect.gen(function*() {
            const { buffer } = yield* PolicyParameters
            return yield* scored({ version: 0, feeds: buffer.tensors("weights") })
          }).pipe(Effect.provide(layerOf(TextFixture.settings(written, { train: "sid-rows" }))))
          for (const [node, { children, end }] of found.rows) {
            const own = again.rows.get(node)!
            assert.isBelow(distance([...own.children, Math.exp(own.end)], [...children, Math.exp(end)]), 1e-4)
          }
        }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
    })
  }
}
