/**
 * Checkpoints saved on a file system that fails.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { join } from "node:path"
import * as Checkpoints from "../../src/run/Checkpointer.ts"
import { Checkpointer, type NewCheckpoint } from "../../src/run/Checkpointer.ts"
import * as FailingFiles from "./FailingFiles.ts"

/** A checkpoint of one tensor. */
export const checkpoint = (step: number, best: boolean, kind = "sft"): NewCheckpoint => ({
  kind,
  step,
  best,
  meta: { step, note: "x" },
  tensors: new Map([["w", { dtype: "F32", shape: [2, 2], data: Float32Array.of(step, 1, 2, 3) }]])
})

/** Uses a folder that is removed afterwards. */
export const inFolder = <A, E, R>(use: (folder: string) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* use(yield* fs.makeTempDirectoryScoped())
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

/** Saving fails at every operation, or at every one of a stride. */
export const savedAtEach = (fault: FailingFiles.Fault, stride = 1): void => {
  const which = stride === 1 ? "each of its file operations" : `every ${stride}th of its file operations`
  it.effect(`Checkpointer at ${which} (${fault}), leaves a latest and a best that belong together`, () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const real = yield* FileSystem.FileSystem
      const over = (files: FileSystem.FileSystem, run: string) =>
        Effect.flatMap(Checkpointer, Effect.succeed).pipe(
          Effect.provide(
            Checkpointer.layer(run).pipe(
              Layer.provide(Layer.merge(Layer.succeed(FileSystem.FileSystem, files), Path.layer))
            )
          )
        )
      // Each is saved on those before it: a better one, a worse one, and one of training that was begun anew.
      const saves = [
        checkpoint(1, true),
        checkpoint(2, true),
        checkpoint(3, false),
        checkpoint(4, false),
        checkpoint(0, true)
      ]
      const best = [1, 2, 2, 2, 0]
      let points = 0
      for (let stage = 1; stage < saves.length; stage++) {
        for (let at = 0;; at += stride) {
          const run = join(folder, `${stage}-${at}`)
          const healthy = yield* over(real, run)
          for (const earlier of saves.slice(0, stage)) yield* healthy.save(earlier)
          const { fileSystem, reached } = FailingFiles.make(real, fault, at)
          const saver = yield* over(fileSystem, run)
          const result = yield* Effect.exit(saver.save(saves[stage]!))
          const found = yield* Effect.all([healthy.latest("sft"), healthy.best("sft")])
          const summary = yield* Checkpoints.summary(run, "sft")
          const steps = found.map((one) => one?.step)
          assert.deepStrictEqual([summary.latest?.step, summary.best], steps)
          const allowed = [stage - 1, stage].map((i) => [saves[i]!.step, best[i]!])
          // While what was begun anew replaces the old training, the old one is still whole, or its best alone is left.
          if (saves[stage]!.step === 0) allowed.push([2, 2])
          assert.deepInclude(allowed, steps, `stage ${stage}, operation ${at}`)
          if (result._tag === "Success") assert.deepStrictEqual(steps, [saves[stage]!.step, best[stage]])
          yield* healthy.save(saves[stage]!)
          assert.deepStrictEqual((yield* healthy.best("sft"))!.step, best[stage])
          const left = (yield* real.readDirectory(join(run, "checkpoints"))).toSorted()
          assert.deepStrictEqual(
            left,
            [...new Set([saves[stage]!.step, best[stage]!])].map((step) => `sft-${step}`).toSorted()
          )
          if (!reached()) break
          points++
        }
      }
      assert.isAbove(points * stride, 60)
    })))
}
