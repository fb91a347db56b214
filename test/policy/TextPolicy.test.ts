/**
 * Text policies against the formulas of a language model, written anew in float64.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Adam from "../../src/optimizer/Adam.ts"
import { AdamWConfig } from "../../src/optimizer/AdamW.ts"
import { type ParameterStore } from "../../src/optimizer/ParameterStore.ts"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as TextFolder from "../../src/policy/text/TextFolder.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import { type TextConfig } from "../../src/task/TextConfig.ts"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { distance } from "../Golden.ts"
import { catalogues, enliven, onnx, prefixed, walk } from "./FamilyFixture.ts"
import { index as plain } from "./Fixture.ts"
import * as Oracle from "./Float64Oracle.ts"
import * as TextFixture from "./TextFixture.ts"

type Own = Partial<typeof TextConfig.Encoded>

const V = TextFixture.shape.vocabulary

/** Makes a folder in a temporary one; returns its path. */
const folderOf = Effect.fnUntraced(
  function*(
    ...rest: Parameters<typeof TextFixture.write> extends [string, ...infer R] ? R
      : never
  ) {
    const folder = join(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped(), "model")
    yield* TextFixture.write(folder, ...rest)
    return folder
  }
)

/** Provides the policy of a folder, its parameters and its SIDs. */
const layerOf = (folder: string, index: SidIndex.SidIndex, own: Own = {}) =>
  PolicyParameters.layer.pipe(
    Layer.provideMerge(TextFixture.layerOf(TextFixture.settings(folder, own), index)),
    Layer.provideMerge(Sids.layer(index)),
    Layer.provideMerge(onnx)
  )

const weightsOf = ({ buffer }: ParameterStore): Oracle.Weights =>
  new Map(buffer.slots.map(({ name }) => [name, Float64Array.from(buffer.view("weights", name))]))

const joined = (a: Float64Array, b: Float64Array) => Float64Array.of(...a, ...b)

/** The language model that the weights are: all tokens in one embedding, and one output matrix. */
const modelOf = (weights: Oracle.Weights) => {
  const embedding = joined(weights.get("model.embed_tokens.weight")!, weights.get("sid.model.embed_tokens.weight")!)
  const head = weights.has("lm_head.weight")
    ? joined(weights.get("lm_head.weight")!, weights.get("sid.lm_head.weight")!)
    : embedding
  return { weights: new Map([...weights, ["model.embed_tokens.weight", embedding]]), head }
}

/** Returns the tokens of a text of a catalogue, in the order of the model's rows, and which rows are tokens. */
const tokensOf = Effect.fnUntraced(function*(folder: string, index: SidIndex.SidIndex) {
  const compact = CompactVocabulary.make(index)
  const sids = [...new Set(index.sids.flatMap((codes) => SidIndex.tokens(codes)))].toSorted()
  const added = [...sids, ...(index === prefixed ? ["<sid_end>"] : [])]
  const before = yield* TokenizerFile.read(folder)
  const tokenizer = yield* ByteLevelBpe.make(TokenizerFile.extend(before, added))
  const rows = new Map<number, number>()
  for (const codes of index.sids) {
    for (const [level, token] of SidIndex.tokens(codes).entries()) {
      rows.set(tokenizer.idOf(token)!, V + CompactVocabulary.token(compact, level, codes[level]!))
    }
  }
  if (index === prefixed) rows.set(tokenizer.idOf("<sid_end>")!, V)
  const ids = new Set(rows.values())
  return {
    of: (text: string) => Array.from(tokenizer.encode(text), (id) => rows.get(id) ?? id),
    counted: Array.from({ length: V + compact.size }, (_, id) => id >= V ? ids.has(id) : !rows.has(id))
  }
})

/** Natural logarithm of the probability of a token after a state. */
const logProb = (head: Float64Array, counted: ReadonlyArray<boolean>, state: Float64Array, token: number): number => {
  const logits = counted.map((is, id) => {
    if (!is) return -Infinity
    let sum = 0
    for (const [i, value] of state.entries()) sum += value * head[id * state.length + i]!
    return sum
  })
  const most = Math.max(...logits)
  return logits[token]! - most - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
}

const sid = (index: SidIndex.SidIndex, item: number) => SidIndex.format(index.sids[item]!)
/** An item as an answer: closed by an end where another SID goes on. */
const answer = (index: SidIndex.SidIndex, item: number) => {
  const own = [...index.sids[item]!]
  const goesOn = index.sids.some((other) => other.length > own.length && own.every((code, l) => other[l] === code))
  return `${sid(index, item)}${goesOn ? "<sid_end>" : ""}`
}
const question = (index: SidIndex.SidIndex, items: ReadonlyArray<number>) =>
  "<begin>### User Input: \nThe user has interacted with items " +
  `${items.length === 0 ? "(none)" : items.map((item) => sid(index, item)).join(", ")} in chronological order. ` +
  "Can you predict the next possible item that the user may expect?\n\n### Response:\n"

