/**
 * Candidates by every decoder and from every side, on a policy that counts, against formulas written anew.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Prior from "../../src/decode/Prior.ts"
import * as Scorer from "../../src/evaluation/baseline/Scorer.ts"
import { noTarget, type RolloutPrompt } from "../../src/grpo/Prompts.ts"
import * as Rollouts from "../../src/grpo/RolloutActor.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import type * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import { hostFloat32 } from "../../src/tensor/TensorProgram.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as RandomPolicy from "../decode/RandomPolicy.ts"

interface Case {
  readonly seed: number
  readonly index: SidIndex.SidIndex
  readonly prompts: ReadonlyArray<RolloutPrompt>
}

/** Catalogues in which SIDs begin others and items share some; some targets stand in their history. */
const cases = Array.from({ length: 24 }, (_, seed): Case => {
  const index = RandomPolicy.catalogue(12 + 2 * seed, 2 + seed % 4, seed)
  const next = Random.uniform(seed, 0x7a)
  const prompts = Array.from({ length: 6 }, (_, ordinal): RolloutPrompt => {
    const items = Int32Array.from(RandomPolicy.some(index.sids.length, 0.25, seed + 100 * ordinal))
    const drawn = Math.floor(next() * index.sids.length)
    return { ordinal, history: { user: ordinal, items }, target: ordinal === 5 ? (items[0] ?? drawn) : drawn }
  })
  return { seed, index, prompts }
})

const version = 3

/** Log-weights of every step after every last item. */
const tableOf = ({ index, seed }: Case) => {
  const next = Random.normal(seed, 0x7ab)
  const width = 2 * index.trie.nodes
  return { width, values: Float32Array.from({ length: (index.sids.length + 1) * width }, () => 2 * next()) }
}

const layer = (one: Case, options: Partial<Rollouts.RolloutOptions>, decoder = LeafDecoder.layerBeams()) => {
  const { values, width } = tableOf(one)
  const feeds = { table: hostFloat32(values, one.index.sids.length + 1, width) }
  return Rollouts.RolloutActor.layer({ groupSize: 4, historyExcluded: true, ...options }).pipe(
    Layer.provide(Layer.merge(decoder, PublishedWeights.layerOf(Effect.succeed({ version, feeds })))),
    Layer.provideMerge(CountingPolicy.layer()),
    Layer.provideMerge(Sids.layer(one.index))
  )
}

const generate = (
  one: Case,
  options: Partial<Rollouts.RolloutOptions>,
  decoder?: Layer.Layer<LeafDecoder, never, Sids>,
  [prompts, step]: readonly [ReadonlyArray<RolloutPrompt>, number] = [one.prompts, 1]
) =>
  Effect.flatMap(Rollouts.RolloutActor, (actor) => actor.generate(prompts, step)).pipe(
    Effect.provide(layer(one, options, decoder))
  )

/** All leaves with their steps after a prompt, best first. */
const lawOf = (one: Case, { history }: RolloutPrompt) => {
  const { values, width } = tableOf(one)
  const space = LeafSpace.ofTrie(one.index.trie)
  const row = (1 + (history.items.at(-1) ?? -1)) * width
  const stepOf = (node: number, column: number) => {
    const columns = Array.from(LeafSpace.childNodes(space, node))
    if (space.ends(node) && columns.length > 0) columns.push(space.nodes + node)
    return values[row + column]! -
      Math.log(columns.reduce((sum, other) => sum + Math.exp(values[row + other]!), 0))
  }
  return [...new Set(one.index.leafOf)].map((leaf) => {
    const steps = LeafSpace.path(space, leaf).map((node) => stepOf(space.parent(node), node))
    if (space.childCount(leaf) > 0) steps.push(stepOf(leaf, space.nodes + leaf))
    return { leaf, steps, logProb: steps.reduce((a, b) => a + b, 0) }
  }).toSorted((a, b) => b.logProb - a.logProb)
}

