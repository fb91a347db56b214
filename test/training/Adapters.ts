/**
 * Training of adapters that is killed at an operation on its files and goes on.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import * as Lora from "../../src/policy/lora/Lora.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import { distance } from "../Golden.ts"
import { config, layer } from "../policy/Fixture.ts"
import { cutAtEach, harness, optimizers } from "./Crash.ts"

const adapted = Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...config, lora: { rank: 2, alpha: 4 } })

/** Every this many operations a run is cut off; the suite over all operations trains all weights. */
const every = 13

/** A phase, killed at every operation of the stride. */
export const killed = (phase: "sft" | "grpo"): void => {
  describe("training of adapters that is killed and goes on", () => {
    it.effect(`ends as if it had not been, with a base as it was and slots for adapters alone: ${phase}`, () =>
      Effect.gen(function*() {
        const folder = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
        const store = yield* PolicyParameters
        const before = (yield* store.save).weights
        const training = yield* harness(phase, optimizers["AdamW"]!, ReferenceModel.layerFrozen)
        const whole = yield* training.whole(join(folder, "whole"))

        const { tensors } = yield* Effect.flatMap(Checkpointer, (saver) => saver.latest(phase)).pipe(
          Effect.map((latest) => latest!),
          Effect.provide(Checkpointer.layer(join(folder, "whole")))
        )
        const adapters = [...Lora.adaptersIn(before).keys()]
        assert.strictEqual(adapters.length, 2 * 7 * 2)
        const parts = (part: string) => [...tensors.keys()].filter((name) => name.startsWith(`${part}/`))
        assert.sameMembers(parts("weights"), [...before.keys()].map((name) => `weights/${name}`))
        assert.sameMembers(parts("average"), adapters.map((name) => `average/${name}`))
        assert.sameMembers(
          parts("slot"),
          adapters.flatMap((name) => [`slot/first.${name}`, `slot/second.${name}`])
        )
        for (const [name, { data }] of before) {
          const now = tensors.get(`weights/${name}`)!.data as Float32Array
          assert.strictEqual(distance(now, data) === 0, !adapters.includes(name), name)
        }

        assert.isAbove(yield* cutAtEach(training, folder, whole, "kill", every), 3)
      }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, layer("onnx", adapted)])))
  })
}
