import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import { type ParameterStore } from "../../src/optimizer/ParameterStore.ts"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { PolicyModel, type ScoredGroup, type TreeLogProbs } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance } from "../Golden.ts"
import { config, enliven, index as plain, layer } from "./Fixture.ts"
import * as Oracle from "./Float64Oracle.ts"

/** Nine items whose SIDs begin each other: one of one code, one of two, some that share one. */
const prefixed = SidIndex.make(
  [[0], [0, 0, 1], [0, 1], [1, 0, 0], [0, 1], [1, 2, 1, 1], [1, 2], [2, 1, 2], [3]].map((codes) =>
    Int32Array.from(codes)
  ),
  [4, 4, 4, 2],
  "keep"
)

const weightsOf = (store: ParameterStore): Oracle.Weights =>
  new Map(store.buffer.slots.map((slot) => [slot.name, Float64Array.from(store.buffer.view("weights", slot.name))]))

/** Everything that follows from an index, written anew: SIDs closed by an end where another one goes on. */
const formulas = (index: SidIndex.SidIndex) => {
  const decoder = FlatPolicy.decoderConfig(config, index)
  const vocabulary = CompactVocabulary.make(index)
  const starts = (sid: ArrayLike<number>, prefix: ReadonlyArray<number>) =>
    sid.length >= prefix.length && prefix.every((code, level) => sid[level] === code)
  /** The tokens that may follow a prefix, by looking at all SIDs. */
  const legal = (prefix: ReadonlyArray<number>) => {
    const below = index.sids.filter((sid) => starts(sid, prefix))
    const next = new Set(below.flatMap((sid) => sid.length > prefix.length ? [sid[prefix.length]!] : []))
    const tokens = Array.from(next, (code) => CompactVocabulary.token(vocabulary, prefix.length, code))
    return next.size > 0 && below.some((sid) => sid.length === prefix.length) ? [...tokens, 0] : tokens
  }
  const tokensOf = (item: number): ReadonlyArray<number> => {
    const sid = [...index.sids[item]!]
    const codes = sid.map((code, level) => CompactVocabulary.token(vocabulary, level, code))
    return legal(sid).length > 0 ? [...codes, 0] : codes
  }
  /** Log-probabilities of the tokens of `item` after a history. */
  const steps = (weights: Oracle.Weights, history: Int32Array, item: number): ReadonlyArray<number> => {
    let read = history.length
    // The last whole items that fit.
    for (let room = config.historyItems * index.levels; read > 0; read--) {
      room -= tokensOf(history[read - 1]!).length
      if (room < 0) break
    }
    const before = [0, ...[...history].slice(read).flatMap(tokensOf)]
    const own = tokensOf(item)
    // No state depends on what follows.
    const tokens = [...before, ...own.slice(0, -1)]
    const states = Oracle.hidden(decoder, weights, tokens, tokens.map((_, t) => t), (t, s) => s <= t)
    const sid = [...index.sids[item]!]
    return own.map((token, step) =>
      Oracle.logProb(decoder, weights, states[before.length - 1 + step]!, token, legal(sid.slice(0, step)))
    )
  }
  return { steps, tokensOf, vocabulary }
}

const sequences = [Int32Array.of(0, 4, 7), Int32Array.of(8), Int32Array.of(2, 3, 5, 6, 1, 0), Int32Array.of(5, 5)]
const examples = sequences.map((items, user) => Prompt.everyPosition({ user, items }))
const histories = [Int32Array.of(), Int32Array.of(4), Int32Array.of(0, 8, 5, 2, 7, 1)]
const prompts = histories.map((items) => Prompt.ofItems(items))
const chosen = [[0, 1, 4, 5], [8, 2, 6], [3, 7, 5, 0]]

