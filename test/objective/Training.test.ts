/**
 * Policies train with every objective, in several optimizer steps per batch, computed at once or in parts.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Advantage from "../../src/grpo/Advantage.ts"
import * as PolicyLearner from "../../src/grpo/PolicyLearner.ts"
import * as Prompts from "../../src/grpo/Prompts.ts"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import * as RolloutActor from "../../src/grpo/RolloutActor.ts"
import * as AnswerLikelihood from "../../src/objective/loss/AnswerLikelihood.ts"
import * as ApproxNdcg from "../../src/objective/loss/ApproxNdcg.ts"
import * as Dapo from "../../src/objective/loss/Dapo.ts"
import * as Distillation from "../../src/objective/loss/Distillation.ts"
import * as DrGrpo from "../../src/objective/loss/DrGrpo.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as LambdaLoss from "../../src/objective/loss/LambdaLoss.ts"
import * as TopLeaves from "../../src/objective/loss/TopLeaves.ts"
import * as Objective from "../../src/objective/Objective.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import { AdamWConfig } from "../../src/optimizer/AdamW.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { PolicyModel, type ScoredGroup } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { distance } from "../Golden.ts"
import { config, enliven, index as fixture } from "../policy/Fixture.ts"
import * as Every from "./Every.ts"

/** Users who walk through the items, always to the next one. */
const items = 12
const sequences = Array.from({ length: 24 }, (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % items))
const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({ weightDecay: 0, averaging: 0 }))

const policy = PublishedWeights.layer.pipe(
  Layer.merge(LeafDecoder.layerBeams()),
  Layer.provideMerge(PolicyParameters.layer),
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.merge(Sids.layer(Testing.index(items)), Testing.layerNoTensors))
)

const layerOf = (options: Partial<PolicyLearner.LearnerOptions> & { readonly objective: Objective.GroupObjective }) =>
  Layer.mergeAll(
    RolloutActor.RolloutActor.layer({ groupSize: 11, historyExcluded: true }),
    RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }]),
    ReferenceModel.layerFrozen,
    PolicyLearner.PolicyLearner.layer({ optimizer, learningRate: () => 0.1, ...options })
  ).pipe(Layer.provideMerge(policy))

/** Draws a batch with its rewards. */
const draw = Effect.fnUntraced(function*(step: number, mode: Advantage.Mode) {
  const actor = yield* RolloutActor.RolloutActor
  const rollouts = yield* actor.generate(Prompts.draw(sequences, 18, [1, step]), step)
  const rewards = yield* (yield* RewardActor).score(rollouts.map(RolloutActor.rewardGroup))
  return Advantage.assign(rollouts, rewards, { mode })
})

