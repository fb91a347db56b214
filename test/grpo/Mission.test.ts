/**
 * Every part of GRPO is swapped for another, in this process, in memory, without the directory of a run.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Grpo from "../../programs/Grpo.ts"
import * as Sft from "../../programs/Sft.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as PolicyRanking from "../../src/evaluation/PolicyRanking.ts"
import { GrpoConfig } from "../../src/grpo/Grpo.ts"
import { PolicyLearner } from "../../src/grpo/PolicyLearner.ts"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { PolicyModel, type ScoredGroup } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import * as PrefixReward from "../../src/reward/PrefixReward.ts"
import { Reward } from "../../src/reward/Reward.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { RunLog } from "../../src/run/RunLog.ts"
import { SftConfig } from "../../src/sft/Sft.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { config as tiny } from "../policy/Fixture.ts"

const items = 20
const sequences = Array.from(
  { length: 40 },
  (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % items)
)
const validation = sequences.map((all, user) => ({ user, history: all.subarray(0, 5), target: all[5]! }))
const data = { sequences, validation, historyExcluded: true }

/** SIDs of which some begin others. */
const prefixed = SidIndex.make(
  Array.from({ length: items }, (_, i) => Int32Array.from([i % 5, Math.floor(i / 5), i % 3].slice(0, 1 + i % 3))),
  [5, 4, 3],
  "keep"
)
const catalogues = [["three codes", Testing.index(items)], ["SIDs that begin others", prefixed]] as const

const grpo = Schema.decodeSync(GrpoConfig)({
  steps: 4,
  promptsPerStep: 12,
  groupSize: 6,
  beta: 0.1,
  stepsPerValidation: 2,
  learningRate: { peak: 0.05, warmupSteps: 1, floor: 1 }
})
const sft = Schema.decodeSync(SftConfig)({
  epochs: 6,
  patience: 6,
  epochsPerValidation: 2,
  learningRate: { peak: 0.1, warmupSteps: 1, floor: 1 },
  optimizer: { averaging: 0, weightDecay: 0 }
})

/** The counting policy with its parameters, a decoder and run services in memory. */
const policy = (index = Testing.index(items)) =>
  PolicyParameters.layer.pipe(
    Layer.merge(LeafDecoder.layerBeams()),
    Layer.provideMerge(CountingPolicy.layer()),
    Layer.provideMerge(Layer.mergeAll(Sids.layer(index), Testing.layerRun, Testing.layerNoTensors))
  )

const withRewards = (rewards: Layer.Layer<RewardActor, never, Sids>) => {
  const others = Layer.mergeAll(
    RolloutActor.layer({ groupSize: grpo.groupSize, historyExcluded: true }),
    ReferenceModel.layerFrozen,
    PolicyLearner.layer({
      objective: GroupRelative.make({ beta: grpo.beta }),
      optimizer: Adam.adamW(grpo.optimizer),
      learningRate: () => 0.05
    }),
    rewards
  )
  return others.pipe(Layer.provideMerge(PublishedWeights.layer), Layer.provideMerge(policy()))
}

const rules = [{ reward: RuleReward.layer, weight: 1 }]
const actors = Grpo.actors(grpo, rules, { historyExcluded: true })
const run = Grpo.train(grpo, data, 1)