/** The central difference of `f` in weight `i` of a parameter. */
const slope = (weights: Oracle.Weights, name: string, i: number, f: () => number): number => {
  const values = weights.get(name)!
  const [kept, step] = [values[i]!, 1e-5]
  values[i] = kept + step
  const above = f()
  values[i] = kept - step
  const below = f()
  values[i] = kept
  return (above - below) / (2 * step)
}

/** Compares some weights of every parameter with finite differences of `f`. */
const checkGradients = (store: ParameterStore, f: (weights: Oracle.Weights) => number) => {
  const weights = weightsOf(store)
  for (const slot of store.buffer.slots) {
    const gradient = store.buffer.view("gradients", slot.name)
    const scale = Math.max(1e-3, ...gradient.map(Math.abs))
    for (const i of [0, 5, Math.floor(slot.size / 2), slot.size - 1]) {
      const expected = slope(weights, slot.name, i, () => f(weights))
      assert.closeTo(gradient[i]!, expected, 2e-4 * scale, `${slot.name}[${i}]`)
    }
  }
}

/** Log-probability of each step to a leaf, read off a scored tree. */
const stepsIn = (space: LeafSpace.LeafSpace, { logProbs, nodes, starts }: TreeLogProbs, leaf: number) => {
  const row = (node: number) => {
    const r = nodes.indexOf(node)
    return logProbs.subarray(starts[r], starts[r + 1])
  }
  const path = LeafSpace.path(space, leaf)
  const steps = path.map((node) => {
    const parent = space.parent(node)
    return row(parent)[LeafSpace.childNodes(space, parent).indexOf(node)]!
  })
  return space.childCount(leaf) > 0 ? [...steps, row(leaf).at(-1)!] : steps
}

