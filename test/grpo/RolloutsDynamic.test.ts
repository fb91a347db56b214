/**
 * Dynamic sampling with fakes, and what the learner makes of given steps and unknown log-probabilities.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Advantage from "../../src/grpo/Advantage.ts"
import * as Learner from "../../src/grpo/PolicyLearner.ts"
import { type RolloutPrompt } from "../../src/grpo/Prompts.ts"
import * as Prompts from "../../src/grpo/Prompts.ts"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import * as DynamicSampling from "../../src/grpo/rollout/DynamicSampling.ts"
import * as Rollouts from "../../src/grpo/RolloutActor.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Objective from "../../src/objective/Objective.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import { AdamWConfig } from "../../src/optimizer/AdamW.ts"
import { PolicyModel, type ScoredGroup } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"

const index = Testing.index(27)
const promptsOf = (count: number): ReadonlyArray<RolloutPrompt> =>
  Array.from({ length: count }, (_, ordinal) => ({
    ordinal,
    history: { user: ordinal, items: Int32Array.of(ordinal % 27) },
    target: 1
  }))

/** Groups of which those after users with `some` have rewards that differ. */
const fakes = (some: (user: number) => boolean) => {
  const actor = Testing.rollouts()
  const reward = Testing.reward("some", ({ items, user }) => Array.from(items, (_, i) => some(user) && i === 0 ? 1 : 0))
  return {
    actor,
    layer: Layer.merge(
      actor.layer.pipe(Layer.provide(Sids.layer(index))),
      RewardActor.layer([{ reward: reward.reward, weight: 1 }])
    )
  }
}

describe("DynamicSampling.generate", () => {
  it.effect("keeps the first groups whose rewards differ, as many as are wanted, of the prompts it may ask", () =>
    Effect.gen(function*() {
      const laws: ReadonlyArray<(user: number) => boolean> = [
        () => true,
        (user) => user % 3 === 1,
        (user) => user >= 30,
        (user) => user % 7 === 0
      ]
      for (const some of laws) {
        for (const [wanted, most] of [[1, 1], [8, 8], [8, 32], [16, 64], [64, 64]] as const) {
          const { actor, layer } = fakes(some)
          const prompts = promptsOf(most)
          const { generated, kept } = yield* DynamicSampling.generate(prompts, 5, { wanted }).pipe(
            Effect.provide(layer)
          )
          const usable = prompts.filter(({ history }) => some(history.user)).slice(0, wanted)
          assert.deepStrictEqual(
            kept.map(({ rollout }) => rollout.prompt.ordinal),
            usable.map(({ ordinal }) => ordinal)
          )
          for (const { rewards } of kept) assert.deepStrictEqual([...rewards.total], [1, 0, 0, 0])
          // Prompts are asked in order, each once, in the step that was given, and no more than are needed or allowed.
          const asked = actor.calls.flatMap(([list]) => list as ReadonlyArray<RolloutPrompt>)
          assert.deepStrictEqual(asked, prompts.slice(0, asked.length))
          assert.deepStrictEqual(generated.map(({ rollout }) => rollout.prompt), asked)
          assert.isTrue(actor.calls.every(([, step]) => step === 5))
          if (usable.length < wanted) assert.strictEqual(asked.length, most)
          if (laws.indexOf(some) === 0) assert.strictEqual(asked.length, wanted)
        }
      }
    }))

  it.effect("stops at the prompts it may ask when no group is usable", () =>
    Effect.gen(function*() {
      const { actor, layer } = fakes(() => false)
      const { generated, kept } = yield* DynamicSampling.generate(promptsOf(40), 1, { wanted: 10 }).pipe(
        Effect.provide(layer)
      )
      assert.strictEqual(generated.length, 40)
      assert.deepStrictEqual(kept, [])
      assert.isAtMost(actor.calls.length, 2)
    }))

  it.effect("counts as usable what it is told to", () =>
    Effect.gen(function*() {
      const { layer } = fakes((user) => user % 2 === 0)
      const { kept } = yield* DynamicSampling.generate(promptsOf(20), 1, {
        wanted: 4,
        usable: ({ rewards: { total } }) => total[0] === 0
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(kept.map(({ rollout }) => rollout.prompt.ordinal), [1, 3, 5, 7])
    }))
})

const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({ weightDecay: 0, averaging: 0 }))
const policy = PolicyParameters.layer.pipe(
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.mergeAll(Sids.layer(index), Testing.layerNoTensors))
)
const learning = (objective: Objective.GroupObjective) =>
  Layer.merge(
    ReferenceModel.layerFrozen,
    Learner.PolicyLearner.layer({ objective, optimizer, learningRate: () => 0.3 })
  ).pipe(Layer.provideMerge(PublishedWeights.layer), Layer.provideMerge(policy))

