import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import * as FlatLayout from "../../src/policy/flat/FlatLayout.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import { distance } from "../Golden.ts"
import { config, enliven, index, layer } from "./Fixture.ts"
import * as Oracle from "./Float64Oracle.ts"

const decoder = FlatPolicy.decoderConfig(config, index)
const vocabulary = CompactVocabulary.make(index)

const weightsOf = (policy: PolicyModel["Service"]): Oracle.Weights =>
  new Map(policy.parameters.buffer.slots.map((slot) => [
    slot.name,
    Float64Array.from(policy.parameters.buffer.view("weights", slot.name))
  ]))

/** Log-probabilities of the codes of `item` after a history, by the oracle. */
const oracleSteps = (weights: Oracle.Weights, history: Int32Array, item: number): ReadonlyArray<number> => {
  const tokens = [...FlatLayout.prompt(index, vocabulary, history, 1 + config.historyItems * index.levels)]
  const steps: Array<number> = []
  let node = 0
  for (const [level, code] of index.sids[item]!.entries()) {
    const states = Oracle.hidden(decoder, weights, tokens, tokens.map((_, t) => t), (t, s) => s <= t)
    const legal = [...Trie.children(index.trie, node)].map((c) => CompactVocabulary.token(vocabulary, level, c))
    const token = CompactVocabulary.token(vocabulary, level, code)
    steps.push(Oracle.logProb(decoder, weights, states[states.length - 1]!, token, legal))
    tokens.push(token)
    node = Trie.child(index.trie, node, code)
  }
  return steps
}

const sequences = [Int32Array.of(0, 4, 7), Int32Array.of(8), Int32Array.of(2, 3, 5, 6, 1, 0), Int32Array.of(5, 5)]
const histories = [Int32Array.of(), Int32Array.of(4), Int32Array.of(0, 8, 5, 2, 7, 1)]
const groups = histories.map((history, h) => ({
  history,
  leaves: Int32Array.from([[0, 1, 4, 5], [8, 2, 6], [3, 7, 5, 0]][h]!, (item) => index.leafOf[item]!)
}))

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
const checkGradients = (policy: PolicyModel["Service"], f: (weights: Oracle.Weights) => number) => {
  const weights = weightsOf(policy)
  for (const slot of policy.parameters.buffer.slots) {
    const gradient = policy.parameters.buffer.view("gradients", slot.name)
    const scale = Math.max(1e-3, ...gradient.map(Math.abs))
    for (const i of [0, 5, Math.floor(slot.size / 2), slot.size - 1]) {
      const expected = slope(weights, slot.name, i, () => f(weights))
      assert.closeTo(gradient[i]!, expected, 2e-4 * scale, `${slot.name}[${i}]`)
    }
  }
}