describe("GRPO in this process", () => {
  for (const [name, index] of catalogues) {
    it.effect(`and SFT, beams and evaluation run on a policy that counts: ${name}`, () =>
      Effect.gen(function*() {
        const log = yield* RunLog
        const supervised = yield* Sft.train(sft, data, 1)
        assert.strictEqual(supervised.epochs, 6)
        const report = yield* Grpo.train(grpo, data, 1).pipe(Effect.provide(actors))
        assert.strictEqual(report.steps, 4)
        assert.isAtLeast(report.bestNdcg, report.startNdcg)
        assert.closeTo(report.startNdcg, supervised.bestNdcg, 1e-12)
        const { events } = yield* log.read
        const losses = events.flatMap(({ fields, kind }) => kind === "sft.step" ? [Number(fields["loss"])] : [])
        assert.isBelow(losses.at(-1)!, 0.5 * losses[0]!)
        assert.strictEqual(events.filter(({ kind }) => kind === "grpo.step").length, 4)
        const store = yield* PolicyParameters
        const weights = yield* store.evaluation
        const ranked = yield* PolicyRanking.rankAll(validation, weights, { beams: 40, historyExcluded: false })
        assert.isAbove(PolicyRanking.meanNdcg(ranked, 10), 0.9)
        for (const { ranked: { logProbs } } of ranked) {
          assert.closeTo(logProbs.reduce((sum, logProb) => sum + Math.exp(logProb), 0), 1, 1e-4)
        }
      }).pipe(Effect.scoped, Effect.provide(policy(index))))

    it.effect(`the counting policy has the gradients of its losses (finite differences): ${name}`, () =>
      Effect.gen(function*() {
        const model = yield* PolicyModel
        const store = yield* PolicyParameters
        const { space } = yield* Sids
        const weights = { version: 0, feeds: store.buffer.tensors("weights") }
        const prompt = Prompt.ofItems(Int32Array.of(3))
        const leaves = Int32Array.of(0, 1, 2, 7).map((item) => space.leaf(item))
        const [reference] = yield* model.score([{ prompt, leaves }], weights)
        const scored: ScoredGroup = {
          prompt,
          leaves,
          advantages: Float32Array.of(1, -1, 0.5, -0.3),
          behaviour: Array.from(leaves, (leaf) => Testing.evenSteps(space, leaf)),
          reference: { ...reference!, logProbs: reference!.logProbs.map((logProb, i) => logProb - 0.3 * Math.sin(i)) }
        }
        const objective = GroupRelative.make({ beta: 0.4 })
        // A loss over all children of all nodes, which GRPO does not look at.
        const entropy = {
          name: "entropy",
          needs: { behaviour: false, reference: false },
          scalars: {},
          loss: ({ nodes: { legal, logProbs } }: Parameters<typeof objective.loss>[0]) => ({
            loss: logProbs.exp().mul(logProbs).mul(legal).sum(),
            terms: {}
          })
        }
        for (const loss of [objective, entropy]) {
          const gradient = yield* model.groupGradient(loss)
          const value = gradient.accumulate(store, [{ batch: [scored] }], { seed: 0, step: 0 })
          yield* value
          const found = store.buffer.view("gradients", "table").slice()
          const table = store.buffer.view("weights", "table")
          const touched = Array.from(found.keys()).filter((i) => Math.abs(found[i]!) > 1e-3).slice(0, 12)
          assert.isAbove(touched.length, 4)
          for (const i of touched) {
            const kept = table[i]!
            table[i] = kept + 1e-2
            const above = (yield* value).loss
            table[i] = kept - 1e-2
            const below = (yield* value).loss
            table[i] = kept
            assert.closeTo(found[i]!, (above - below) / 2e-2, 1e-3)
          }
        }
      }).pipe(Effect.scoped, Effect.provide(policy(index))))
  }

  it.effect("runs on another policy unchanged", () =>
    Effect.gen(function*() {
      const supervised = yield* Sft.train({ ...sft, epochs: 2 }, data, 1)
      assert.strictEqual(supervised.epochs, 2)
      const report = yield* run.pipe(Effect.provide(actors))
      assert.strictEqual(report.steps, 4)
    }).pipe(
      Effect.provide(
        PolicyParameters.layer.pipe(
          Layer.merge(LeafDecoder.layerBeams()),
          Layer.provideMerge(FlatPolicy.layer(tiny, 1)),
          Layer.provideMerge(
            Layer.mergeAll(Sids.layer(prefixed), Testing.layerRun, OnnxRuntime.layerCpu({ threads: 1 }))
          )
        )
      )
    ))

  it.effect("ends with a typed error when a reward fails, and goes on from the last checkpoint when it works again", () =>
    Effect.gen(function*() {
      const fake = Testing.reward("shaky", ({ hits }) => hits.map((hit) => (hit ? 1 : 0)))
      yield* Effect.gen(function*() {
        fake.failNext(1)
        const failed = yield* Effect.flip(run)
        assert.strictEqual(failed._tag, "RewardError")
        assert.include(failed.message, "shaky")
        const report = yield* run
        assert.strictEqual(report.steps, 4)
        assert.strictEqual(fake.calls.length, 5)
      }).pipe(Effect.provide(withRewards(RewardActor.layer([{ reward: fake.reward, weight: 1 }]))))
    }))

  it.live("does not wait for a reward that hangs longer than it may, and can be interrupted while it waits", () =>
    Effect.gen(function*() {
      const fake = Testing.reward("slow", 1)
      fake.delay("Infinity")
      const rewards = [{ reward: fake.reward, weight: 1 }]
      const late = yield* Effect.flip(
        run.pipe(Effect.provide(withRewards(RewardActor.layer(rewards, { timeout: "20 millis" }))))
      )
      assert.strictEqual(late._tag === "RewardError" ? late.reason._tag : late._tag, "TooSlow")
      assert.include(late.message, "20ms")
      const waiting = yield* run.pipe(
        Effect.provide(withRewards(RewardActor.layer(rewards))),
        Effect.forkChild
      )
      while (fake.calls.length < 2) yield* Effect.sleep("5 millis")
      yield* Fiber.interrupt(waiting)
    }))

  it.effect("refuses a reward that is not a number, and says whose", () =>
    Effect.gen(function*() {
      const fake = Testing.reward("broken", Number.NaN)
      const bad = yield* Effect.flip(
        run.pipe(Effect.provide(withRewards(RewardActor.layer([{ reward: fake.reward, weight: 1 }]))))
      )
      assert.strictEqual(bad._tag === "RewardError" ? bad.reason._tag : bad._tag, "NotFinite")
      assert.include(bad.message, "\"broken\"")
      const thrown = Reward.layer("thrown", () => {
        throw new Error("no connection")
      })
      const failed = yield* Effect.flip(
        run.pipe(Effect.provide(withRewards(RewardActor.layer([{ reward: thrown, weight: 1 }]))))
      )
      assert.include(failed.message, "no connection")
    }))

  const broken = {
    "throws": Reward.layer("broken", () => {
      throw new Error("no connection")
    }),
    "answers NaN": Reward.layer("broken", ({ items }) => Array.from(items, () => NaN)),
    "answers too few numbers": Reward.layer("broken", ({ items }) => Array.from(items).slice(1)),
    "forgets a group": Reward.layerBatch(
      "broken",
      (groups) => Effect.succeed(groups.slice(1).map(({ items }) => Array.from(items)))
    ),
    "is late": Reward.layer("broken", ({ items }) => Effect.as(Effect.sleep("1 second"), Array.from(items)))
  }
  for (const [name, reward] of Object.entries(broken)) {
    it.live(`a reward that ${name} ends the training with a typed error, or is left out where that is its policy`, () =>
      Effect.gen(function*() {
        const kept = [...rules, { reward, weight: 1, timeout: "100 millis" }] as const
        const failed = yield* Effect.flip(run.pipe(Effect.provide(withRewards(RewardActor.layer(kept)))))
        assert.strictEqual(failed._tag, "RewardError")
        assert.include(failed.message, "\"broken\"")
        const left = [...rules, { reward, weight: 1, timeout: "100 millis", onFailure: "notApplicable" }] as const
        yield* Effect.gen(function*() {
          assert.strictEqual((yield* run).steps, 4)
          const { events } = yield* (yield* RunLog).read
          const steps = events.filter(({ kind }) => kind === "grpo.step")
          assert.deepStrictEqual(steps.map(({ step }) => step), [1, 2, 3, 4])
          for (const { fields } of steps) {
            assert.notProperty(fields, "reward.broken")
            assert.property(fields, "reward.rule")
          }
        }).pipe(Effect.provide(withRewards(RewardActor.layer(left))))
      }))
  }

  it.effect("takes a reward with needs of its own from the services of the run", () =>
    Effect.gen(function*() {
      const report = yield* run.pipe(
        Effect.provide(
          Grpo.actors(grpo, [{ reward: PrefixReward.layer(), weight: 1 }], { historyExcluded: true })
        )
      )
      assert.strictEqual(report.steps, 4)
      const { events } = yield* (yield* RunLog).read
      assert.isTrue(events.some(({ fields }) => Number(fields["reward.prefix"]) > 0))
    }).pipe(Effect.provide(policy())))

  for (const [name, index] of catalogues) {
    it.effect(`takes rollouts from another actor, and its failure as a typed error: ${name}`, () =>
      Effect.gen(function*() {
        const fake = Testing.rollouts(Testing.firstLeaves(5))
        const swapped = Layer.mergeAll(
          fake.layer,
          RewardActor.layer(rules),
          ReferenceModel.layerFrozen,
          PolicyLearner.layer({
            objective: GroupRelative.make({ beta: 0 }),
            optimizer: Adam.adamW(grpo.optimizer),
            learningRate: () => 0.05
          })
        ).pipe(Layer.provideMerge(PublishedWeights.layer), Layer.provideMerge(policy(index)))
        yield* Effect.gen(function*() {
          fake.failNext(1)
          const failed = yield* Effect.flip(run)
          assert.strictEqual(failed._tag, "RolloutError")
          assert.strictEqual((yield* run).steps, 4)
          assert.deepStrictEqual(fake.calls.map(([, step]) => step), [1, 1, 2, 3, 4])
        }).pipe(Effect.provide(swapped))
      }))
  }

  it.effect("tells a hook of every step, and stops where a rule says so", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const report = yield* Grpo.train(grpo, data, 1, {
        onStep: ({ step }) => Effect.sync(() => void seen.push(step)),
        stop: (_, step) => step === 3
      }).pipe(Effect.provide(actors))
      assert.deepStrictEqual([report.steps, seen], [3, [1, 2, 3]])
      const losses: Array<number> = []
      const supervised = yield* Sft.train(sft, data, 1, {
        onStep: ({ loss }) => Effect.sync(() => void losses.push(loss)),
        stop: (_, epoch) => epoch === 1
      })
      assert.deepStrictEqual([supervised.epochs, supervised.stoppedEarly], [1, true])
      assert.strictEqual(losses.length, supervised.steps)
      const refused = yield* Effect.flip(
        Grpo.train(grpo, data, 1, { onStep: () => Effect.fail("enough") }).pipe(
          Effect.provide(actors)
        )
      )
      assert.strictEqual(refused, "enough")
    }).pipe(Effect.provide(policy())))
})