const spaceOf = ({ index }: Case, { history }: RolloutPrompt) =>
  LeafSpace.without(LeafSpace.ofTrie(index.trie), history.items)

/** Fails unless every candidate is allowed, shows its first allowed item, and has the policy's own log-probabilities. */
const assertSound = (one: Case, rollout: Rollouts.Rollout) => {
  const space = spaceOf(one, rollout.prompt)
  const law = lawOf(one, rollout.prompt)
  assert.strictEqual(rollout.version, version)
  assert.strictEqual(rollout.behaviour!.length, rollout.leaves.length)
  for (const [c, leaf] of rollout.leaves.entries()) {
    assert.isTrue(space.ends(leaf))
    assert.strictEqual(rollout.items[c], space.items(leaf)[0])
    assert.strictEqual(rollout.hits[c], leaf === space.leaf(rollout.prompt.target))
    const { steps } = law.find((other) => other.leaf === leaf)!
    assert.strictEqual(rollout.behaviour![c]!.length, steps.length)
    for (const [l, step] of steps.entries()) assert.closeTo(rollout.behaviour![c]![l]!, step, 1e-5)
  }
}

describe("RolloutActor with the answer in its group", () => {
  it.effect("puts a missing answer last, in the place of another or beside them, never one that is not allowed", () =>
    Effect.gen(function*() {
      let [missing, forbidden] = [0, 0]
      for (const one of cases) {
        const drawn = yield* generate(one, {})
        for (const answer of ["add", "replace"] as const) {
          for (const [i, rollout] of (yield* generate(one, { answer })).entries()) {
            assertSound(one, rollout)
            const leaf = spaceOf(one, rollout.prompt).leaf(rollout.prompt.target)
            const before = [...drawn[i]!.leaves]
            if (leaf < 0) forbidden++
            if (leaf < 0 || before.includes(leaf)) assert.deepStrictEqual([...rollout.leaves], before)
            else {
              missing++
              assert.deepStrictEqual(
                [...rollout.leaves],
                [...(answer === "add" ? before : before.slice(0, -1)), leaf]
              )
            }
          }
        }
      }
      assert.isAbove(missing, 100)
      assert.isAbove(forbidden, 20)
    }))
})

describe("RolloutActor with prefix hints", () => {
  it.effect("searches below the first codes of the answer, and tells how many steps were given", () =>
    Effect.gen(function*() {
      const depths = new Map<number, number>()
      for (const one of cases) {
        for (const rollout of yield* generate(one, { hintShare: 1 })) {
          assertSound(one, rollout)
          const { forced = 0, leaves, prompt } = rollout
          const space = spaceOf(one, prompt)
          const law = lawOf(one, prompt).filter(({ leaf }) => space.ends(leaf))
          const answer = law.find(({ leaf }) => leaf === space.leaf(prompt.target))
          assert.strictEqual(forced > 0, answer !== undefined && answer.steps.length > 1)
          const given = forced === 0 ? [] : LeafSpace.path(space, answer!.leaf).slice(0, forced)
          const below = law.filter(({ leaf }) => given.every((node, l) => LeafSpace.path(space, leaf)[l] === node))
          assert.strictEqual(leaves.length, Math.min(4, below.length))
          assert.isTrue(leaves.every((leaf) => below.some((other) => other.leaf === leaf)))
          for (const steps of rollout.behaviour!) assert.isAbove(steps.length, forced)
          depths.set(forced, (depths.get(forced) ?? 0) + 1)
        }
      }
      for (const depth of [1, 2, 3]) assert.isAbove(depths.get(depth) ?? 0, 5)
    }))

  it.effect("gives the stated share of the prompts a hint, the same ones when the step is drawn again", () =>
    Effect.gen(function*() {
      const one = cases[20]!
      const many = Array.from({ length: 400 }, (_, ordinal) => ({ ...one.prompts[ordinal % 5]!, ordinal }))
      const every = (yield* generate(one, { hintShare: 1 }, undefined, [many, 1])).filter(({ forced }) => forced! > 0)
      const some = yield* generate(one, { hintShare: 0.3 }, undefined, [many, 1])
      const given = some.filter(({ forced }) => forced! > 0).length
      assert.closeTo(given / every.length, 0.3, 4 * Math.sqrt(0.21 / every.length))
      const later = yield* generate(one, { hintShare: 0.3 }, undefined, [many.slice(150), 1])
      assert.deepStrictEqual(later, some.slice(150))
      const other = yield* generate(one, { hintShare: 0.3 }, undefined, [many, 2])
      assert.notDeepEqual(other.map(({ forced }) => forced), some.map(({ forced }) => forced))
    }))
})

