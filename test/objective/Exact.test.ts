/**
 * Divergences and expected rewards that are exact, against enumeration of every leaf of a small trie.
 */
import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Divergence from "../../src/objective/Divergence.ts"
import * as TopLeaves from "../../src/objective/loss/TopLeaves.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { distance } from "../Golden.ts"
import * as Float64 from "../tensor/Float64.ts"
import * as Dense from "./Dense.ts"

const random = Random.normal(5, 1)

/** SIDs of one to three codes, of which some begin others. */
const index = SidIndex.make(
  [[0], [0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 2, 1], [1, 2, 2], [2, 1, 0], [2, 1], [3, 3, 3]]
    .map((codes) => Int32Array.from(codes)),
  [4, 4, 4],
  "keep"
)
const space = LeafSpace.ofTrie(index.trie)
const inner = Array.from({ length: space.nodes }, (_, n) => n).filter((n) => space.childCount(n) > 0)
/** What follows each inner node: its children, and its own end as -1 where a SID ends there. */
const edges = inner.map((node) => [...LeafSpace.childNodes(space, node), ...(space.ends(node) ? [-1] : [])])
const widest = Math.max(...edges.map((own) => own.length))
const leaves = Array.from(new Set(index.leafOf))

/** Steps of a leaf as (row, edge). */
const stepsOf = (leaf: number): ReadonlyArray<readonly [row: number, edge: number]> => {
  const path = LeafSpace.path(space, leaf)
  const steps = path.map((node) => {
    const row = inner.indexOf(space.parent(node))
    return [row, edges[row]!.indexOf(node)] as const
  })
  const row = inner.indexOf(leaf)
  return row < 0 ? steps : [...steps, [row, edges[row]!.indexOf(-1)]]
}

type Logits = ReadonlyArray<number>

const draw = (): Logits => inner.flatMap(() => Array.from({ length: widest }, random))
const [policy, reference] = [draw(), draw()]

const logProb = (logits: Logits, row: number, edge: number) => {
  const own = edges[row]!.map((_, e) => logits[row * widest + e]!)
  return own[edge]! - Math.log(own.reduce((sum, logit) => sum + Math.exp(logit), 0))
}

/** Log-probability of every leaf. */
const distribution = (logits: Logits) =>
  leaves.map((leaf) => stepsOf(leaf).reduce((sum, [row, edge]) => sum + logProb(logits, row, edge), 0))

const divergence = (logits: Logits) => {
  const prior = distribution(reference)
  return distribution(logits).reduce((sum, log, i) => sum + Math.exp(log) * (log - prior[i]!), 0)
}

/** Central differences of a function of logits. */
const differences = (value: (logits: Logits) => number) =>
  policy.map((logit, i) => (value(policy.with(i, logit + 1e-5)) - value(policy.with(i, logit - 1e-5))) / 2e-5)

const float = (data: ReadonlyArray<number>, ...shape: ReadonlyArray<number>): Float64.WideTensor => ({
  dtype: "float32",
  shape,
  data
})

const longest = Math.max(...leaves.map((leaf) => stepsOf(leaf).length))
const grid = (own: ReadonlyArray<number>, value: (step: readonly [row: number, edge: number]) => number) =>
  own.flatMap((leaf) =>
    Array.from({ length: longest }, (_, l) => {
      const step = stepsOf(leaf)[l]
      return step === undefined ? 0 : value(step)
    })
  )

/** One group of candidates, as inputs from which its tensors follow. */
const inputsOf = (own: ReadonlyArray<number>, rewards: ReadonlyArray<number>, old: Logits = policy) => {
  const integers = (data: ReadonlyArray<number>, ...shape: ReadonlyArray<number>): Float64.WideTensor => ({
    dtype: "int32",
    shape,
    data
  })
  const table = (value: (row: number, e: number) => number) =>
    float(
      inner.flatMap((_, row) => Array.from({ length: widest }, (_, e) => e < edges[row]!.length ? value(row, e) : 0)),
      inner.length,
      widest
    )
  return {
    logits: float(policy, inner.length, widest),
    taken: integers(grid(own, ([row, edge]) => row * widest + edge), own.length, longest),
    behaviour: float(grid(own, ([row, edge]) => logProb(old, row, edge)), own.length, longest),
    reference: float(grid(own, ([row, edge]) => logProb(reference, row, edge)), own.length, longest),
    mask: float(grid(own, () => 1), own.length, longest),
    node: integers(grid(own, ([row]) => row), own.length, longest),
    advantages: float(rewards, own.length),
    answer: float(own.map(() => 0), own.length),
    members: integers(own.map((_, c) => c), 1, own.length),
    memberMask: float(own.map(() => 1), 1, own.length),
    candidates: float([own.length]),
    steps: float([grid(own, () => 1).reduce((a, b) => a + b, 0)]),
    groups: float([1]),
    nodeReference: table((row, e) => logProb(reference, row, e)),
    legal: table(() => 1),
    visits: float(inner.map(() => 1), inner.length)
  }
}

/** The tensors of a group as functions of the logits. */
const groupTensors = (x: Readonly<Record<string, tf.Tensor>>) => {
  const nodeLogProbs = tf.logSoftmax(x["logits"]!.add(x["legal"]!.sub(1).mul(1e9))).mul(x["legal"]!)
  const logProbs = tf.gather(nodeLogProbs.reshape([-1]), x["taken"]!.reshape([-1])).reshape(x["taken"]!.shape)
  const scalar = (name: string) => x[name]!.asScalar()
  return Dense.groupTensors({
    ...x,
    nodeLogProbs,
    logProbs: logProbs.mul(x["mask"]!),
    candidates: scalar("candidates"),
    steps: scalar("steps"),
    groups: scalar("groups")
  })
}