const examplesOf = (index: SidIndex.SidIndex) => {
  const text: Prompt.TrainingExample = {
    prompt: { _tag: "Text", task: "own", segments: ["<begin>title of ", { item: 6 }, "?\n"] },
    answer: ["red hat or ", { item: 0 }],
    weight: 3
  }
  return {
    given: [
      { ...Prompt.everyPosition({ user: 0, items: Int32Array.of(2, 0, 7) }), weight: 0.5 },
      { prompt: Prompt.ofItems(Int32Array.of(1, 8, 0, 3, 5)), answer: [{ item: 6 }], weight: 2 },
      { prompt: Prompt.ofItems(Int32Array.of()), answer: [{ item: 0 }], weight: 1 },
      text
    ] satisfies ReadonlyArray<Prompt.TrainingExample>,
    expected: [
      [question(index, [2]), answer(index, 0), 0.5],
      [question(index, [2, 0]), answer(index, 7), 0.5],
      [question(index, [8, 0, 3, 5]), answer(index, 6), 2],
      [question(index, []), answer(index, 0), 1],
      [`<begin>title of ${sid(index, 6)}?\n`, `red hat or ${answer(index, 0)}`, 3]
    ] satisfies ReadonlyArray<readonly [string, string, number]>
  }
}

const step = { seed: 1, step: 0 }

const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({}))

/** The central difference of `f` in weight `i` of a parameter. */
const slope = (weights: Oracle.Weights, name: string, i: number, f: () => number): number => {
  const values = weights.get(name)!
  const [kept, h] = [values[i]!, 1e-5]
  values[i] = kept + h
  const above = f()
  values[i] = kept - h
  const below = f()
  values[i] = kept
  return (above - below) / (2 * h)
}

const shapes = [
  ["tied", {}],
  ["untied", { tied: false }],
  ["with a window of 24 positions", { slidingWindow: 24 }]
] as const