describe("a policy that counts", () => {
  for (const [name, own] of Object.entries(Every.objectives)) {
    // Weights that change with the policy make the value of these two no measure: the answer, the one rewarded, is.
    const indirect = ["lambda-loss", "cispo"].includes(own.name)
    const objective = indirect
      ? Objective.sum([{ objective: own, weight: 1 }, { objective: AnswerLikelihood.make(), weight: 0 }])
      : own
    it.effect(`lowers the loss of a batch in every pass: ${name}`, () =>
      Effect.gen(function*() {
        const learner = yield* PolicyLearner.PolicyLearner
        const drawn = (yield* draw(1, "raw")).filter(Advantage.carriesSignal)
        assert.isAbove(drawn.length, 4)
        // Candidates of another policy and a reference apart, so that ratios and divergences count.
        const shift = (value: number, i: number) => value - 0.1 - 0.1 * Math.sin(i)
        const groups = drawn.map((group) => ({
          ...group,
          rollout: { ...group.rollout, behaviour: group.rollout.behaviour!.map((steps) => steps.map(shift)) }
        }))
        const references = learner.needs.reference
          ? (yield* (yield* ReferenceModel).score(PolicyLearner.candidates(groups))).map((tree) => ({
            ...tree,
            logProbs: tree.logProbs.map(shift)
          }))
          : []
        const losses: Array<number> = []
        for (let pass = 1; pass <= 6; pass++) {
          const { terms } = yield* learner.step(groups, references, pass)
          losses.push(terms[indirect ? "answer" : "loss"]!)
        }
        for (const [pass, loss] of losses.entries()) if (pass > 0) assert.isBelow(loss, losses[pass - 1]!)
      }).pipe(Effect.provide(layerOf({ objective, learningRate: () => 0.005 }))))
  }

  const anchored = (objective: Objective.GroupObjective) =>
    Objective.sum([{ objective, weight: 1 }, { objective: AnswerLikelihood.make(), weight: 0.2 }])
  const recipes: ReadonlyArray<readonly [string, Advantage.Mode, Objective.GroupObjective]> = [
    ["GRPO", "group", GroupRelative.make({ beta: 0.01, divergence: "exact" })],
    ["Dr. GRPO", "centred", DrGrpo.make({ beta: 0 })],
    ["DAPO", "leave-one-out", Dapo.make()],
    ["distillation", "raw", Distillation.make({ temperature: 0.2 })],
    ["top leaves", "raw", TopLeaves.make()],
    ["LambdaLoss", "raw", LambdaLoss.make()],
    ["anchored ApproxNDCG", "raw", anchored(ApproxNdcg.make())]
  ]
  for (const [name, mode, objective] of recipes) {
    it.effect(`learns what comes next by ${name}, in several steps per batch`, () =>
      Effect.gen(function*() {
        const learner = yield* PolicyLearner.PolicyLearner
        const reference = yield* ReferenceModel
        const firstHits: Array<number> = []
        for (let step = 1; step <= 16; step++) {
          const all = yield* draw(step, mode)
          firstHits.push(all.filter(({ rollout: { hits } }) => hits[0]).length / all.length)
          const groups = all.filter(Advantage.carriesSignal)
          if (groups.length === 0) continue
          const references = learner.needs.reference
            ? yield* reference.score(PolicyLearner.candidates(groups))
            : []
          const report = yield* learner.step(groups, references, step)
          assert.isTrue(Object.values(report.terms).every(Number.isFinite))
        }
        const late = firstHits.slice(-3).reduce((a, b) => a + b, 0) / 3
        assert.isBelow(firstHits[0]!, 0.3)
        assert.isAbove(late, 0.9)
      }).pipe(Effect.provide(layerOf({ objective, innerSteps: 3 }))))
  }
})

describe("PolicyLearner", () => {
  it.effect("counts optimizer steps over all batches, passes and parts, and reports means", () => {
    const rates: Array<number> = []
    const seen = { objective: GroupRelative.make({ beta: 0.1 }), innerSteps: 3, minibatches: 2 }
    const learningRate = (step: number) => {
      rates.push(step)
      return 0.2
    }
    return Effect.gen(function*() {
      const learner = yield* PolicyLearner.PolicyLearner
      const groups = (yield* draw(1, "group")).filter(Advantage.carriesSignal)
      const references = yield* (yield* ReferenceModel).score(PolicyLearner.candidates(groups))
      assert.strictEqual(PolicyLearner.stepsPerBatch(seen), 6)
      const first = yield* learner.step(groups, references, 1)
      assert.deepStrictEqual(rates, [1, 2, 3, 4, 5, 6])
      assert.strictEqual(first.version, 6)
      // The policy has left the reference and the behaviour after the first optimizer step.
      assert.isAbove(first.terms["kl"]!, 1e-4)
      assert.isAbove(first.terms["clipped"]!, 0)
      // A batch of one group has one part.
      yield* learner.step(groups.slice(0, 1), references.slice(0, 1), 3)
      assert.deepStrictEqual(rates.slice(6), [13, 14, 15])
      const published = yield* Effect.scoped(Effect.flatMap(PublishedWeights, ({ current }) => current))
      assert.strictEqual(published.version, 9)
    }).pipe(Effect.provide(layerOf({ ...seen, learningRate })))
  })

  it.effect("does one step on the whole batch as its passes one after the other do", () => {
    const train = (innerSteps: number, calls: number) =>
      Effect.gen(function*() {
        const learner = yield* PolicyLearner.PolicyLearner
        const groups = (yield* draw(1, "group")).filter(Advantage.carriesSignal)
        const terms: Array<number> = []
        for (let call = 1; call <= calls; call++) terms.push((yield* learner.step(groups, [], call)).terms["loss"]!)
        const { buffer } = yield* PolicyParameters
        return { weights: buffer.flat("weights").slice(), loss: terms.reduce((a, b) => a + b, 0) / calls }
      }).pipe(
        Effect.provide(
          Layer.fresh(layerOf({ objective: Dapo.make(), innerSteps, learningRate: (step) => 0.01 * step }))
        )
      )
    return Effect.gen(function*() {
      const [together, apart] = [yield* train(4, 1), yield* train(1, 4)]
      assert.deepStrictEqual(together.weights, apart.weights)
      assert.closeTo(together.loss, apart.loss, 1e-6)
    })
  })

  it.effect("fails with a typed error where the reference is missing, and changes nothing", () =>
    Effect.gen(function*() {
      const learner = yield* PolicyLearner.PolicyLearner
      assert.deepStrictEqual(learner.needs, { behaviour: true, reference: true })
      const groups = yield* draw(1, "group")
      const { buffer } = yield* PolicyParameters
      const before = buffer.flat("weights").slice()
      const error = yield* Effect.flip(learner.step(groups, [], 1))
      assert.strictEqual(error._tag, "LearnerError")
      assert.include(error.message, "reference")
      assert.include(error.message, "group 0")
      assert.deepStrictEqual(buffer.flat("weights"), before)
    }).pipe(Effect.provide(layerOf({ objective: GroupRelative.make({ beta: 0.1 }) }))))
})