describe("FlatPolicy.supervise", () => {
  it.effect("has the loss and the gradients of the formulas (float64, finite differences)", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const batches = policy.plan(sequences, 1, 0)
      assert.strictEqual(batches.length, 1)
      const kept = sequences.map((items) => items.subarray(-config.historyItems))
      const loss = (weights: Oracle.Weights) => {
        let sum = 0
        let count = 0
        for (const items of kept) {
          for (let i = 0; i < items.length; i++) {
            for (const step of oracleSteps(weights, items.subarray(0, i), items[i]!)) {
              sum -= step
              count++
            }
          }
        }
        return sum / count
      }
      const value = yield* policy.supervise(batches[0]!, 1, 0)
      assert.strictEqual(
        batches[0]!.targets,
        kept.flatMap((items) => [...items]).reduce((n, item) => n + index.sids[item]!.length, 0)
      )
      assert.closeTo(value, loss(weightsOf(policy)), 1e-5)
      checkGradients(policy, loss)
    }).pipe(Effect.provide(layer())))

  it.effect("is equal bit for bit for one seed, and not for another", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const [batch] = policy.plan(sequences, 1, 0)
      const run = (seed: number, step: number) =>
        policy.supervise(batch!, seed, step).pipe(
          Effect.map((loss) => ({ loss, gradients: policy.parameters.buffer.flat("gradients").slice() }))
        )
      const first = yield* run(3, 7)
      assert.deepStrictEqual(yield* run(3, 7), first)
      assert.notStrictEqual((yield* run(4, 7)).loss, first.loss)
      assert.notStrictEqual((yield* run(3, 8)).loss, first.loss)
    }).pipe(Effect.provide(layer("onnx", Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...config, dropout: 0.3 })))))

  it("plans every code of every sequence once, in an order drawn from seed and epoch", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const many = Array.from({ length: 200 }, (_, u) => Int32Array.from({ length: 1 + u % 6 }, (_, i) => (u + i) % 9))
      const codes = (epoch: number) => policy.plan(many, 5, epoch)
      const total = many.reduce(
        (sum, items) => items.subarray(-config.historyItems).reduce((n, item) => n + index.sids[item]!.length, sum),
        0
      )
      assert.strictEqual(codes(0).reduce((sum, batch) => sum + batch.targets, 0), total)
      assert.deepStrictEqual(codes(1), codes(1))
      assert.notDeepEqual(codes(1), codes(0))
      const used = codes(0).reduce((sum, batch) => sum + batch.positions, 0)
      assert.isBelow(used, total * 1.25)
    }).pipe(Effect.provide(layer()), Effect.runPromise))
})

describe("FlatPolicy.open", () => {
  for (const runtime of ["onnx", "reference"] as const) {
    it.effect(`scores every prefix as the formulas do, prompt computed once (${runtime})`, () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        yield* enliven(policy)
        const weights = weightsOf(policy)
        const session = yield* policy.open(histories, policy.parameters.buffer.tensors("weights"))
        const { trie } = index
        const target = new Float32Array(8)
        const expected = histories.map((history) => index.sids.map((_, item) => oracleSteps(weights, history, item)))
        const check = (prompt: number, node: number, level: number, count: number) => {
          assert.strictEqual(count, Trie.children(trie, node).length)
          for (let c = 0; c < count; c++) {
            const child = Trie.firstChild(trie, node) + c
            const item = index.sids.findIndex((codes) => Trie.find(trie, codes.subarray(0, level + 1)) === child)
            assert.closeTo(target[c]!, expected[prompt]![item]![level]!, 2e-5)
          }
        }
        for (let prompt = 0; prompt < histories.length; prompt++) {
          check(prompt, 0, 0, session.root.write(prompt, 0, target))
        }
        let frontier = histories.map(() =>
          Array.from({ length: trie.nodes }, (_, n) => n).filter((n) => Trie.level(trie, n) === 1)
        )
        let parents = frontier.map((nodes) => nodes.map(() => 0))
        for (let level = 1; level < index.levels; level++) {
          const width = Math.max(...frontier.map((nodes) => nodes.length))
          const flat = (rows: ReadonlyArray<ReadonlyArray<number>>, blank: number) =>
            Int32Array.from(rows.flatMap((row) => Array.from({ length: width }, (_, i) => row[i] ?? blank)))
          const scores = yield* session.extend({ width, nodes: flat(frontier, -1), parents: flat(parents, 0) })
          for (const [prompt, nodes] of frontier.entries()) {
            for (const [column, node] of nodes.entries()) {
              const count = scores.write(prompt * width + column, node, target)
              if (count > 0) check(prompt, node, level, count)
            }
          }
          const next = frontier.map((nodes) =>
            nodes.flatMap((node, column) =>
              Array.from(Trie.children(trie, node), (code) => ({ node: Trie.child(trie, node, code), column }))
            )
          )
          frontier = next.map((list) => list.map(({ node }) => node))
          parents = next.map((list) => list.map(({ column }) => column))
        }
      }).pipe(Effect.provide(layer(runtime))))
  }
})