for (const [name, index] of [["", plain], [" where SIDs begin others", prefixed]] as const) {
  const { steps: oracleSteps, tokensOf } = formulas(index)
  const onnx = layer("onnx", config, index)
  const groups = histories.map((_, h) => ({
    prompt: prompts[h]!,
    leaves: Int32Array.from(new Set(chosen[h]!.map((item) => index.leafOf[item]!)))
  }))
  const itemAt = (leaf: number) => index.leafOf.indexOf(leaf)

  describe(`FlatPolicy.supervised${name}`, () => {
    it.effect("has the loss and the gradients of the formulas (float64, finite differences)", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        yield* enliven
        const gradient = yield* policy.supervised
        const [batch, ...others] = yield* policy.plan(examples, 1, 0)
        assert.strictEqual(others.length, 0)
        const kept = sequences.map((items) => items.subarray(-config.historyItems))
        const loss = (weights: Oracle.Weights) => {
          const all = kept.flatMap((items) =>
            [...items].flatMap((item, i) => oracleSteps(weights, items.subarray(0, i), item))
          )
          return -all.reduce((a, b) => a + b, 0) / all.length
        }
        const { loss: value } = yield* gradient.accumulate(store, [{ batch: batch! }], { seed: 1, step: 0 })
        assert.strictEqual(batch!.targets, kept.flatMap((items) => [...items].flatMap(tokensOf)).length)
        assert.closeTo(value, loss(weightsOf(store)), 1e-5)
        checkGradients(store, loss)
        const whole = store.buffer.flat("gradients").slice()
        const parts = [{ batch: batch!, share: 0.25 }, { batch: batch!, share: 0.75 }]
        assert.closeTo((yield* gradient.accumulate(store, parts, { seed: 1, step: 0 })).loss, value, 1e-6)
        assert.isBelow(distance(store.buffer.flat("gradients"), whole), 1e-6)
      }).pipe(Effect.scoped, Effect.provide(onnx)))

    it.effect("teaches an answer alone, by its weight", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        yield* enliven
        const gradient = yield* policy.supervised
        const taught = [[0, [4, 7], 1], [2, [6], 3]] as const
        const batches = yield* policy.plan(
          taught.map(([h, items, weight]) => ({
            prompt: prompts[h]!,
            answer: items.map((item) => ({ item })),
            weight
          })),
          1,
          0
        )
        const weights = weightsOf(store)
        let [sum, total] = [0, 0]
        for (const [h, items, weight] of taught) {
          const history = histories[h]!
          for (const [i, item] of items.entries()) {
            for (
              const step of oracleSteps(
                weights,
                Int32Array.from([...history, ...items.slice(0, i)]).slice(-config.historyItems + 1),
                item
              )
            ) {
              sum -= weight * step
              total += weight
            }
          }
        }
        const { loss } = yield* gradient.accumulate(store, [{ batch: batches[0]! }], { seed: 1, step: 0 })
        assert.closeTo(loss, sum / total, 1e-5)
        const words = yield* Effect.flip(policy.plan([{ prompt: prompts[0]!, answer: ["words"], weight: 1 }], 1, 0))
        assert.include(words.message, "words")
      }).pipe(Effect.scoped, Effect.provide(onnx)))
  })

  describe(`FlatPolicy.open${name}`, () => {
    for (const runtime of ["onnx", "reference"] as const) {
      it.effect(`scores every prefix as the formulas do, prompt computed once (${runtime})`, () =>
        Effect.gen(function*() {
          const policy = yield* PolicyModel
          const store = yield* PolicyParameters
          const { space } = yield* Sids
          const weights = yield* enliven
          const session = yield* policy.open(prompts, { weights, space, normaliser: "children" })
          const into = new Float32Array(space.width)
          const found = histories.map(() => new Float64Array(space.nodes))
          const ends = histories.map(() => new Float64Array(space.nodes))
          for (let level = 0; level <= index.levels; level++) {
            const nodes = Int32Array.from({ length: space.nodes }, (_, n) => n).filter((n) => space.level(n) === level)
            // Prompts are asked for different nodes, in different orders.
            const scores = yield* session.score(
              histories.map((_, h) => h === 0 ? nodes : h === 1 ? nodes.toReversed() : nodes.slice())
            )
            for (const [prompt] of histories.entries()) {
              for (const node of nodes) {
                const children = LeafSpace.childNodes(space, node)
                assert.strictEqual(scores.children(prompt, node, into), children.length)
                for (const [c, child] of children.entries()) {
                  found[prompt]![child] = found[prompt]![node]! + into[c]!
                }
                const end = scores.end(prompt, node)
                if (!space.ends(node)) assert.strictEqual(end, -Infinity)
                else if (children.length === 0) assert.strictEqual(end, 0)
                ends[prompt]![node] = found[prompt]![node]! + end
              }
            }
          }
          const oracle = weightsOf(store)
          for (const [prompt, history] of histories.entries()) {
            let sum = 0
            for (const leaf of new Set(index.leafOf)) {
              const expected = oracleSteps(oracle, history, itemAt(leaf)).reduce((a, b) => a + b, 0)
              assert.closeTo(ends[prompt]![leaf]!, expected, 5e-5)
              sum += Math.exp(ends[prompt]![leaf]!)
            }
            assert.closeTo(sum, 1, 1e-5)
          }
        }).pipe(Effect.scoped, Effect.provide(layer(runtime, config, index))))
    }
  })

  describe(`FlatPolicy.score and groupGradient${name}`, () => {
    it.effect("give the log-probabilities of the formulas from one tree per prompt", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        const { space } = yield* Sids
        const scores = yield* policy.score(groups, yield* enliven)
        const weights = weightsOf(store)
        for (const [g, { leaves }] of groups.entries()) {
          const { logProbs, nodes, starts } = scores[g]!
          for (const [r] of nodes.entries()) {
            const row = logProbs.subarray(starts[r], starts[r + 1])
            assert.closeTo(row.reduce((sum, logProb) => sum + Math.exp(logProb), 0), 1, 1e-5)
          }
          for (const leaf of leaves) {
            const steps = stepsIn(space, scores[g]!, leaf)
            assert.isBelow(distance(steps, oracleSteps(weights, histories[g]!, itemAt(leaf))), 2e-5)
          }
        }
      }).pipe(Effect.provide(onnx)))

    it.effect("have the gradient of the replicated form: every candidate on its own (finite differences)", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        const { space } = yield* Sids
        const scores = yield* policy.score(groups, yield* enliven)
        const start = weightsOf(store)
        const scored = groups.map((group, g): ScoredGroup => {
          const { logProbs } = scores[g]!
          return {
            ...group,
            advantages: Float32Array.from(group.leaves, (_, c) => Math.sin(3 * g + c) * 2),
            behaviour: Array.from(
              group.leaves,
              (leaf) => Float32Array.from(oracleSteps(start, histories[g]!, itemAt(leaf)))
            ),
            reference: { ...scores[g]!, logProbs: logProbs.map((logProb, e) => logProb - 0.2 * Math.cos(e + g)) }
          }
        })
        const beta = 0.3
        const loss = (weights: Oracle.Weights) => {
          let sum = 0
          let candidates = 0
          for (const [g, group] of scored.entries()) {
            for (const [c, leaf] of group.leaves.entries()) {
              candidates++
              const steps = oracleSteps(weights, histories[g]!, itemAt(leaf))
              const reference = stepsIn(space, group.reference!, leaf)
              let own = 0
              for (const [l, step] of steps.entries()) {
                const gap = reference[l]! - step
                own += -group.advantages[c]! * Math.exp(step - group.behaviour![c]![l]!) +
                  beta * (Math.exp(gap) - gap - 1)
              }
              sum += own / steps.length
            }
          }
          return sum / candidates
        }
        const gradient = yield* policy.groupGradient(GroupRelative.make({ beta }))
        const terms = yield* gradient.accumulate(store, [{ batch: scored }], { seed: 0, step: 0 })
        assert.closeTo(terms.loss, loss(start), 2e-5)
        assert.isAbove(terms["kl"]!, 0)
        checkGradients(store, loss)
      }).pipe(Effect.scoped, Effect.provide(onnx)))
  })
}