/** The value and the gradient by the logits of a function of a group, in float64. */
const differentiate = (
  inputs: Readonly<Record<string, Float64.WideTensor>>,
  value: (groups: ReturnType<typeof groupTensors>) => tf.Tensor
) => {
  const { gradient, loss } = Float64.evaluate(inputs, (x) => {
    const found = Autodiff.valueAndGradients(({ logits }) => value(groupTensors({ ...x, logits: logits! })), {
      logits: x["logits"]!
    })
    return { loss: found.value, gradient: found.gradients.logits }
  })
  return { loss: loss.data[0]!, gradient: gradient.data }
}

describe("exact objectives", () => {
  const all = leaves.map(() => 0)
  const weights = distribution(policy).map(Math.exp)

  it("enumerate a distribution", () => {
    assert.closeTo(weights.reduce((a, b) => a + b, 0), 1, 1e-12)
    assert.isAbove(leaves.length, 9)
  })

  for (const estimate of ["exact", "k1", "k3"] as const) {
    it(`the divergence over leaves is the expectation of ${estimate} over steps`, () => {
      const { loss } = differentiate(
        inputsOf(leaves, all),
        (groups) => Divergence.ofSteps(estimate, groups).mul(groups.mask).sum(1).mul(tf.tensor1d(weights)).sum()
      )
      assert.closeTo(loss, divergence(policy), 1e-9)
    })
  }

  it("k2 is another number, with the gradient of the divergence at a node", () => {
    const node = (estimate: Divergence.Estimate) =>
      differentiate(inputsOf(leaves, all), (groups) => {
        // The children of the root, each by its probability: the leaves below it.
        const first = tf.tensor2d(leaves.map((_, c) => [weights[c]!, ...Array.from({ length: longest - 1 }, () => 0)]))
        return Divergence.ofSteps(estimate, groups).mul(first).sum()
      })
    const [biased, exact] = [node("k2"), node("exact")]
    assert.isAbove(Math.abs(biased.loss - exact.loss), 1e-3)
    assert.isBelow(distance(biased.gradient, exact.gradient), 1e-9)
    assert.isAbove(Math.max(...exact.gradient.map(Math.abs)), 1e-2)
    // That of k3 is another one, and k1 has none.
    assert.isAbove(distance(node("k3").gradient, exact.gradient), 1e-3)
    assert.isBelow(Math.max(...node("k1").gradient.map(Math.abs)), 1e-12)
  })

  it("an estimate times the ratio has the gradient of the divergence on candidates of an older policy", () => {
    const old = draw()
    const drawn = distribution(old).map(Math.exp)
    for (const estimate of ["k1", "k3"] as const) {
      const { gradient, loss } = differentiate(inputsOf(leaves, all, old), (groups) => {
        const ratio = groups.logProbs.sub(groups.behaviour).mul(groups.mask).sum(1).exp()
        return Divergence.ofSteps(estimate, groups).mul(groups.mask).sum(1).mul(ratio).mul(tf.tensor1d(drawn)).sum()
      })
      assert.closeTo(loss, divergence(policy), 1e-9)
      assert.isBelow(distance(gradient, differences(divergence)), 1e-6)
    }
  })

  it("entropy of nodes adds up to the entropy of the leaves", () => {
    const { loss } = differentiate(
      inputsOf(leaves, all),
      (groups) => Divergence.entropyOfSteps(groups).mul(groups.mask).sum(1).mul(tf.tensor1d(weights)).sum()
    )
    assert.closeTo(loss, -weights.reduce((sum, mass) => sum + mass * Math.log(mass), 0), 1e-9)
  })

  it("the expected reward over the top leaves is that of enumeration, with its gradient and the tail's bound", () => {
    const rewards = leaves.map((_, i) => Math.sin(3 * i))
    const order = Array.from(leaves.keys()).toSorted((a, b) => weights[b]! - weights[a]!)
    for (const top of [1, 4, leaves.length]) {
      for (const tailReward of [0, -0.4]) {
        const kept = order.slice(0, top)
        const objective = TopLeaves.make({ tailReward, range: [-1, 1] })
        const scalars = () =>
          Object.fromEntries(Object.entries(objective.scalars).map(([name, value]) => [name, tf.scalar(value)]))
        const inputs = inputsOf(kept.map((i) => leaves[i]!), kept.map((i) => rewards[i]!))
        const expected = (logits: Logits) =>
          distribution(logits).reduce(
            (sum, log, i) => sum + Math.exp(log) * (kept.includes(i) ? rewards[i]! : tailReward),
            0
          )
        const found = differentiate(inputs, (groups) => objective.loss(groups, scalars()).loss)
        assert.closeTo(-found.loss, expected(policy), 1e-7)
        assert.isBelow(distance(found.gradient.map((g) => -g), differences(expected)), 1e-6)
        const terms = Float64.evaluate(inputs, (x) => objective.loss(groupTensors(x), scalars()).terms)
        const tail = 1 - kept.reduce((sum, i) => sum + weights[i]!, 0)
        assert.closeTo(terms["tail"]!.data[0]!, tail, 1e-9)
        const truth = weights.reduce((sum, mass, i) => sum + mass * rewards[i]!, 0)
        assert.isAtMost(Math.abs(truth - terms["expected"]!.data[0]!), terms["bound"]!.data[0]! + 1e-9)
        assert.closeTo(terms["bound"]!.data[0]!, tail * (1 - Math.min(0, tailReward)), 1e-7)
      }
    }
  })
})