describe("FlatPolicy.score and improve", () => {
  it.effect("give the log-probabilities of the formulas from one tree per prompt", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const weights = weightsOf(policy)
      const scores = yield* policy.score(groups, policy.parameters.buffer.tensors("weights"))
      for (const [g, group] of groups.entries()) {
        for (const [c, leaf] of group.leaves.entries()) {
          const item = index.leafOf.indexOf(leaf)
          assert.isBelow(distance(scores[g]![c]!, oracleSteps(weights, group.history, item)), 2e-5)
        }
      }
    }).pipe(Effect.provide(layer())))

  it.effect("have the gradient of the replicated form: every candidate on its own (finite differences)", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const start = weightsOf(policy)
      const beta = 0.3
      const scored = groups.map((group, g) => {
        const behaviour = Array.from(
          group.leaves,
          (leaf) => Float32Array.from(oracleSteps(start, group.history, index.leafOf.indexOf(leaf)))
        )
        return {
          ...group,
          advantages: Float32Array.from(group.leaves, (_, c) => Math.sin(3 * g + c) * 2),
          behaviour,
          // Candidates that share a prefix share its reference, as one model would give it.
          reference: Array.from(group.leaves, (leaf, c) => {
            const codes = Trie.codes(index.trie, leaf)
            return behaviour[c]!.map((step, l) =>
              step - 0.2 * Math.cos(Trie.find(index.trie, codes.subarray(0, l + 1)) + g)
            )
          })
        }
      })
      const loss = (weights: Oracle.Weights) => {
        let sum = 0
        let candidates = 0
        for (const group of scored) {
          for (const [c, leaf] of group.leaves.entries()) {
            candidates++
            const steps = oracleSteps(weights, group.history, index.leafOf.indexOf(leaf))
            let own = 0
            for (const [l, step] of steps.entries()) {
              const gap = group.reference[c]![l]! - step
              own += -group.advantages[c]! * Math.exp(step - group.behaviour[c]![l]!) + beta * (Math.exp(gap) - gap - 1)
            }
            sum += own / steps.length
          }
        }
        return sum / candidates
      }
      const report = yield* policy.improve(scored, beta)
      assert.closeTo(report.loss, loss(start), 2e-5)
      assert.isAbove(report.kl, 0)
      checkGradients(policy, loss)
    }).pipe(Effect.provide(layer())))
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
      yield* enliven(policy)
      const history = Int32Array.from({ length: 400 }, (_, i) => (i * 7) % (side * side))
      const { feeds: weights } = yield* policy.parameters.weights
      const [found] = yield* BeamSearch.searchAll([history], weights, { beams: 1200, batch: 32 })
      assert.strictEqual(found!.leaves.length, side * side)
      assert.closeTo(found!.logProbs.reduce((sum, value) => sum + Math.exp(value), 0), 1, 1e-4)
      const [scored] = yield* policy.score([{ history, leaves: found!.leaves }], weights)
      const sums = scored!.map((steps) => steps.reduce((sum, value) => sum + value, 0))
      assert.isBelow(distance(sums, found!.logProbs), 1e-4)
    }).pipe(
      Effect.provide(
        FlatPolicy.layer(settings, wide, 5).pipe(Layer.orDie, Layer.provide(OnnxRuntime.layerCpu({ threads: 2 })))
      )
    )
  })

  it.effect("scores and improves in parts as at once", () => {
    const improved = Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const { feeds: weights } = yield* policy.parameters.weights
      const behaviour = yield* policy.score(groups, weights)
      const { kl, loss } = yield* policy.improve(
        groups.map((group, g) => ({
          ...group,
          advantages: Float32Array.from(group.leaves, (leaf) => Math.sin(leaf + g)),
          behaviour: behaviour[g]!,
          reference: behaviour[g]!.map((steps) => steps.map((value) => value - 0.1))
        })),
        0.3
      )
      return [
        loss,
        kl,
        ...behaviour.flat().flatMap((steps) => [...steps]),
        ...policy.parameters.buffer.flat("gradients")
      ]
    })
    const within = (attention?: number) =>
      improved.pipe(
        Effect.provide(
          FlatPolicy.layer(config, index, 11, attention).pipe(
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