describe("FlatPolicy", () => {
  it.effect("trains equally bit for bit for one seed, and not for another", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const store = yield* PolicyParameters
      const gradient = yield* policy.supervised
      const [batch] = yield* policy.plan(examples, 1, 0)
      const run = (seed: number, step: number) =>
        gradient.accumulate(store, [{ batch: batch! }], { seed, step }).pipe(
          Effect.map(({ loss }) => ({ loss, gradients: store.buffer.flat("gradients").slice() }))
        )
      const first = yield* run(3, 7)
      assert.deepStrictEqual(yield* run(3, 7), first)
      assert.notStrictEqual((yield* run(4, 7)).loss, first.loss)
      assert.notStrictEqual((yield* run(3, 8)).loss, first.loss)
    }).pipe(
      Effect.scoped,
      Effect.provide(layer("onnx", Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...config, dropout: 0.3 })))
    ))

  it.effect("plans every code of every sequence once, in an order drawn from seed and epoch", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const many = Array.from({ length: 200 }, (_, u) => Int32Array.from({ length: 1 + u % 6 }, (_, i) => (u + i) % 9))
      const codes = (epoch: number) =>
        policy.plan(many.map((items, user) => Prompt.everyPosition({ user, items })), 5, epoch)
      const total = many.reduce(
        (sum, items) => items.subarray(-config.historyItems).reduce((n, item) => n + plain.sids[item]!.length, sum),
        0
      )
      const first = yield* codes(0)
      assert.strictEqual(first.reduce((sum, batch) => sum + batch.targets, 0), total)
      assert.deepStrictEqual(yield* codes(1), yield* codes(1))
      assert.notDeepEqual(yield* codes(1), first)
      assert.isBelow(first.reduce((sum, { feeds }) => sum + feeds["tokens"]!.data.length, 0), total * 1.25)
    }).pipe(Effect.provide(layer())))

  it.effect("begins equally every time its parameters are asked for", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const begun = () =>
        Object.values(policy.parameters).map(({ initialize, shape }) => {
          const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
          initialize(values)
          return values
        })
      assert.deepStrictEqual(begun(), begun())
    }).pipe(Effect.provide(layer())))

  it.effect("normalises over the whole vocabulary where that is asked for", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const decoder = FlatPolicy.decoderConfig(config, plain)
      const tokens = [0, ...[...histories[1]!].flatMap(formulas(plain).tokensOf)]
      const state = Oracle.hidden(
        decoder,
        weightsOf(yield* PolicyParameters),
        tokens,
        tokens.map((_, t) => t),
        (t, s) => s <= t
      ).at(-1)!
      const [children, vocabulary] = yield* Effect.forEach(["children", "vocabulary"] as const, (normaliser) =>
        Effect.gen(function*() {
          const scores = yield* (yield* policy.open(prompts, { weights, space, normaliser })).score(
            prompts.map(() =>
              Int32Array.of(0)
            )
          )
          const into = new Float32Array(space.width)
          return into.slice(0, scores.children(1, 0, into))
        }))
      const sum = (values: Float32Array) => values.reduce((total, logProb) => total + Math.exp(logProb), 0)
      assert.closeTo(sum(children!), 1, 1e-6)
      assert.isBelow(sum(vocabulary!), 0.999)
      const all = Array.from({ length: decoder.vocabulary }, (_, token) => token)
      for (const [i, child] of LeafSpace.childNodes(space, 0).entries()) {
        const token = CompactVocabulary.token(CompactVocabulary.make(plain), 0, space.code(child))
        const expected = Oracle.logProb(decoder, weightsOf(yield* PolicyParameters), state, token, all)
        assert.closeTo(vocabulary![i]!, expected, 5e-5)
      }
      // The same logits: a constant apart.
      for (const [i, logProb] of children!.entries()) {
        assert.closeTo(logProb - vocabulary![i]!, children![0]! - vocabulary![0]!, 1e-5)
      }
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("says what it cannot read, and which parent was not scored", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const options = { weights: yield* enliven, space, normaliser: "children" as const }
      const text = yield* Effect.flip(
        policy.open([{ _tag: "Text", task: "complete the basket", segments: [] }], options)
      )
      assert.include(text.message, "complete the basket")
      const session = yield* policy.open(prompts, options)
      const deep = Int32Array.of(space.parent(plain.leafOf[4]!))
      const early = yield* Effect.flip(session.score(prompts.map(() => deep)))
      assert.strictEqual(early.reason._tag, "UnscoredParent")
    }).pipe(Effect.scoped, Effect.provide(layer())))

  for (const levels of [10, 16, 32]) {
    const next = Random.uniform(levels)
    const index = SidIndex.make(
      Array.from(
        { length: 12 },
        (_, i) =>
          Int32Array.from(
            { length: levels - (i % 4 === 3 ? 3 : 0) },
            (_, l) => l < levels / 2 ? i % 2 : Math.floor(next() * 3)
          )
      ),
      Array.from({ length: levels }, () => 3),
      "keep"
    )
    it.effect(`writes SIDs of ${levels} codes, as one forward pass over their tree says`, () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const { space } = yield* Sids
        const weights = yield* enliven
        const leaves = Int32Array.from(new Set(index.leafOf))
        const trees = yield* policy.score(prompts.map((prompt) => ({ prompt, leaves })), weights)
        const session = yield* policy.open(prompts, { weights, space, normaliser: "children" })
        const into = new Float32Array(space.width)
        for (let level = 0; level <= levels; level++) {
          const nodes = Int32Array.from({ length: space.nodes }, (_, n) => n).filter((n) => space.level(n) === level)
          const scores = yield* session.score(prompts.map(() => nodes))
          for (const [prompt, { logProbs, nodes: rows, starts }] of trees.entries()) {
            for (const node of nodes) {
              const r = rows.indexOf(node)
              const count = scores.children(prompt, node, into)
              if (r < 0) assert.strictEqual(count, 0)
              else {assert.isBelow(
                  distance(into.subarray(0, count), logProbs.subarray(starts[r], starts[r]! + count)),
                  5e-5
                )}
            }
          }
        }
        for (
          const { logProb } of trees.map((tree) => ({
            logProb: Array.from(leaves).reduce(
              (sum, leaf) => sum + Math.exp(stepsIn(space, tree, leaf).reduce((a, b) => a + b, 0)),
              0
            )
          }))
        ) assert.closeTo(logProb, 1, 1e-5)
      }).pipe(Effect.scoped, Effect.provide(layer("onnx", config, index))), 240_000)
  }
})

