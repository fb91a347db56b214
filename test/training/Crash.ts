/**
 * Training of a tiny policy that is cut off at an operation on its files and goes on, SFT and GRPO, with any optimizer.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { join } from "node:path"
import * as GrpoProgram from "../../programs/Grpo.ts"
import * as SftProgram from "../../programs/Sft.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Grpo from "../../src/grpo/Grpo.ts"
import { PolicyLearner } from "../../src/grpo/PolicyLearner.ts"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as Lion from "../../src/optimizer/Lion.ts"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { type Checkpoint, Checkpointer } from "../../src/run/Checkpointer.ts"
import { Progress } from "../../src/run/Progress.ts"
import { RunLog } from "../../src/run/RunLog.ts"
import * as Sft from "../../src/sft/Sft.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import * as TrainingState from "../../src/training/TrainingState.ts"
import { index, layer } from "../policy/Fixture.ts"
import * as FailingFiles from "../run/FailingFiles.ts"

const averaging = 0.9
const adamW = Schema.decodeSync(AdamW.AdamWConfig)({ averaging })

/** Optimizers by name: the fused one, and one with other slots for every group. */
export const optimizers: Readonly<Record<string, Optimizer.Optimizer>> = {
  "AdamW": Adam.adamW(adamW),
  "groups": Optimizer.of(
    Optimizer.groups(({ shape }) => shape.length > 1 ? "matrices" : "vectors", {
      matrices: Adam.adamW(adamW).transform,
      vectors: Optimizer.chain(Lion.lion(), Optimizer.averageWeights(0.5))
    })
  )
}

const sequences = Array.from(
  { length: 12 },
  (_, user) => Int32Array.from({ length: 3 + (user % 3) }, (_, i) => (user * 5 + i * 3) % index.sids.length)
)
const validation = sequences.map((items, user) => ({
  user,
  history: items.subarray(0, -1),
  target: items.at(-1)!
}))

type SftSettings = typeof Sft.SftConfig.Encoded

const sft = (optimizer: Optimizer.Optimizer, own: SftSettings) =>
  SftProgram.train(
    Schema.decodeSync(Sft.SftConfig)({
      epochs: 4,
      patience: 4,
      epochsPerValidation: 1,
      validationBeams: 3,
      learningRate: { peak: 0.1, warmupSteps: 0, decay: "constant" },
      optimizer: adamW,
      ...own
    }),
    { sequences, validation, historyExcluded: false },
    1,
    { optimizer }
  )

/** A supervised checkpoint: what is evaluated are the weights given. */
const supervised = (weights: ReadonlyMap<string, Safetensors.StoredTensor>): Checkpoint => ({
  kind: Sft.kind,
  step: 7,
  meta: { weightsVersion: 7 },
  tensors: new Map([...weights].map(([name, tensor]) => [`weights/${name}`, tensor]))
})

const grpo = (optimizer: Optimizer.Optimizer, reference: typeof ReferenceModel.layerFrozen) =>
  GrpoProgram.train(
    Schema.decodeSync(Grpo.GrpoConfig)({
      steps: 4,
      promptsPerStep: 4,
      groupSize: 4,
      stepsPerValidation: 1,
      validationBeams: 3,
      learningRate: { peak: 0.1, warmupSteps: 0, decay: "constant" },
      optimizer: adamW
    }),
    { sequences, validation, historyExcluded: false, origin: 7 },
    1
  ).pipe(Effect.provide(
    Layer.mergeAll(
      RolloutActor.layer({ groupSize: 4, historyExcluded: false }),
      RewardActor.layer([{ reward: RuleReward.layer, weight: 1 }]),
      reference,
      PolicyLearner.layer({ objective: GroupRelative.make({ beta: 0.1 }), optimizer, learningRate: () => 0.1 })
    ).pipe(Layer.provideMerge(PublishedWeights.layer))
  ))

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const digest = (checkpoint: Checkpoint | undefined) =>
  checkpoint === undefined
    ? undefined
    : { step: checkpoint.step, meta: checkpoint.meta, tensors: hash(Safetensors.encode(checkpoint.tensors)) }

/** What a run leaves: what is evaluated afterwards, its latest checkpoint and its best. */
interface Outcome {
  readonly evaluated: string
  readonly latest: ReturnType<typeof digest>
  readonly best: ReturnType<typeof digest>
}