describe("a flat policy", () => {
  const everything = Objective.sum(
    Object.values(Every.objectives).filter(({ name }) => !name.includes("+")).map((objective, i) => ({
      objective: { ...objective, name: `${objective.name}.${i}` },
      weight: 1 + 0.1 * i
    }))
  )
  const groups = [[0], [3, 4], [1, 5, 2], [7]].map((history, g) => ({
    prompt: Prompt.ofItems(Int32Array.from(history)),
    leaves: Int32Array.from(new Set(fixture.leafOf)).slice(0, 9 - 2 * g)
  }))

  it.effect("computes every objective at once or in parts with one result", () => {
    const within = (attention?: number) =>
      Effect.gen(function*() {
        const model = yield* PolicyModel
        const store = yield* PolicyParameters
        const { space } = yield* Sids
        const scores = yield* model.score(groups, yield* enliven)
        const scored = groups.map((group, g): ScoredGroup => ({
          ...group,
          advantages: Float32Array.from(group.leaves, (leaf) => Math.sin(leaf + g)),
          behaviour: Array.from(group.leaves, (leaf) => Testing.evenSteps(space, leaf)),
          reference: { ...scores[g]!, logProbs: scores[g]!.logProbs.map((value, i) => value - 0.1 * Math.cos(i)) },
          answer: Array.from(group.leaves, (_, c) => c === 2)
        }))
        const gradient = yield* model.groupGradient(everything)
        const terms = yield* gradient.accumulate(store, [{ batch: scored }], { seed: 0, step: 0 })
        return { terms, gradients: store.buffer.flat("gradients").slice() }
      }).pipe(
        Effect.scoped,
        Effect.provide(
          PolicyParameters.layer.pipe(
            Layer.provideMerge(FlatPolicy.layer(config, 11, attention)),
            Layer.provideMerge(Sids.layer(fixture)),
            Layer.orDie,
            Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
          )
        )
      )
    return Effect.gen(function*() {
      const whole = yield* within()
      assert.closeTo(whole.terms["answered"]!, 1, 1e-6)
      assert.isAbove(Object.keys(whole.terms).length, 30)
      const largest = whole.gradients.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      for (const attention of [1, 900]) {
        const parts = yield* within(attention)
        assert.isBelow(distance(parts.gradients, whole.gradients), 1e-5 * Math.max(1, largest))
        for (const [name, value] of Object.entries(whole.terms)) {
          assert.closeTo(parts.terms[name]!, value, 1e-5 * Math.max(1, Math.abs(value)), name)
        }
      }
    })
  }, 240_000)

  it.effect("needs no reference and no behaviour where the objective needs none", () =>
    Effect.gen(function*() {
      const model = yield* PolicyModel
      const store = yield* PolicyParameters
      const bare = groups.map((group, g): ScoredGroup => ({
        ...group,
        advantages: Float32Array.from(group.leaves, (leaf) => Math.sin(leaf + g))
      }))
      const free = yield* model.groupGradient(Distillation.make({ reference: false }))
      const terms = yield* free.accumulate(store, [{ batch: bare }], { seed: 0, step: 0 })
      assert.isAbove(terms["forward"]!, 0)
      const bound = yield* model.groupGradient(Distillation.make())
      const error = yield* Effect.flip(bound.accumulate(store, [{ batch: bare }], { seed: 0, step: 0 }))
      assert.strictEqual(error.reason._tag, "MissingLogProbs")
      assert.include(error.message, "distillation")
    }).pipe(
      Effect.scoped,
      Effect.provide(
        PolicyParameters.layer.pipe(
          Layer.provideMerge(FlatPolicy.layer(config, 11)),
          Layer.provideMerge(Sids.layer(fixture)),
          Layer.orDie,
          Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
        )
      )
    ))
})
