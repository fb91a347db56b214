/**
 * Traces and records of groups against enumeration in float64.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RewardTrace from "../../programs/RewardTrace.ts"
import { type AdvantageGroup } from "../../src/grpo/Advantage.ts"
import * as GroupTrace from "../../src/grpo/monitoring/GroupTrace.ts"
import * as StepRecord from "../../src/grpo/monitoring/StepRecord.ts"
import { rollout } from "../../src/grpo/RolloutActor.ts"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import * as FlatLayout from "../../src/policy/flat/FlatLayout.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { PolicyModel, type TreeLogProbs } from "../../src/policy/PolicyModel.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Testing from "../../src/testing/Testing.ts"
import * as RandomPolicy from "../decode/RandomPolicy.ts"
import { config, index as fixture } from "../policy/Fixture.ts"

/** A distribution over what follows each node of a catalogue, its end last. */
const distributions = (space: LeafSpace.LeafSpace, seed: number): ReadonlyArray<ReadonlyArray<number>> => {
  const next = Random.uniform(seed, 0xd15)
  return Array.from({ length: space.nodes }, (_, node) => {
    const ways = space.childCount(node) + (space.childCount(node) > 0 && space.ends(node) ? 1 : 0)
    const odds = Array.from({ length: ways }, () => Math.exp(3 * next()))
    const sum = odds.reduce((a, b) => a + b, 0)
    return odds.map((odd) => odd / sum)
  })
}

type Distributions = ReturnType<typeof distributions>

/** The nodes that a leaf is reached through, and the place of each step among what follows the node. */
const steps = (space: LeafSpace.LeafSpace, leaf: number): ReadonlyArray<readonly [node: number, way: number]> => {
  const path = LeafSpace.path(space, leaf)
  const to = path.map((node) =>
    [space.parent(node), LeafSpace.childNodes(space, space.parent(node)).indexOf(node)] as const
  )
  return space.childCount(leaf) > 0 ? [...to, [leaf, space.childCount(leaf)] as const] : to
}

const tree = (space: LeafSpace.LeafSpace, leaves: Int32Array, given: Distributions): TreeLogProbs => {
  const nodes = [...new Set(Array.from(leaves).flatMap((leaf) => steps(space, leaf).map(([node]) => node)))]
  const starts = [0]
  for (const node of nodes) starts.push(starts.at(-1)! + given[node]!.length)
  return {
    nodes: Int32Array.from(nodes),
    starts: Int32Array.from(starts),
    logProbs: Float32Array.from(nodes.flatMap((node) => given[node]!.map(Math.log)))
  }
}

const setting = (seed: number, forced = 0) => {
  const index = RandomPolicy.catalogue(30, 3, seed)
  const space = LeafSpace.ofTrie(index.trie)
  const leaves = Int32Array.from(new Set(index.leafOf)).slice(0, 8)
  const [before, after, reference] = [1, 2, 3].map((which) => distributions(space, seed + 100 * which)) as [
    Distributions,
    Distributions,
    Distributions
  ]
  const found = rollout(space, { ordinal: 0, history: { user: 1, items: Int32Array.of(3, 4) }, target: 5 }, {
    version: 0,
    leaves,
    forced,
    behaviour: Array.from(
      leaves,
      (leaf) => Float32Array.from(steps(space, leaf), ([node, way]) => Math.log(after[node]![way]!))
    )
  })
  const rewards = {
    total: Float32Array.from(leaves, (_, c) => c),
    parts: { rule: Float32Array.from(leaves, () => 1), none: null }
  }
  return { space, leaves, before, after, reference, found, rewards }
}

const observed = ({ after, before, found, leaves, reference, rewards, space }: ReturnType<typeof setting>) =>
  GroupTrace.group(space, {
    rollout: found,
    rewards,
    advantages: rewards.total,
    before: tree(space, leaves, before),
    after: tree(space, leaves, after),
    reference: tree(space, leaves, reference)
  }, { user: (user) => `user ${user}`, item: (item) => `item ${item}`, rewards: ["rule", "none"] })

