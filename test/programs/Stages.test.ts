import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Demo from "../../programs/Demo.ts"
import * as Laboratory from "../../programs/Laboratory.ts"
import * as Layers from "../../programs/Layers.ts"
import * as Note from "../../programs/Note.ts"
import * as SasRec from "../../src/evaluation/baseline/sasrec/SasRec.ts"
import { SasRecConfig } from "../../src/evaluation/baseline/sasrec/SasRecConfig.ts"
import { Progress, type Tracker } from "../../src/run/Progress.ts"
import * as KMeans from "../../src/sid/clustering/KMeans.ts"
import { importing, services } from "../catalog/Importing.ts"

/** Display that keeps, for each piece of work, the numbers that it was told. */
const recording = () => {
  const shown = new Map<string, { readonly total: number; readonly updates: Array<number>; finished: number }>()
  const tracker = (label: string, total: number): Tracker => {
    const entry = shown.get(label) ?? { total, updates: [], finished: 0 }
    shown.set(label, entry)
    return {
      update: (done) => entry.updates.push(done),
      finish: () => entry.finished++
    }
  }
  return { shown, progress: Progress.of({ start: tracker, part: tracker }) }
}

describe("stages of the pipeline", () => {
  it.live("each show units done of a total, and end", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "sidereal-stages-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const data = join(folder, "events.csv")
      const rows = Array.from({ length: 60 * 6 }, (_, i) => `u${i % 60},i${(i + Math.floor(i / 60)) % 30},${i}`)
      writeFileSync(data, `user_id,item_id,timestamp\n${rows.join("\n")}\n`)
      const { progress, shown } = recording()
      yield* Effect.andThen(Demo.program(), Laboratory.program(["rq-kmeans", "random"])).pipe(
        Effect.provideService(Progress, progress),
        Effect.provide(Layers.layer({
          run: join(folder, "run"),
          fresh: false,
          existing: false,
          given: {
            data,
            tokenizer: { shape: { codes: 8 } },
            policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 256 },
            sft: { epochs: 2, epochsPerValidation: 1, validationUsers: 40 },
            grpo: { steps: 2, promptsPerStep: 8, groupSize: 6, stepsPerValidation: 1, validationUsers: 40 }
          }
        })),
        Effect.provideService(Note.Quiet, true)
      )
      for (
        const label of [
          "events",
          "assemble",
          "factors of pairs",
          "sft",
          "sft validation",
          "weigh item-knn as teacher",
          "grpo",
          "grpo validation",
          "evaluate popularity",
          "evaluate item-knn",
          "weigh item-knn beside sft",
          "evaluate sft",
          "evaluate grpo",
          "tokenizers"
        ]
      ) {
        const entry = shown.get(label)
        assert.isDefined(entry, `${label} is not among ${[...shown.keys()].join(", ")}`)
        assert.isAbove(entry!.total, 0, label)
        assert.isAbove(entry!.updates.length, 0, label)
        assert.isAbove(entry!.finished, 0, label)
        for (const done of entry!.updates) assert.isTrue(done >= 0 && done <= entry!.total, `${label}: ${done}`)
      }
      assert.isTrue(shown.has("read events.csv"))
    }).pipe(Effect.scoped))

  it.effect("of reading a file line by line do too", () =>
    Effect.gen(function*() {
      const { progress, shown } = recording()
      const line = (i: number) =>
        JSON.stringify({ user_id: `u${i % 40}`, item_id: `i${i % 13}`, timestamp: i, more: "x".repeat(2e4) })
      const text = Array.from({ length: 400 }, (_, i) => line(i)).join("\n")
      yield* importing({ "events.jsonl": text }).pipe(
        Effect.provideService(Progress, progress),
        Effect.provide(services)
      )
      const { finished, total, updates } = shown.get("read events.jsonl")!
      assert.strictEqual(total, Math.round(text.length / 1e6))
      assert.isAbove(updates.length, 2)
      assert.strictEqual(updates.at(-1), total)
      assert.isAbove(finished, 0)
    }))

  it.effect("of a teacher and of clustering do too", () =>
    Effect.gen(function*() {
      const { progress, shown } = recording()
      const ring = Array.from({ length: 20 }, (_, user) => Int32Array.from({ length: 5 }, (_, i) => (user + i) % 10))
      const users = ring.map((all, user) => ({ user, history: all.subarray(0, 4), target: all[4]! }))
      const config = Schema.decodeSync(SasRecConfig)({ width: 8, layers: 1, heads: 1, feedForward: 8, epochs: 2 })
      const rows = { rows: 200, width: 2, data: Float32Array.from({ length: 400 }, (_, i) => Math.sin(i * i)) }
      yield* Effect.andThen(
        SasRec.train(ring, users, 10, config, 1),
        KMeans.train(rows, 4, {
          maximumIterations: 20,
          tolerance: 0,
          starts: 1,
          seed: 1,
          rowsPerCentre: 10,
          seedRows: 100,
          miniBatch: 20
        })
      ).pipe(
        Effect.scoped,
        Effect.provide(Layer.merge(OnnxRuntime.layerCpu({ threads: 1 }), Layer.succeed(Progress, progress)))
      )
      for (const label of ["sasrec", "sasrec validation", "k-means", "mini-batch k-means"]) {
        assert.isAbove(shown.get(label)?.updates.length ?? 0, 0, label)
        assert.isAbove(shown.get(label)!.finished, 0, label)
      }
    }))
})