/** Trains one phase in a folder, with the policy of the context begun anew, on a file system that fails. */
export const harness = Effect.fnUntraced(function*(
  phase: "sft" | "grpo",
  optimizer: Optimizer.Optimizer,
  reference: typeof ReferenceModel.layerFrozen,
  own: SftSettings = {}
) {
  const parameters = yield* PolicyParameters
  const files = yield* FileSystem.FileSystem
  const { weights } = yield* parameters.save
  const saverOf = (fileSystem: FileSystem.FileSystem, run: string) =>
    Effect.flatMap(Checkpointer, Effect.succeed).pipe(
      Effect.provide(
        Checkpointer.layer(run).pipe(
          Layer.provide(Layer.merge(Layer.succeed(FileSystem.FileSystem, fileSystem), Path.layer))
        )
      )
    )
  const train = Effect.fnUntraced(function*(fileSystem: FileSystem.FileSystem, run: string) {
    yield* TrainingState.begin(parameters, supervised(weights), adamW)
    const saver = yield* saverOf(fileSystem, run)
    const exit = yield* Effect.exit(
      (phase === "sft" ? Effect.asVoid(sft(optimizer, own)) : Effect.asVoid(grpo(optimizer, reference))).pipe(
        Effect.provide([
          Layer.succeed(Checkpointer, saver),
          RunLog.layerMemory,
          Progress.layerSilent,
          LeafDecoder.layerBeams({ batch: 4 })
        ])
      )
    )
    const { average, weights: last } = yield* parameters.save
    const evaluated = hash(Safetensors.encode(new Map([...last, ...average])))
    return { exit, evaluated }
  })
  const found = Effect.fnUntraced(function*(run: string) {
    const saver = yield* saverOf(files, run)
    return { latest: digest(yield* saver.latest(phase)), best: digest(yield* saver.best(phase)) }
  })
  return {
    /** What an undisturbed run comes to. */
    whole: Effect.fnUntraced(function*(run: string) {
      const { evaluated, exit } = yield* train(files, run)
      yield* exit
      const outcome: Outcome = { evaluated, ...(yield* found(run)) }
      return outcome
    }),
    /** Cuts a run off at an operation and goes on; undefined where the run has no such operation. */
    cut: Effect.fnUntraced(function*(run: string, fault: FailingFiles.Fault, at: number) {
      const { fileSystem, reached } = FailingFiles.make(files, fault, at)
      const { exit } = yield* train(fileSystem, run)
      if (!reached()) return undefined
      const between = yield* found(run)
      const { evaluated, exit: second } = yield* train(files, run)
      yield* second
      const outcome: Outcome = { evaluated, ...(yield* found(run)) }
      return { survived: exit._tag === "Success", between, outcome }
    })
  }
})

/**
 * Cuts training off at one operation of every `stride`, each time in a run of its own that goes on and ends as `whole`;
 * returns the number of cuts.
 */
export const cutAtEach = Effect.fnUntraced(function*(
  training: Effect.Success<ReturnType<typeof harness>>,
  folder: string,
  whole: Outcome,
  fault: FailingFiles.Fault,
  stride: number
) {
  const fs = yield* FileSystem.FileSystem
  for (let points = 0;; points++) {
    const at = points * stride
    const run = join(folder, String(at))
    const cut = yield* training.cut(run, fault, at)
    yield* fs.remove(run, { recursive: true, force: true })
    if (cut === undefined) return points
    const { between: { best, latest }, outcome } = cut
    // The best one is the one that the latest says was the best.
    assert.strictEqual(best?.meta["best"], latest?.meta["best"], `operation ${at}`)
    assert.strictEqual(best?.meta["bestEpoch"], latest?.meta["bestEpoch"], `operation ${at}`)
    assert.deepStrictEqual(outcome, whole, `operation ${at}`)
  }
})

/** Phases with what differs from the defaults. */
const cases: ReadonlyArray<{
  readonly phase: "sft" | "grpo"
  readonly reference?: typeof ReferenceModel.layerFrozen
  readonly own?: SftSettings
  readonly only?: string
  readonly more?: string
}> = [
  { phase: "sft" },
  {
    phase: "sft",
    own: { averagedCheckpoints: 3, augmentation: { itemDrop: 0.2, subSequence: 0.3 } },
    only: "AdamW",
    more: ", augmented, averaged checkpoints"
  },
  { phase: "grpo" },
  {
    phase: "grpo",
    reference: ReferenceModel.layerMixup({ every: 2, alpha: 0.6 }),
    only: "AdamW",
    more: ", moving reference"
  }
]

/** Every phase with every optimizer, cut off at every operation on its files, or at one of `stride`. */
export const atEvery = (fault: FailingFiles.Fault, stride = 1): void => {
  const which = stride === 1 ? "every operation" : `every ${stride}th operation`
  describe(`training that is cut off at a file operation (${fault}) and goes on`, () => {
    for (
      const { more = "", only, own, phase, reference = ReferenceModel.layerFrozen } of cases
    ) {
      for (const [name, optimizer] of Object.entries(optimizers)) {
        if (only !== undefined && name !== only) continue
        it.effect(`ends as if it had not been, at ${which}: ${phase}, ${name}${more}`, () =>
          Effect.gen(function*() {
            const folder = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
            const training = yield* harness(phase, optimizer, reference, own)
            const whole = yield* training.whole(join(folder, "whole"))
            // A kept average is in the latest checkpoint; else the best is another one.
            assert.strictEqual(whole.latest!.step === whole.best!.step, own !== undefined)
            assert.isAbove(stride * (yield* cutAtEach(training, folder, whole, fault, stride)), 50)
          }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, layer()])))
      }
    }
  })
}
