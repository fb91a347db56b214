/**
 * Losses and gradients of every objective against float64, finite differences, and formulas that are written out.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as ApproxNdcg from "../../src/objective/loss/ApproxNdcg.ts"
import * as Cispo from "../../src/objective/loss/Cispo.ts"
import * as Distillation from "../../src/objective/loss/Distillation.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as LambdaLoss from "../../src/objective/loss/LambdaLoss.ts"
import * as Objective from "../../src/objective/Objective.ts"
import { type HostTensor } from "../../src/tensor/TensorProgram.ts"
import { distance } from "../Golden.ts"
import * as Dense from "./Dense.ts"
import * as Every from "./Every.ts"

const layer = OnnxRuntime.layerCpu({ threads: 1 })
const sizes = [3, 5, 1, 4]
const dense = Dense.random(sizes, 7)

const rowsOf = ({ data, shape }: HostTensor): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: shape[0]! }, (_, r) => Array.from(data.subarray(r * shape[1]!, (r + 1) * shape[1]!)))

/** Candidates by group, with sums over their steps. */
const groupsOf = (name: string): ReadonlyArray<ReadonlyArray<number>> => {
  const sums = rowsOf(dense[name]!).map((row) => row.reduce((a, b) => a + b, 0))
  return sizes.map((size, g) => {
    const from = sizes.slice(0, g).reduce((a, b) => a + b, 0)
    return sums.slice(from, from + size)
  })
}

const byGroup = (values: HostTensor): ReadonlyArray<ReadonlyArray<number>> =>
  sizes.map((size, g) => {
    const from = sizes.slice(0, g).reduce((a, b) => a + b, 0)
    return Array.from(values.data.subarray(from, from + size))
  })

const softmax = (scores: ReadonlyArray<number>): ReadonlyArray<number> => {
  const sum = scores.reduce((total, score) => total + Math.exp(score), 0)
  return scores.map((score) => Math.exp(score) / sum)
}

/** The derivative of every step of each candidate, where it depends on their sum alone. */
const spread = (byCandidate: ReadonlyArray<number>): ReadonlyArray<number> =>
  rowsOf(dense["mask"]!).flatMap((row, c) => row.map((inside) => inside * byCandidate[c]!))

/** The candidates and the rows of some groups of a batch; totals stay those of the batch. */
const partOf = (from: number, to: number): Dense.Dense => {
  const start = sizes.slice(0, from).reduce((a, b) => a + b, 0)
  const count = sizes.slice(from, to).reduce((a, b) => a + b, 0)
  const cut = ([name, tensor]: readonly [string, HostTensor]): readonly [string, HostTensor] => {
    if (tensor.shape[0] !== dense["logProbs"]!.shape[0]) return [name, tensor]
    const width = tensor.shape[1] ?? 1
    const data = tensor.data.slice(start * width, (start + count) * width)
    return [name, { ...tensor, shape: [count, ...tensor.shape.slice(1)], data }]
  }
  return {
    ...Object.fromEntries(Object.entries(dense).map(cut)),
    ...Dense.membership(sizes.slice(from, to), 0),
    candidates: dense["candidates"]!,
    steps: dense["steps"]!,
    groups: dense["groups"]!
  }
}