for (const [name, index] of catalogues) {
  for (const [how, shape] of shapes) {
    const window = "slidingWindow" in shape ? shape.slidingWindow : Infinity
    const sees = (t: number, s: number) => s <= t && t - s < window
    const decoder = { ...TextFixture.shape, ...shape }

    describe(`the text policy, ${how}: ${name}`, () => {
      for (const loss of ["answer", "all"] as const) {
        it.effect(`has the loss and the gradients of a language model: ${loss}`, () =>
          Effect.gen(function*() {
            const folder = yield* folderOf(shape)
            const tokens = yield* tokensOf(folder, index)
            const { expected, given } = examplesOf(index)
            const formula = (weights: Oracle.Weights, asked: typeof expected) => {
              const model = modelOf(weights)
              let [sum, total] = [0, 0]
              for (const [prompt, after, weight] of asked) {
                const before = tokens.of(prompt)
                const all = [...before, ...tokens.of(`${after}<end>`)]
                const states = Oracle.hidden(decoder, model.weights, all, all.map((_, t) => t), sees)
                for (let t = loss === "all" ? 1 : before.length; t < all.length; t++) {
                  sum -= weight * logProb(model.head, tokens.counted, states[t - 1]!, all[t]!)
                  total += weight
                }
              }
              return sum / total
            }
            yield* Effect.gen(function*() {
              const policy = yield* PolicyModel
              const store = yield* PolicyParameters
              yield* enliven
              const gradient = yield* policy.supervised
              const [batch, ...others] = yield* policy.plan(given, 1, 0)
              assert.strictEqual(others.length, 0)
              const { loss: value } = yield* gradient.accumulate(store, [{ batch: batch! }], step)
              const weights = weightsOf(store)
              assert.closeTo(value, formula(weights, expected), 1e-5 * Math.max(1, value))
              // Differences are of the short example, of which every weight takes part.
              const [short] = yield* policy.plan(given.slice(-1), 1, 0)
              yield* gradient.accumulate(store, [{ batch: short! }], step)
              for (const { name } of store.buffer.slots) {
                const own = store.buffer.view("gradients", name)
                const largest = own.reduce((at, value, i) => Math.abs(value) > Math.abs(own[at]!) ? i : at, 0)
                const wanted = slope(weights, name, largest, () => formula(weights, expected.slice(-1)))
                assert.isAbove(Math.abs(own[largest]!), 1e-3, name)
                assert.closeTo(own[largest]!, wanted, 5e-4 * Math.abs(wanted), `${name}[${largest}]`)
              }
            }).pipe(Effect.provide(layerOf(folder, index, { loss })))
          }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
      }

      it.effect("scores every prefix as the language model does, over its vocabulary and over the children", () =>
        Effect.gen(function*() {
          const folder = yield* folderOf(shape)
          const tokens = yield* tokensOf(folder, index)
          yield* Effect.gen(function*() {
            const policy = yield* PolicyModel
            const { space } = yield* Sids
            const weights = yield* enliven
            const model = modelOf(weightsOf(yield* PolicyParameters))
            const histories = [[], [3, 7, 1], [5, 5]]
            const prompts = histories.map((items) => Prompt.ofItems(Int32Array.from(items)))
            const compact = CompactVocabulary.make(index)
            // No state depends on what follows.
            const known = new Map<string, Float64Array>()
            const stateAfter = (all: ReadonlyArray<number>) => {
              if (!known.has(all.join())) {
                const states = Oracle.hidden(decoder, model.weights, all, all.map((_, t) => t), sees)
                for (const [t, state] of states.entries()) known.set(all.slice(0, t + 1).join(), state)
              }
              return known.get(all.join())!
            }
            for (const normaliser of ["vocabulary", "children"] as const) {
              const rows = yield* walk(
                yield* policy.open(prompts, { weights, space, normaliser }),
                prompts.map(() => space)
              )
              for (const [p, items] of histories.entries()) {
                const before = tokens.of(question(index, items))
                for (const [node, { children, end }] of rows[p]!) {
                  const path = LeafSpace.path(space, node)
                  const all = [
                    ...before,
                    ...path.map((own) => V + CompactVocabulary.token(compact, space.level(own) - 1, space.code(own)))
                  ]
                  const nodes = LeafSpace.childNodes(space, node)
                  if (nodes.length === 0) continue
                  const state = stateAfter(all)
                  const legal = [
                    ...Array.from(
                      nodes,
                      (child) => V + CompactVocabulary.token(compact, space.level(child) - 1, space.code(child))
                    ),
                    ...(space.ends(node) ? [V] : [])
                  ]
                  const counted = normaliser === "vocabulary"
                    ? tokens.counted
                    : tokens.counted.map((_, id) => legal.includes(id))
                  const wanted = legal.map((id) => logProb(model.head, counted, state, id))
                  const found = space.ends(node) ? [...children, end] : [...children]
                  assert.isBelow(distance(found, wanted), 1e-4, `node ${node}`)
                }
              }
            }
          }).pipe(Effect.provide(layerOf(folder, index)))
        }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
    })
  }
}

describe("the text policy", () => {
  it.effect("has the same gradients for examples packed into rows and in rows of their own", () =>
    Effect.gen(function*() {
      const folder = yield* folderOf()
      yield* Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        yield* enliven
        const gradient = yield* policy.supervised
        const { given } = examplesOf(plain)
        const [packed] = yield* policy.plan(given, 1, 0)
        const whole = yield* gradient.accumulate(store, [{ batch: packed! }], step)
        const gradients = store.buffer.flat("gradients").slice()
        const alone = yield* Effect.forEach(given.slice(1), (example) => policy.plan([example], 1, 0))
        const first = yield* policy.plan(given.slice(0, 1), 1, 0)
        const parts = [...first, ...alone.flat()]
        const rows = (batch: typeof packed) => batch!.feeds["tokens"]!.shape[0]!
        assert.isBelow(rows(packed), parts.reduce((sum, batch) => sum + rows(batch), 0))
        const weights = [0.5, 2, 1, 3]
        const total = parts.reduce((sum, { targets }, i) => sum + targets * weights[i]!, 0)
        const sums = new Float64Array(gradients.length)
        let loss = 0
        for (const [i, batch] of parts.entries()) {
          const share = batch.targets * weights[i]! / total
          loss += share * (yield* gradient.accumulate(store, [{ batch }], step)).loss
          store.buffer.flat("gradients").forEach((value, at) => (sums[at]! += share * value))
        }
        assert.closeTo(loss, whole.loss, 1e-5)
        assert.isBelow(distance(sums, gradients), 1e-5 * Math.max(1, ...gradients.map(Math.abs)))
      }).pipe(Effect.provide(layerOf(folder, plain)))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  for (const train of ["sid-rows", "lora"] as const) {
    it.effect(`trains ${train} alone, on weights in 16 bits`, () =>
      Effect.gen(function*() {
        const folder = yield* folderOf({ tied: false }, "BF16")
        yield* Effect.gen(function*() {
          const policy = yield* PolicyModel
          const store = yield* PolicyParameters
          const { buffer } = store
          const trained = buffer.slots.filter(({ trainable }) => trainable).map(({ name }) => name)
          const wanted = (name: string) => name.startsWith("sid.") || (train === "lora" && /lora_[AB]/.test(name))
          assert.sameMembers(trained, buffer.slots.map(({ name }) => name).filter(wanted))
          assert.includeMembers(trained, ["sid.model.embed_tokens.weight", "sid.lm_head.weight"])
          assert.isAbove(buffer.halves, 2 * V * 16)
          const before = (yield* store.save).weights
          const gradient = yield* policy.supervised
          const losses: Array<number> = []
          for (let at = 0; at < 4; at++) {
            const [batch] = yield* policy.plan(examplesOf(plain).given, 1, at)
            losses.push((yield* gradient.accumulate(store, [{ batch: batch! }], { seed: 1, step: at })).loss)
            yield* store.apply(optimizer, 0.02)
          }
          assert.isBelow(losses.at(-1)!, losses[0]!)
          const after = (yield* store.save).weights
          for (const [name, { data }] of before) {
            const same = data.every((value, i) => Object.is(value, after.get(name)!.data[i]))
            assert.strictEqual(same, !wanted(name), name)
          }
        }).pipe(Effect.provide(layerOf(folder, plain, { train, lora: { rank: 2 } })))
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  for (const start of ["means-of-words", "projected", "around-mean"] as const) {
    it.effect(`starts the rows of SID tokens: ${start}`, () =>
      Effect.gen(function*() {
        const folder = yield* folderOf()
        const rows = yield* Effect.gen(function*() {
          const { buffer } = yield* PolicyParameters
          return {
            base: buffer.view("weights", "model.embed_tokens.weight").slice(),
            sid: buffer.view("weights", "sid.model.embed_tokens.weight").slice()
          }
        }).pipe(Effect.provide(layerOf(folder, plain, { start })))
        const compact = CompactVocabulary.make(plain)
        const row = (level: number, code: number) => {
          const at = CompactVocabulary.token(compact, level, code) * 16
          return rows.sid.subarray(at, at + 16)
        }
        const length = (values: Float32Array) => Math.hypot(...values)
        // The only items with <a_0> are the first three, of which the titles are known.
        if (start === "means-of-words") {
          const tokenizer = yield* ByteLevelBpe.make(yield* TokenizerFile.read(folder))
          const mean = new Float64Array(16)
          for (const title of ["red shoe", "red hat", "blue shoe"]) {
            const ids = tokenizer.encode(title)
            for (const id of ids) for (let i = 0; i < 16; i++) mean[i]! += rows.base[id * 16 + i]! / ids.length / 3
          }
          const scale = length(row(0, 0)) / Math.hypot(...mean)
          assert.isBelow(distance(row(0, 0), mean.map((value) => value * scale)), 1e-6)
        }
        let mean = 0
        for (let id = 0; id < 260; id++) mean += length(rows.base.subarray(id * 16, id * 16 + 16)) / 260
        if (start !== "around-mean") assert.closeTo(length(row(1, 2)), mean, 1e-5)
        assert.isAbove(distance(row(0, 0), row(0, 1)), 1e-4)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  it.effect("says what is wrong with a folder", () =>
    Effect.gen(function*() {
      const folder = yield* folderOf()
      const open = (path: string) => Effect.flip(TextFolder.open(TextFixture.settings(path), plain))
      const absent = yield* open(join(folder, "absent"))
      assert.strictEqual(absent.reason._tag, "UnusableFolder")
      assert.include(absent.message, "absent")
      const json = JSON.parse(yield* (yield* FileSystem.FileSystem).readFileString(join(folder, "tokenizer.json")))
      json.added_tokens.push({ id: 400, content: "<far>" })
      writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json))
      assert.include((yield* open(folder)).message, "its tokenizer has 401 ids, its embedding 263 rows")
      rmSync(join(folder, "tokenizer.json"))
      assert.include((yield* open(folder)).message, "neither tokenizer.json")
      const small = yield* folderOf({ maxPositions: 20 })
      assert.include((yield* open(small)).message, "leave fewer than 16")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("reads the end of a prompt that is too long", () =>
    Effect.gen(function*() {
      const folder = yield* folderOf()
      yield* Effect.gen(function*() {
        const policy = yield* PolicyModel
        const weights = yield* enliven
        const text = (words: string): Prompt.Prompt => ({ _tag: "Text", task: "own", segments: [words] })
        const words = "abcdefghijklmnopqrstuvwxyz".repeat(4)
        const leaves = plain.leafOf.slice(0, 3)
        const [long, cut, other] = yield* policy.score(
          [words, words.slice(-32), words.slice(-31)].map((one) => ({ prompt: text(one), leaves })),
          weights
        )
        assert.isBelow(distance(long!.logProbs, cut!.logProbs), 1e-6)
        assert.isAbove(distance(long!.logProbs, other!.logProbs), 1e-4)
        assert.strictEqual(policy.positions!(text(words)), 32)
      }).pipe(Effect.provide(layerOf(folder, plain, { maximumTokens: 32 })))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
