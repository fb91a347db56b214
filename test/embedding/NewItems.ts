/**
 * New items: their texts, their codes and their places beside items that were fitted.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as ModelFiles from "../../programs/ModelFiles.ts"
import * as Shop from "../../src/catalog/shop/Shop.ts"
import * as Collaborative from "../../src/embedding/Collaborative.ts"
import * as Fusion from "../../src/embedding/Fusion.ts"
import * as Lsa from "../../src/embedding/Lsa.ts"
import { itemText, TextEncoder } from "../../src/embedding/TextEncoder.ts"
import * as Matrix from "../../src/matrix/Matrix.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as Codes from "../../src/sid/Codes.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as RqKMeans from "../../src/sid/quantizer/RqKMeans.ts"
import * as RqVae from "../../src/sid/quantizer/RqVae.ts"
import * as RqVaeModel from "../../src/sid/rqvae/RqVaeModel.ts"
import * as LiveTrie from "../../src/sid/trie/LiveTrie.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as Random from "../../src/statistics/Random.ts"

const runtime = Layer.merge(OnnxRuntime.layerCpu({ threads: 2 }), Progress.layerSilent)
const shape = Schema.decodeSync(Quantizer.SidShape)({})
/** The encoder with these settings. */
export const lsa = (values: typeof Lsa.LsaConfig.Encoded) =>
  Lsa.layer(Schema.decodeSync(Lsa.LsaConfig)(values), 1).pipe(Layer.provide(Progress.layerSilent))

const dataset = Shop.generate(Schema.decodeSync(Shop.ShopConfig)({ items: 900, users: 1200 }), 1)
/** Texts of a shop. */
export const texts = dataset.items.map(itemText)
const order = Random.permutation(texts.length, 7)
const held = [...order.subarray(0, 120)]
const known = [...order.subarray(120)]
const pick = (items: ReadonlyArray<number>) => items.map((item) => texts[item]!)

/** What the quantizer, the encoder and the fusion keep, written and read again. */
export const kept = <A>(
  codec: {
    readonly encode: (value: ModelFiles.Versioned<A>) => Uint8Array
    readonly decode: (bytes: Uint8Array) => ModelFiles.Versioned<A>
  },
  model: A
): A => codec.decode(codec.encode({ version: "v", model })).model

/** What is encoded anew is what it was when it was fitted. */
export const folded = (name: string, values: typeof Lsa.LsaConfig.Encoded, given: ReadonlyArray<string>): void =>
  it.effect(`TextEncoder.encode folds texts in where they were fitted: ${name}`, () =>
    Effect.gen(function*() {
      const encoder = yield* TextEncoder
      const { embeddings, model } = yield* encoder.fit(given, given)
      const folded = yield* encoder.encode(given, kept(ModelFiles.encoder, model))
      assert.deepStrictEqual([folded.rows, folded.width], [embeddings.rows, embeddings.width])
      for (let i = 0; i < folded.data.length; i++) assert.closeTo(folded.data[i]!, embeddings.data[i]!, 1e-5)
    }).pipe(Effect.provide(lsa(values))))

const quantizers = {
  "rq-kmeans": RqKMeans.layer(Schema.decodeSync(RqKMeans.RqKMeansConfig)({}), shape, 1),
  "rq-vae": RqVae.layer(Schema.decodeSync(RqVaeModel.RqVaeConfig)({ ...RqVae.stabilized, epochs: 20 }), shape, 1)
}

/** Items held out get the codes of their neighbours. */
export const neighbours = (kind: "concat" | "cca" | "none", name: keyof typeof quantizers): void => {
  const layer = quantizers[name]
  it.effect(
    `items that nothing was fitted on get the codes of their neighbours: fusion ${kind}, ${name}`,
    () =>
      Effect.gen(function*() {
        const encoder = yield* TextEncoder
        const quantizer = yield* Quantizer.Quantizer
        const fitted = yield* encoder.fit(pick(known), pick(known))
        const numbers = new Map(known.map((item, at) => [item, at]))
        const events = dataset.sequences.map((sequence) =>
          Int32Array.from([...sequence].flatMap((item) => numbers.get(item) ?? []))
        )
        const collaborative = yield* Collaborative.embed(
          events,
          known.length,
          Schema.decodeSync(Collaborative.CollaborativeConfig)({}),
          1
        )
        const fusion = Fusion.fit(
          fitted.embeddings,
          collaborative,
          Schema.decodeSync(Fusion.FusionConfig)({ kind })
        )
        const items = {
          ...Quantizer.itemsOf(fusion.embeddings),
          keys: pick(known)
        }
        const trained = yield* quantizer.train(items)

        const rows = yield* encoder.encode(pick(held), kept(ModelFiles.encoder, fitted.model))
        const placed = Fusion.place(kept(ModelFiles.fusion, fusion.model), rows)
        const { codes, model } = kept(ModelFiles.quantizer, trained)
        assert.deepStrictEqual(codes, trained.codes)
        const found = Codes.rowsOf(yield* quantizer.encode(Quantizer.itemsOf(placed), model))
        const sids = Codes.rowsOf(codes)

        // The nearest fitted item by its embedding, found apart from any code.
        const nearestTo = (own: Float32Array, except: number) => {
          let [best, most] = [-1, -Infinity]
          for (let r = 0; r < fusion.embeddings.rows; r++) {
            const dot = Matrix.row(fusion.embeddings, r).reduce((sum, value, d) => sum + value * own[d]!, 0)
            if (dot > most && r !== except) [best, most] = [r, dot]
          }
          return sids[best]!
        }
        const prefix = (sid: Int32Array, length: number) => sid.subarray(0, length).join()
        const agreement = (of: ReadonlyArray<Int32Array>, neighbours: ReadonlyArray<Int32Array>, length: number) =>
          of.filter((sid, row) => prefix(sid, length) === prefix(neighbours[row]!, length)).length / of.length
        const near = found.map((_, row) => nearestTo(Matrix.row(placed, row), -1))
        const nearKnown = sids.map((_, row) => nearestTo(Matrix.row(fusion.embeddings, row), row))
        const chance = (length: number) => {
          let sum = 0
          for (let from = 0; from < 100; from++) {
            sum += agreement(found, found.map((_, row) => sids[(row * 7 + from * 11) % sids.length]!), length)
          }
          return sum / 100
        }
        for (const [length, share] of [[1, 0.9], [2, 0.7]] as const) {
          assert.isAbove(agreement(found, near, length), share * agreement(sids, nearKnown, length))
          assert.isAbove(agreement(found, near, length), 20 * chance(length))
        }

        // A trie takes them while it is used.
        const live = LiveTrie.make(Trie.build(sids))
        for (const [row, sid] of found.entries()) {
          const leaf = live.insert(sids.length + row, sid)
          assert.isTrue(live.snapshot().items(leaf).includes(sids.length + row))
        }
        assert.strictEqual(live.size, texts.length)
      }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(layer, lsa({})), runtime))),
    240_000
  )
}
