import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import * as Logits from "./Logits.ts"
import { model, pieces, read } from "./Stories260K.ts"

const bos = 1

/** The story that the documentation shows for temperature 0. */
const story = () => /-t 0\.0\n([\s\S]*?)\n```/.exec(readFileSync(join(model, "stories260K.md"), "utf8"))![1]!

describe("stories260K, a trained model", () => {
  if (!existsSync(model)) it.skipIf(true)("the model is not here", () => {})
  else {
    it.effect("as a Hugging Face folder, it tells the story of its documentation", () =>
      Effect.gen(function*() {
        const { decoder, weights } = read()
        const root = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        yield* CheckpointWriter.write(join(root, "m"), {
          config: yield* CheckpointConfig.ofDecoder(decoder),
          weights,
          shardBytes: 300_000
        })
        const opened = yield* CheckpointFolder.open(join(root, "m"))
        assert.strictEqual(opened.config.family, "llama")
        const buffer = ParameterBuffer.make(CheckpointFolder.parameters(opened))
        assert.strictEqual(buffer.count, 260_032)
        const logits = yield* Logits.compile(opened.config.decoder, buffer)
        const tokens = [bos]
        let nats = 0
        while (tokens.length <= 256) {
          const row = new Int32Array(64 * Math.ceil(tokens.length / 64))
          row.set(tokens)
          const last = (yield* logits([row])).subarray((tokens.length - 1) * decoder.vocabulary).subarray(
            0,
            decoder.vocabulary
          )
          const next = last.reduce((best, logit, id) => logit > last[best]! ? id : best, 0)
          if (next === bos) break
          nats += Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - last[next]!), 0))
          tokens.push(next)
        }
        const known = pieces(decoder.vocabulary)
        const text = Buffer.concat(tokens.slice(1).map((token) => known[token]!)).toString().trimStart()
        assert.strictEqual(text, story())
        assert.isBelow(nats / (tokens.length - 1), 0.7)
      }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, OnnxRuntime.layerCpu({ threads: 2 })])))
  }
})