describe("RolloutActor with a teacher", () => {
  const score = (user: number, item: number) => item % 4 === 0 ? 0 : Math.sin(1 + item * (2 + user))
  const scorer = (items: number) =>
    Scorer.make("sine", items, ({ user }, row) => {
      for (const item of row.keys()) row[item] = score(user, item)
    })

  it.effect("joins the leaves of the teacher's best allowed items, each once", () =>
    Effect.gen(function*() {
      let joined = 0
      for (const one of cases) {
        const count = one.index.sids.length
        const drawn = yield* generate(one, {})
        const taught = yield* generate(one, { teacher: { scorer: scorer(count), count: 3 }, answer: "replace" })
        for (const [i, rollout] of taught.entries()) {
          assertSound(one, rollout)
          const space = spaceOf(one, rollout.prompt)
          const best = Array.from({ length: count }, (_, item) => item)
            .filter((item) => space.leaf(item) >= 0 && score(i, item) !== 0)
            .toSorted((a, b) => score(i, b) - score(i, a) || a - b).slice(0, 3)
          const expected = [...new Set([...drawn[i]!.leaves, ...best.map((item) => space.leaf(item))])]
          joined += expected.length - drawn[i]!.leaves.length
          const answer = space.leaf(rollout.prompt.target)
          assert.deepStrictEqual(
            [...rollout.leaves],
            answer < 0 || expected.includes(answer) ? expected : [...expected.slice(0, -1), answer]
          )
        }
      }
      assert.isAbove(joined, 100)
    }))

  it.effect("fails with the name of a teacher that answers with NaN", () =>
    Effect.gen(function*() {
      const one = cases[3]!
      const broken = Scorer.make("broken", one.index.sids.length, (_, row) => void (row[2] = Number.NaN))
      const failed = yield* Effect.flip(generate(one, { teacher: { scorer: broken, count: 2 } }))
      assert.strictEqual(failed.reason._tag, "ScorerError")
      assert.include(failed.message, "the scorer \"broken\" failed: item 2 has the score NaN after history 0")
    }))
})