describe("objectives", () => {
  for (const [name, objective] of Object.entries(Every.differentiable)) {
    it.effect(`have the gradient of their value: ${name}`, () =>
      Effect.gen(function*() {
        const found = yield* Dense.run(objective, dense)
        const expected = Dense.oracle(objective, dense)
        assert.closeTo(found.loss, expected.loss, 1e-5 * Math.max(1, Math.abs(expected.loss)))
        assert.isBelow(distance(found.byStep, expected.byStep), 1e-5)
        assert.isBelow(distance(found.byEdge, expected.byEdge), 1e-5)
        const size = [...expected.byStep, ...expected.byEdge].reduce((most, g) => Math.max(most, Math.abs(g)), 0)
        assert.isAbove(size, 1e-3)
        for (const value of Object.values(found.terms)) assert.isTrue(Number.isFinite(value))
        assert.isAbove(found.terms["entropy"]!, 0)
      }).pipe(Effect.provide(layer)))
  }

  for (const [name, objective] of Object.entries(Every.objectives)) {
    it.effect(`add up over the parts of a batch: ${name}`, () =>
      Effect.gen(function*() {
        const whole = yield* Dense.run(objective, dense)
        const [first, second] = [
          yield* Dense.run(objective, partOf(0, 2)),
          yield* Dense.run(objective, partOf(2, sizes.length))
        ]
        assert.closeTo(first.loss + second.loss, whole.loss, 2e-6 * Math.max(1, Math.abs(whole.loss)))
        assert.isBelow(distance([...first.byStep, ...second.byStep], whole.byStep), 1e-6)
        for (const [term, value] of Object.entries(whole.terms)) {
          assert.closeTo(first.terms[term]! + second.terms[term]!, value, 2e-6 * Math.max(1, Math.abs(value)), term)
        }
      }).pipe(Effect.provide(layer)))
  }

  it.effect("CISPO weighs the gradient of each log-probability by its bounded ratio", () =>
    Effect.gen(function*() {
      const [cap, logProbs, behaviour] = [1.1, dense["logProbs"]!.data, dense["behaviour"]!.data]
      const length = dense["logProbs"]!.shape[1]!
      const found = yield* Dense.run(Cispo.make({ cap }), dense)
      const weights = Array.from(logProbs, (l, i) => Math.min(Math.exp(l - behaviour[i]!), cap))
      assert.isTrue(weights.some((weight, i) => weight === cap && logProbs[i] !== 0))
      const expected = weights.map((weight, i) =>
        -dense["mask"]!.data[i]! * weight * dense["advantages"]!.data[Math.floor(i / length)]! /
        dense["steps"]!.data[0]!
      )
      assert.isBelow(distance(found.byStep, expected), 1e-6)
    }).pipe(Effect.provide(layer)))

  it.effect("clipping lets a gain grow no further, and counts the steps that it holds", () =>
    Effect.gen(function*() {
      const found = yield* Dense.run(GroupRelative.make({ beta: 0 }), dense)
      const length = dense["logProbs"]!.shape[1]!
      let clipped = 0
      for (const [i, inside] of dense["mask"]!.data.entries()) {
        const advantage = dense["advantages"]!.data[Math.floor(i / length)]!
        const ratio = Math.exp(dense["logProbs"]!.data[i]! - dense["behaviour"]!.data[i]!)
        const held = advantage > 0 ? ratio > 1.2 : ratio < 0.8
        if (inside === 1 && held) clipped++
        assert.strictEqual(found.byStep[i] === 0, inside === 0 || held)
      }
      assert.isAbove(clipped, 0)
      assert.closeTo(found.terms["clipped"]!, clipped / dense["steps"]!.data[0]!, 1e-6)
    }).pipe(Effect.provide(layer)))

  it.effect("distillation has the gradient p - q, and its teacher is the optimum of the regularised reward", () =>
    Effect.gen(function*() {
      const temperature = 0.6
      const found = yield* Dense.run(Distillation.make({ temperature }), dense)
      const [policy, reference, rewards] = [groupsOf("logProbs"), groupsOf("reference"), byGroup(dense["advantages"]!)]
      const teachers = reference.map((logs, g) => softmax(logs.map((log, c) => log + rewards[g]![c]! / temperature)))
      const expected = teachers.flatMap((q, g) => softmax(policy[g]!).map((p, c) => (p - q[c]!) / sizes.length))
      assert.isBelow(distance(found.byStep, spread(expected)), 1e-6)
      for (const [g, q] of teachers.entries()) {
        const prior = softmax(reference[g]!)
        const value = (p: ReadonlyArray<number>) =>
          p.reduce((sum, mass, c) => sum + mass * (rewards[g]![c]! - temperature * Math.log(mass / prior[c]!)), 0)
        for (const c of q.keys()) {
          for (const shift of [-0.1, 0.1]) {
            const other = softmax(q.map((mass, i) => Math.log(mass) + (i === c ? shift : 0)))
            assert.isAtMost(value(other), value(q) + 1e-12)
          }
        }
      }
    }).pipe(Effect.provide(layer)))

  for (const rest of ["least", "held"] as const) {
    it.effect(`distillation teaches the other leaves as one class: ${rest}`, () =>
      Effect.gen(function*() {
        const [temperature, softening] = [0.6, 2.5]
        const found = yield* Dense.run(Distillation.make({ temperature, softening, rest }), dense)
        const [policy, reference] = [groupsOf("logProbs"), groupsOf("reference")]
        const rewards = byGroup(dense["advantages"]!).map((group) => group.map((reward) => reward / temperature))
        const massOf = (logs: ReadonlyArray<number>) => logs.reduce((sum, log) => sum + Math.exp(log), 0)
        assert.isBelow(Math.max(...policy.map(massOf)), 1)
        const expected = policy.flatMap((logs, g) => {
          const prior = reference[g]!
          const taught = (log: number, reward: number) => (log + reward) / softening
          const among = softmax(prior.map((log, c) => taught(log, rewards[g]![c]!)))
          const others = Math.max(1e-6, 1 - massOf(prior))
          const q = rest === "held"
            ? [...among.map((share) => share * (1 - others)), others]
            : softmax(
              [...prior, Math.log(others)].map((log, c) => taught(log, rewards[g]![c] ?? Math.min(...rewards[g]!)))
            )
          // All classes of the policy sum to 1: d/dlog p_c = -q_c + q_rest p_c / p_rest.
          return logs.map((log, c) => (q.at(-1)! * Math.exp(log) / (1 - massOf(logs)) - q[c]!) / sizes.length)
        })
        assert.isBelow(distance(found.byStep, spread(expected)), 1e-5)
      }).pipe(Effect.provide(layer)))
  }

  it.effect("LambdaLoss and ApproxNDCG are their sums over pairs, written out", () =>
    Effect.gen(function*() {
      const [mu, sigma, temperature] = [2, 0.8, 0.5]
      const [scores, relevance] = [groupsOf("logProbs"), byGroup(dense["advantages"]!)]
      const discount = (rank: number) => 1 / Math.log2(1 + rank)
      const rankOf = (values: ReadonlyArray<number>, i: number) => 1 + values.filter((v) => v > values[i]!).length
      let [lambda, approximate, ndcg] = [0, 0, 0]
      for (const [g, s] of scores.entries()) {
        const least = Math.min(...relevance[g]!)
        const raw = relevance[g]!.map((value) => value - least)
        const ideal = raw.reduce((sum, gain, i) => sum + gain * discount(rankOf(raw, i)), 0)
        const gains = raw.map((gain) => ideal === 0 ? 0 : gain / ideal)
        for (const i of s.keys()) {
          ndcg += gains[i]! * discount(rankOf(s, i)) / sizes.length
          let smooth = 1
          for (const j of s.keys()) {
            if (i === j) continue
            smooth += 1 / (1 + Math.exp((s[i]! - s[j]!) / temperature))
            if (gains[i]! <= gains[j]!) continue
            const [a, b] = [rankOf(s, i), rankOf(s, j)]
            const apart = Math.abs(a - b)
            const weight = Math.abs(discount(a) - discount(b)) + mu * (discount(apart) - discount(apart + 1))
            lambda += weight * (gains[i]! - gains[j]!) * Math.log2(1 + Math.exp(-sigma * (s[i]! - s[j]!))) /
              sizes.length
          }
          approximate -= gains[i]! * discount(smooth) / sizes.length
        }
      }
      const pairs = yield* Dense.run(LambdaLoss.make({ mu, sigma }), dense)
      assert.closeTo(pairs.loss, lambda, 1e-5)
      assert.closeTo(pairs.terms["ndcg"]!, ndcg, 1e-6)
      const smooth = yield* Dense.run(ApproxNdcg.make({ temperature }), dense)
      assert.closeTo(smooth.loss, approximate, 1e-6)
      // At a low temperature the smooth ranks are the ranks.
      const sharp = yield* Dense.run(ApproxNdcg.make({ temperature: 1e-3 }), dense)
      assert.closeTo(-sharp.loss, ndcg, 1e-4)
    }).pipe(Effect.provide(layer)))

  it.effect("a group whose rewards are equal has no order to learn, and ties go by the order of candidates", () =>
    Effect.gen(function*() {
      const { data, shape } = dense["advantages"]!
      const equal = { ...dense, advantages: { dtype: "float32", shape, data: data.map(() => 2) } as HostTensor }
      const same = { ...dense, logProbs: { ...dense["logProbs"]!, data: dense["mask"]!.data.map((one) => -one) } }
      for (const objective of [LambdaLoss.make(), ApproxNdcg.make()]) {
        const flat = yield* Dense.run(objective, equal)
        assert.closeTo(flat.loss, 0, 0)
        assert.isTrue(flat.byStep.every((gradient) => gradient === 0))
        const tied = yield* Dense.run(objective, same)
        assert.isTrue([tied.loss, ...tied.byStep].every(Number.isFinite))
        assert.isAtMost(tied.terms["ndcg"]!, 1)
      }
    }).pipe(Effect.provide(layer)))

  it.effect("a sum reports the loss of every part and the terms of all", () =>
    Effect.gen(function*() {
      const found = yield* Dense.run(Every.differentiable["a sum"]!, dense)
      const names = ["distillation", "answer", "dapo", "entropy-bonus"]
      const weights = [1, 0.2, 0.7, 0.01]
      assert.closeTo(found.loss, names.reduce((sum, name, i) => sum + weights[i]! * found.terms[name]!, 0), 1e-5)
      assert.includeMembers(Object.keys(found.terms), ["forward", "reverse", "mass", "answered", "kl", "clipped"])
      assert.closeTo(found.terms["answered"]!, 0.5, 1e-6)
      assert.deepStrictEqual(Every.differentiable["a sum"]!.needs, { behaviour: true, reference: true })
    }).pipe(Effect.provide(layer)))

  it.effect("one that reads what it does not need fails when it is compiled, by name", () =>
    Effect.gen(function*() {
      for (const what of ["behaviour", "reference"] as const) {
        const careless: Objective.GroupObjective = {
          name: "careless",
          needs: { behaviour: false, reference: false },
          scalars: {},
          loss: (groups) => ({ loss: groups[what].sum(), terms: {} })
        }
        for (const objective of [careless, Objective.sum([{ objective: careless, weight: 1 }])]) {
          const error = yield* Effect.flip(Dense.run(objective, dense))
          assert.include(error.message, "careless")
          assert.include(error.message, what)
        }
      }
    }).pipe(Effect.provide(layer)))
})
