import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ModelFiles from "../../programs/ModelFiles.ts"
import * as Fusion from "../../src/embedding/Fusion.ts"
import { TextEncoder } from "../../src/embedding/TextEncoder.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import { distance } from "../Golden.ts"
import { folded, kept, lsa, neighbours, texts } from "./NewItems.ts"

folded("a catalogue, not whitened", { whiten: false, width: 40 }, texts)
folded("fewer texts than components", {}, texts.slice(0, 20))
folded("equal texts", {}, Array.from({ length: 12 }, () => "Gift card"))
folded("texts without a word", {}, ["red pen", "red ink", "", "!", "blue pen"])

describe("TextEncoder.encode", () => {
  it.effect("refuses a model of other settings, and one that lacks a part", () =>
    Effect.gen(function*() {
      const encoder = yield* TextEncoder
      const { model } = yield* encoder.fit(texts.slice(0, 20), texts)
      const other = yield* Effect.flip(encoder.encode(texts, { ...model, encoder: "lsa of others" }))
      assert.strictEqual(other.reason._tag, "OtherEncoder")
      assert.include(other.message, "lsa of others")
      for (const name of model.tensors.keys()) {
        const tensors = new Map(model.tensors)
        tensors.delete(name)
        const broken = yield* Effect.flip(encoder.encode(texts, { ...model, tensors }))
        assert.strictEqual(broken.reason._tag, "BadModel")
        assert.include(broken.message, `"${name}" is missing`)
      }
    }).pipe(Effect.provide(lsa({}))))
})

neighbours("cca", "rq-kmeans")

describe("items that nothing was fitted on", () => {
  it.effect("are placed by their text alone, as items without events are", () =>
    Effect.gen(function*() {
      const encoder = yield* TextEncoder
      const { embeddings: text } = yield* encoder.fit(texts.slice(0, 200), texts)
      for (const kind of ["concat", "cca", "none"] as const) {
        const collaborative: Matrix.Matrix = {
          rows: 200,
          width: 6,
          data: Float32Array.from({ length: 1200 }, (_, i) => (i < 600 ? Math.sin(i * i) : 0))
        }
        const config = Schema.decodeSync(Fusion.FusionConfig)({ kind })
        const { embeddings, model } = Fusion.fit(text, collaborative, config)
        assert.deepStrictEqual(Fusion.place(kept(ModelFiles.fusion, model), text, collaborative), embeddings)
        const alone = Fusion.place(model, text)
        assert.isBelow(distance(alone.data.slice(100 * alone.width), embeddings.data.slice(100 * alone.width)), 1e-7)
        if (kind !== "none") assert.notDeepEqual(Matrix.row(alone, 0), Matrix.row(embeddings, 0))
      }
    }).pipe(Effect.provide(lsa({}))))
})