describe("RolloutActor through a decoder", () => {
  const decoders = {
    beams: LeafDecoder.layerBeams({ batch: 2 }),
    exact: LeafDecoder.layerExact({ batch: 2 }),
    sampling: LeafDecoder.layerSampling({ batch: 2, temperature: 1.5 }),
    repeating: LeafDecoder.layerSampling({ batch: 2, replacement: true }),
    stochastic: LeafDecoder.layerStochasticBeams({ batch: 2 })
  }

  for (const [name, decoder] of Object.entries(decoders)) {
    it.effect(`draws sound candidates, and a lost batch again in the same way: ${name}`, () =>
      Effect.gen(function*() {
        let changed = 0
        for (const one of cases) {
          const all = yield* generate(one, { answer: "add" }, decoder)
          for (const rollout of all) assertSound(one, rollout)
          const lost = yield* generate(one, { answer: "add" }, decoder, [one.prompts.slice(2), 1])
          assert.deepStrictEqual(lost, all.slice(2))
          const next = yield* generate(one, { answer: "add" }, decoder, [one.prompts, 2])
          if (next.some(({ leaves }, i) => leaves.join() !== all[i]!.leaves.join())) changed++
        }
        if (name === "beams" || name === "exact") assert.strictEqual(changed, 0)
        else assert.isAbove(changed, cases.length / 2)
      }))
  }

  it.effect("ranks by the policy and a prior, and tells the policy's own log-probabilities", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const mass = (item: number) => 1 + 10 * (item % 3)
        const prior: Prior.Prior = {
          name: "drawn",
          weight: 2,
          logMass: (_, space) => Effect.succeed(Prior.ofMasses(space, mass))
        }
        for (const rollout of yield* generate(one, { prior, groupSize: 3 }, decoders.exact)) {
          assertSound(one, rollout)
          const space = spaceOf(one, rollout.prompt)
          const expected = lawOf(one, rollout.prompt).filter(({ leaf }) => space.ends(leaf)).map(
            ({ leaf, logProb }) => ({
              leaf,
              score: logProb + 2 * Math.log(
                    one.index.sids.reduce((sum, _, item) => one.index.leafOf[item] === leaf ? sum + mass(item) : sum, 0)
                  )
            })
          ).toSorted((a, b) => b.score - a.score).slice(0, 3)
          assert.deepStrictEqual([...rollout.leaves], expected.map(({ leaf }) => leaf))
        }
      }
    }))

  it.effect("makes one more forward pass for candidates that joined, and none where nobody asks for it", () =>
    Effect.gen(function*() {
      const one = cases[20]!
      let calls = 0
      const counted = <A, E, R>(options: Partial<Rollouts.RolloutOptions>, effect: Effect.Effect<A, E, R>) =>
        Effect.gen(function*() {
          const policy = yield* PolicyModel
          const watched = PolicyModel.of({
            ...policy,
            score: (groups, weights) => {
              calls++
              return policy.score(groups, weights)
            }
          })
          return yield* effect.pipe(Effect.provide(
            Rollouts.RolloutActor.layer({ groupSize: 2, historyExcluded: true, answer: "add", ...options }).pipe(
              Layer.provide(Layer.mergeAll(
                LeafDecoder.layerBeams(),
                Layer.succeed(PolicyModel, watched),
                PublishedWeights.layerOf(Effect.succeed({
                  version,
                  feeds: { table: hostFloat32(tableOf(one).values, one.index.sids.length + 1, tableOf(one).width) }
                }))
              ))
            )
          ))
        }).pipe(Effect.provide(layer(one, {})))
      const draw = Effect.flatMap(Rollouts.RolloutActor, (actor) => actor.generate(one.prompts, 1))
      const told = yield* counted({}, draw)
      assert.strictEqual(calls, 1)
      const untold = yield* counted({ behaviour: false }, draw)
      assert.strictEqual(calls, 1)
      assert.deepStrictEqual(untold.map(({ leaves }) => leaves), told.map(({ leaves }) => leaves))
      assert.isTrue(untold.every(({ behaviour }) => behaviour === undefined))
    }))
})

describe("RolloutActor after a history without an answer", () => {
  it.effect("has no hit, no hint and no answer, and the rule earns 0", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const prompts = one.prompts.map((prompt) => ({ ...prompt, target: noTarget }))
        const rollouts = yield* generate(one, { answer: "add", hintShare: 1 }, undefined, [prompts, 1])
        assert.deepStrictEqual(
          rollouts.map(({ leaves }) => leaves),
          (yield* generate(one, {})).map(({ leaves }) => leaves)
        )
        const rewards = yield* Effect.flatMap(
          RewardActor,
          (rewarder) => rewarder.score(rollouts.map(Rollouts.rewardGroup))
        ).pipe(Effect.provide(RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }])))
        for (const [i, { forced, hits }] of rollouts.entries()) {
          assert.strictEqual(forced, 0)
          assert.isFalse(hits.includes(true))
          assert.isTrue(rewards[i]!.total.every((reward) => reward === 0))
        }
      }
    }))
})
