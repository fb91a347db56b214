import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Grpo from "../../programs/Grpo.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import { GrpoConfig, kind } from "../../src/grpo/Grpo.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { type Answer, Reward } from "../../src/reward/Reward.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import { RunLog } from "../../src/run/RunLog.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"

const items = 20
const sequences = Array.from(
  { length: 40 },
  (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % items)
)
const validation = sequences.map((all, user) => ({ user, history: all.subarray(0, 5), target: all[5]! }))
const config = Schema.decodeSync(GrpoConfig)({
  steps: 5,
  promptsPerStep: 12,
  groupSize: 6,
  stepsPerValidation: 1,
  learningRate: { peak: 0.05, warmupSteps: 1, floor: 1 }
})

type Batch = Effect.Effect<ReadonlyArray<Answer>, unknown>

/** Trains in a folder with the rule, which answers for batch number `at` as `fault` says. */
const train = (run: string, fault?: (usual: Batch) => Batch, at = 3) =>
  Effect.suspend(() => {
    let batch = 0
    const reward = Reward.layerBatch("rule", (groups) => {
      const usual = Effect.succeed(groups.map(({ hits }) => hits.map((hit) => hit ? 1 : 0)))
      return ++batch === at && fault !== undefined ? fault(usual) : usual
    })
    return Grpo.train(config, { sequences, validation, historyExcluded: true }, 1).pipe(
      Effect.provide(
        Grpo.actors(config, [{ reward, weight: 1, timeout: "250 millis" }], { historyExcluded: true }).pipe(
          Layer.provideMerge(PolicyParameters.layer),
          Layer.provideMerge(Layer.merge(CountingPolicy.layer(), LeafDecoder.layerBeams())),
          Layer.provideMerge(
            Layer.mergeAll(
              Sids.layer(Testing.index(items)),
              Testing.layerNoTensors,
              Testing.layerRun,
              Checkpointer.layer(run),
              RunLog.layer(run)
            )
          )
        )
      )
    )
  })

/** The checkpoints of a folder, and the steps in its log. */
const left = (run: string) =>
  Effect.gen(function*() {
    const checkpointer = yield* Checkpointer
    const digest = (one: Effect.Success<ReturnType<typeof checkpointer.latest>>) =>
      one && {
        step: one.step,
        meta: one.meta,
        tensors: createHash("sha256").update(Safetensors.encode(one.tensors)).digest("hex")
      }
    const { events, torn } = yield* (yield* RunLog).read
    const steps = events.filter((event) => event.kind === "grpo.step")
    return {
      latest: digest(yield* checkpointer.latest(kind)),
      best: digest(yield* checkpointer.best(kind)),
      torn,
      steps: steps.map(({ step }) => step),
      // Seconds differ from run to run.
      last: Object.fromEntries(
        Object.entries(steps.at(-1)?.fields ?? {}).filter(([name]) => !name.startsWith("seconds."))
      )
    }
  }).pipe(Effect.provide(Layer.merge(Checkpointer.layer(run), RunLog.layer(run))))

const faults: Readonly<Record<string, readonly [tag: string, fault: (usual: Batch) => Batch]>> = {
  "throws": ["RewardFailed", () => {
    throw new Error("no connection")
  }],
  "dies": ["RewardFailed", () => Effect.die("a bug")],
  "hangs": ["TooSlow", () => Effect.never],
  "is late": ["TooSlow", (usual) => Effect.delay(usual, "600 millis")],
  "answers NaN": ["NotFinite", Effect.map((scores) => scores.map((some) => some && Array.from(some, () => NaN)))],
  "answers too few numbers": ["WrongCount", Effect.map((scores) => scores.map((some) => some && some.slice(1)))],
  "answers for too few groups": ["WrongCount", Effect.map((scores) => scores.slice(1))],
  "answers for too many groups": ["WrongGroups", Effect.map((scores) => [...scores, null])]
}

describe("the folder of a run whose reward misbehaves", () => {
  for (const [name, [tag, fault]] of Object.entries(faults)) {
    it.live(`stays whole, and training goes on to the same weights: a reward that ${name}`, () =>
      Effect.gen(function*() {
        const files = yield* FileSystem.FileSystem
        const whole = yield* files.makeTempDirectoryScoped()
        const run = yield* files.makeTempDirectoryScoped()
        yield* train(whole)
        const failed = yield* Effect.flip(train(run, fault))
        assert.strictEqual(failed._tag === "RewardError" ? failed.reason._tag : failed._tag, tag)
        const between = yield* left(run)
        assert.deepStrictEqual([between.latest?.step, between.steps, between.torn], [2, [1, 2], 0])
        yield* train(run)
        const expected = yield* left(whole)
        assert.deepStrictEqual(yield* left(run), expected)
        assert.deepStrictEqual(expected.steps, [1, 2, 3, 4, 5])
        assert.isAbove(Number(expected.last["usableGroupShare"]), 0)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }
})