describe("FlatPolicy beyond 1,024 columns", () => {
  it.effect("searches with more beams, after longer histories, and scores trees as wide as the search", () => {
    const side = 33
    const wide = SidIndex.make(
      Array.from({ length: side * side }, (_, i) => Int32Array.of(Math.floor(i / side), i % side, i % 5)),
      [side, side, 5],
      "keep"
    )
    const settings = Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...config, layers: 1, historyItems: 360 })
    return Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const prompt = Prompt.ofItems(Int32Array.from({ length: 400 }, (_, i) => (i * 7) % (side * side)))
      const [found] = yield* BeamSearch.searchAll([{ prompt, space }], weights, { beams: 1200, batch: 32 })
      assert.strictEqual(found!.leaves.length, side * side)
      assert.closeTo(found!.logProbs.reduce((sum, value) => sum + Math.exp(value), 0), 1, 1e-4)
      const [tree] = yield* policy.score([{ prompt, leaves: found!.leaves }], weights)
      const sums = Array.from(found!.leaves, (leaf) => stepsIn(space, tree!, leaf).reduce((a, b) => a + b, 0))
      assert.isBelow(distance(sums, found!.logProbs), 1e-4)
    }).pipe(Effect.provide(layer("onnx", settings, wide)))
  }, 240_000)

  it.effect("scores and takes gradients in parts as at once", () => {
    const groups = histories.map((history) => ({
      prompt: Prompt.ofItems(history),
      leaves: Int32Array.from(new Set(plain.leafOf))
    }))
    const improved = Effect.gen(function*() {
      const policy = yield* PolicyModel
      const store = yield* PolicyParameters
      const { space } = yield* Sids
      const scores = yield* policy.score(groups, yield* enliven)
      const scored = groups.map((group, g): ScoredGroup => ({
        ...group,
        advantages: Float32Array.from(group.leaves, (leaf) => Math.sin(leaf + g)),
        behaviour: Array.from(group.leaves, (leaf) => Float32Array.from(stepsIn(space, scores[g]!, leaf))),
        reference: { ...scores[g]!, logProbs: scores[g]!.logProbs.map((value) => value - 0.1) }
      }))
      const gradient = yield* policy.groupGradient(GroupRelative.make({ beta: 0.3 }))
      const terms = yield* gradient.accumulate(store, [{ batch: scored }], { seed: 0, step: 0 })
      return [
        terms.loss,
        terms["kl"]!,
        ...scores.flatMap(({ logProbs }) => [...logProbs]),
        ...store.buffer.flat("gradients")
      ]
    })
    const within = (attention?: number) =>
      improved.pipe(
        Effect.scoped,
        Effect.provide(
          PolicyParameters.layer.pipe(
            Layer.provideMerge(FlatPolicy.layer(config, 11, attention)),
            Layer.provideMerge(Sids.layer(plain)),
            Layer.orDie,
            Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
          )
        )
      )
    return Effect.gen(function*() {
      const whole = yield* within()
      for (const attention of [1, 700]) assert.isBelow(distance(yield* within(attention), whole), 1e-5)
    })
  })
})