describe("Steps that were given", () => {
  it.effect("carry no gradient, and the others that of their own mean", () =>
    Effect.gen(function*() {
      const model = yield* PolicyModel
      const store = yield* PolicyParameters
      const { space } = yield* Sids
      const prompt = Prompt.ofItems(Int32Array.of(3))
      // Items 9 to 17 begin with the same code.
      const leaves = Int32Array.of(9, 10, 14).map((item) => space.leaf(item))
      const weights = { version: 0, feeds: store.buffer.tensors("weights") }
      const [reference] = yield* model.score([{ prompt, leaves }], weights)
      const group: ScoredGroup = {
        prompt,
        leaves,
        advantages: Float32Array.of(1, -0.5, 0.25),
        behaviour: Array.from(leaves, (leaf) => Testing.evenSteps(space, leaf)),
        reference: reference!
      }
      const gradient = yield* model.groupGradient(GroupRelative.make({ beta: 0.3 }))
      const gradientOf = (forced: number) =>
        Effect.map(
          gradient.accumulate(store, [{ batch: [{ ...group, forced }] }], { seed: 0, step: 0 }),
          () => store.buffer.view("gradients", "table").slice()
        )
      const [all, given] = [yield* gradientOf(0), yield* gradientOf(1)]
      const row = 4 * 2 * space.nodes
      let moved = 0
      for (const [i, slope] of given.entries()) {
        const node = i - row
        if (node > 0 && node < space.nodes && space.parent(node) > 0) {
          // The mean is over two steps instead of three.
          assert.closeTo(slope, 1.5 * all[i]!, 1e-6)
          if (slope !== 0) moved++
        } else assert.strictEqual(slope, 0)
      }
      assert.isAbove(moved, 5)
      assert.isTrue(Array.from(LeafSpace.childNodes(space, 0)).some((child) => all[row + child] !== 0))
    }).pipe(Effect.scoped, Effect.provide(policy)))
})

const byEpochs = Schema.decodeSync(Prompts.PromptsConfig)({})
const sequences = Array.from({ length: 60 }, (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % 27))

/** Trains on prompts by epochs and returns the share of prompts whose best candidate is right, before and after. */
const train = (
  objective: Objective.GroupObjective,
  options: Partial<Rollouts.RolloutOptions>,
  decoder = LeafDecoder.layerBeams()
) =>
  Effect.gen(function*() {
    const learner = yield* Learner.PolicyLearner
    const reference = yield* ReferenceModel
    const prompts = Prompts.make({ sequences }, byEpochs, 1)
    const shares: Array<number> = []
    const measure = Effect.gen(function*() {
      const rollouts = yield* (yield* Rollouts.RolloutActor).generate(prompts.draw(1, prompts.positions), 1)
      shares.push(rollouts.filter(({ hits }) => hits[0]).length / rollouts.length)
    }).pipe(Effect.provide(
      Rollouts.RolloutActor.layer({ groupSize: 4, historyExcluded: true }).pipe(
        Layer.provide(LeafDecoder.layerBeams())
      )
    ))
    yield* measure
    for (let step = 1; step <= 25; step++) {
      const { kept } = yield* DynamicSampling.generate(prompts.draw(step, 48), step, { wanted: 24 })
      const groups = Advantage.assign(kept.map(({ rollout }) => rollout), kept.map(({ rewards }) => rewards))
      if (groups.length === 0) continue
      yield* learner.step(groups, yield* reference.score(Learner.candidates(groups)), step)
    }
    yield* measure
    return shares
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.merge(
        Rollouts.RolloutActor.layer({ groupSize: 4, historyExcluded: true, ...options }).pipe(Layer.provide(decoder)),
        RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }])
      ).pipe(Layer.provideMerge(learning(objective)))
    )
  )

describe("GRPO by these rollouts", () => {
  const recipes: ReadonlyArray<
    readonly [string, Partial<Rollouts.RolloutOptions>, Layer.Layer<LeafDecoder, never, Sids>]
  > = [
    ["beams with the answer", { answer: "replace" }, LeafDecoder.layerBeams()],
    ["stochastic beams with hints", { hintShare: 0.7, answer: "add" }, LeafDecoder.layerStochasticBeams()],
    ["samples that repeat", { answer: "add" }, LeafDecoder.layerSampling({ replacement: true })]
  ]
  for (const [name, options, decoder] of recipes) {
    it.effect(`learns: ${name}`, () =>
      Effect.gen(function*() {
        const [before, after] = yield* train(GroupRelative.make({ beta: 0 }), options, decoder)
        assert.isBelow(before!, 0.3)
        assert.isAbove(after!, 0.9)
      }))
  }

  it.effect("learns without log-probabilities of the draw by an objective that has no ratio, and only by such a one", () =>
    Effect.gen(function*() {
      const plain: Objective.GroupObjective = {
        name: "policy-gradient",
        needs: { behaviour: false, reference: false },
        scalars: {},
        loss: (groups) => ({
          loss: Objective.overCandidates(groups.logProbs.mul(groups.advantages.expandDims(1)), groups).neg(),
          terms: {}
        })
      }
      const options = { answer: "add", behaviour: false } as const
      const [, after] = yield* train(plain, options)
      assert.isAbove(after!, 0.9)
      const failed = yield* Effect.flip(train(GroupRelative.make({ beta: 0 }), options))
      assert.include(failed.message, "behaviour")
    }))
})