describe("GroupTrace.group", () => {
  it("tells probabilities and the exact divergence of every candidate, where SIDs begin others and steps were given", () => {
    for (let seed = 0; seed < 20; seed++) {
      for (const forced of [0, 1]) {
        const one = setting(seed, forced)
        const { after, before, leaves, reference, space } = one
        const traced = observed(one)
        for (const [c, leaf] of leaves.entries()) {
          const candidate = traced.candidates[c]!
          const path = steps(space, leaf)
          const logProb = (given: Distributions, from = 0) =>
            path.slice(from).reduce((sum, [node, way]) => sum + Math.log(given[node]![way]!), 0)
          const kl = (given: Distributions) =>
            path.slice(forced).reduce(
              (sum, [node]) =>
                given[node]!.reduce((all, p, way) => all + p * Math.log(p / reference[node]![way]!), sum),
              0
            )
          assert.closeTo(candidate.before, logProb(before), 1e-5)
          assert.closeTo(candidate.after, logProb(after), 1e-5)
          assert.closeTo(candidate.reference, logProb(reference, forced), 1e-5)
          assert.closeTo(candidate.policy, logProb(after, forced), 1e-5)
          assert.closeTo(candidate.klBefore, kl(before), 1e-5)
          assert.closeTo(candidate.klAfter, kl(after), 1e-5)
          const codes: Array<string> = []
          for (let n = candidate.node; n >= 0; n = traced.nodes[n]!.parent) codes.unshift(traced.nodes[n]!.token)
          assert.deepStrictEqual(
            codes,
            LeafSpace.path(space, leaf).map((node, l) => `<${"abcd"[l]}_${space.code(node)}>`)
          )
          const node = traced.nodes[candidate.node]!
          const end = space.childCount(leaf) > 0 ? path.at(-1)! : undefined
          const closing = end === undefined ? 0 : Math.log(after[end[0]]![end[1]]!)
          assert.closeTo(node.after + closing, candidate.after, 1e-5)
        }
        for (const [n, { parent }] of traced.nodes.entries()) assert.isBelow(parent, n)
        assert.deepStrictEqual(traced.parts, [Array.from(leaves, () => 1), null])
        assert.deepStrictEqual([traced.user, traced.history, traced.truth], ["user 1", ["item 3", "item 4"], "item 5"])
      }
    }
  })

  it("is read back as it was written, and refuses what is none", () => {
    const value: GroupTrace.GroupTrace = {
      step: 3,
      objective: "distillation",
      rewards: [{ name: "rule", weight: -0.5 }, { name: "none", weight: 2 }],
      normalise: "batch",
      mode: "per-reward",
      temperature: 0.5,
      softening: 2,
      groups: [observed(setting(1)), { ...observed(setting(2)), truth: null }]
    }
    const { codec } = RewardTrace.file
    assert.deepStrictEqual(codec.decode(codec.encode(value)), value)
    for (const wrong of [{ ...value, mode: "best" }, { ...value, groups: [{}] }, { ...value, temperature: "warm" }]) {
      assert.throws(() => codec.decode(Buffer.from(JSON.stringify(wrong))))
    }
  })
})

describe("StepRecord.of", () => {
  const record = (
    one: ReturnType<typeof setting>,
    options: Partial<StepRecord.Step> = {}
  ) => {
    const usable: ReadonlyArray<AdvantageGroup> = [
      { rollout: one.found, rewards: one.rewards, advantages: one.rewards.total }
    ]
    return StepRecord.of(one.space, {
      step: 1,
      generated: [{ rollout: one.found, rewards: one.rewards }],
      usable,
      report: undefined,
      seconds: {},
      references: [tree(one.space, one.leaves, one.reference)],
      ...options
    }).fields
  }

  it("tells mean and tail of the divergence over candidates, where both log-probabilities are known", () => {
    for (let seed = 0; seed < 10; seed++) {
      for (const forced of [0, 1]) {
        const one = setting(seed, forced)
        const all = Array.from(one.leaves, (leaf) =>
          steps(one.space, leaf).slice(forced).reduce((sum, [node, way]) => {
            const ratio = one.reference[node]![way]! / one.after[node]![way]!
            return sum + ratio - Math.log(ratio) - 1
          }, 0))
        const { candidateKl, candidateKlP99 } = record(one)
        assert.closeTo(Number(candidateKl), all.reduce((a, b) => a + b, 0) / all.length, 1e-4)
        assert.closeTo(Number(candidateKlP99), Math.max(...all), 1e-4)
        assert.notProperty(record(one, { references: [] }), "candidateKl")
        const { behaviour: _, ...untold } = one.found
        const usable = [{ rollout: untold, rewards: one.rewards, advantages: one.rewards.total }]
        assert.notProperty(record(one, { usable }), "candidateKl")
      }
    }
  })

  it("counts positions with the prompt, against a prompt for every candidate", () => {
    const one = setting(4)
    const { nodes, nodesSaved, positions, positionsReplicated } = record(one, { positions: () => 31 })
    const inner = new Set(
      Array.from(one.leaves).flatMap((leaf) => steps(one.space, leaf).map(([node]) => node)).filter((node) => node > 0)
    )
    const passed = Array.from(one.leaves).flatMap((leaf) => steps(one.space, leaf).slice(1))
    const codes = Array.from(one.leaves).reduce((sum, leaf) => sum + one.space.level(leaf), 0)
    assert.strictEqual(nodes, inner.size)
    assert.strictEqual(nodesSaved, passed.length - inner.size)
    assert.strictEqual(positions, 31 + inner.size)
    assert.strictEqual(positionsReplicated, 31 * one.leaves.length + codes)
    assert.notProperty(record(one), "positions")
  })

  it.effect("takes the positions of a flat policy's prompt as it is laid out", () =>
    Effect.gen(function*() {
      const { positions } = yield* PolicyModel
      const next = Random.uniform(3)
      const most = 1 + config.historyItems * fixture.levels
      for (let length = 0; length < 12; length++) {
        const items = Int32Array.from({ length }, () => Math.floor(next() * fixture.sids.length))
        const laid = FlatLayout.prompt(fixture, CompactVocabulary.make(fixture), items, most)
        assert.strictEqual(positions!(Prompt.ofItems(items)), laid.length)
      }
      assert.strictEqual(positions!({ _tag: "Text", task: "t", segments: [] }), 0)
    }).pipe(
      Effect.provide(
        FlatPolicy.layer(config, 1).pipe(
          Layer.provide(Layer.merge(Sids.layer(fixture), Testing.layerNoTensors))
        )
      )
    ))
})
