import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as TrainingState from "../../src/training/TrainingState.ts"
import * as OldCheckpoint from "./OldCheckpoint.ts"

const config = (averaging: number) => Schema.decodeSync(AdamW.AdamWConfig)({ averaging })

const specs = {
  "block.matrix": { shape: [3, 4], initialize: (values: Float32Array) => values.fill(1) },
  vector: { shape: [5], initialize: (values: Float32Array) => values.fill(-1) }
}

const counters = { step: 4, epoch: 2, best: 0.5, bestEpoch: 2, sinceBest: 0, start: -1, asked: 3, origin: -1 }

const train = Effect.fnUntraced(function*(store: ParameterStore.ParameterStore, averaging: number, steps: number) {
  const optimizer = Adam.adamW(config(averaging))
  for (let i = 0; i < steps; i++) {
    const from = yield* store.version
    store.buffer.flat("gradients").forEach((_, at, all) => (all[at] = Math.cos(at + 3 * from)))
    yield* store.apply(optimizer, 0.1)
  }
})

describe("TrainingState with checkpoints of the older form", () => {
  for (const averaging of [0.9, 0]) {
    it.effect(`goes on from one, bit for bit, and evaluates what was kept: averaging ${averaging}`, () =>
      Effect.gen(function*() {
        const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        const [whole, later, evaluated] = [
          yield* ParameterStore.make(specs),
          yield* ParameterStore.make(specs),
          yield* ParameterStore.make(specs)
        ]
        yield* Effect.gen(function*() {
          yield* train(whole, averaging, 4)
          const state = yield* whole.save
          yield* TrainingState.save(whole, "sft", counters, true)
          OldCheckpoint.age(join(folder, "checkpoints"), "sft")
          const found = yield* TrainingState.resume(later, "sft", config(averaging))
          assert.deepStrictEqual(found, counters)
          assert.deepStrictEqual(yield* later.save, state)
          yield* train(whole, averaging, 3)
          yield* train(later, averaging, 3)
          assert.deepStrictEqual(yield* later.save, yield* whole.save)

          const checkpointer = yield* Checkpointer
          assert.isTrue(yield* TrainingState.loadBest(evaluated, checkpointer, "sft", config(averaging)))
          const expected = averaging > 0 ? state.average : state.weights
          const { feeds } = yield* evaluated.snapshot("average")
          for (const [name, { data }] of expected) {
            const feed = feeds[name]!
            assert.deepStrictEqual("data" in feed ? Array.from(feed.data) : undefined, Array.from(data))
          }
          // What is only evaluated holds no slots: to train on from it is refused, not begun at 0.
          const error = yield* Effect.flip(train(evaluated, averaging, 1))
          assert.strictEqual(error.reason._tag, "OtherOptimizer")

          const start = (yield* checkpointer.best("sft"))!
          yield* TrainingState.begin(evaluated, start, config(averaging))
          const begun = yield* evaluated.save
          assert.deepStrictEqual(begun, { version: 0, weights: expected, average: new Map(), slots: new Map() })
          yield* train(evaluated, averaging, 1)
          assert.strictEqual(yield* evaluated.version, 1)
        }).pipe(Effect.provide(Checkpointer.layer(folder)))
      }).pipe(Effect.scoped, Effect.provide([Reference.layer, NodeServices.layer])))
  }
})