describe("PublishedWeights", () => {
  it.effect("keeps a version for as long as someone reads it, and releases it then", () =>
    Effect.gen(function*() {
      const alive = new Set<number>()
      const version = (number: number) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            alive.add(number)
            return { version: number, feeds: {} }
          }),
          () => Effect.sync(() => void alive.delete(number))
        )
      yield* Effect.gen(function*() {
        const published = yield* PublishedWeights
        yield* Effect.scoped(Effect.gen(function*() {
          const first = yield* published.current
          yield* published.publish(version(2))
          yield* published.publish(version(3))
          assert.deepStrictEqual([first.version, [...alive]], [1, [1, 3]])
          assert.strictEqual((yield* published.current).version, 3)
          const failed = yield* Effect.flip(published.publish(Effect.andThen(version(9), Effect.fail("full"))))
          assert.strictEqual(failed, "full")
          assert.deepStrictEqual([...alive], [1, 3])
        }))
        assert.deepStrictEqual([...alive], [3])
        const waiting = yield* Effect.forkChild(Effect.scoped(Effect.map(published.atLeast(5), (one) => one.version)))
        yield* published.publish(version(4))
        yield* published.publish(version(6))
        assert.strictEqual(yield* Fiber.join(waiting), 6)
      }).pipe(Effect.provide(PublishedWeights.layerOf(version(1))))
      assert.deepStrictEqual([...alive], [])
    }))
})

describe("Testing", () => {
  it.effect("fakes fit SIDs of any length, and even steps are a distribution", () =>
    Effect.gen(function*() {
      for (const index of [Testing.index(30, 1), Testing.index(30, 4), Testing.index(30, 16), prefixed]) {
        const space = LeafSpace.ofTrie(index.trie)
        const leaves = Testing.firstLeaves(1000)(space)
        assert.deepStrictEqual(new Set(leaves), new Set(index.leafOf))
        const sum = leaves.reduce(
          (total, leaf) => total + Math.exp(Testing.evenSteps(space, leaf).reduce((a, b) => a + b, 0)),
          0
        )
        assert.closeTo(sum, 1, 1e-6)
      }
      const runtime = yield* TensorRuntime
      assert.strictEqual((yield* runtime.usage).executables, 0)
    }).pipe(Effect.provide(Testing.layerNoTensors)))
})
