/**
 * Training of every family of policies that is killed at an operation on its files and goes on.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import { ItemPolicyConfig } from "../../src/policy/item/ItemPolicyConfig.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { distance } from "../Golden.ts"
import { families, layer, settings } from "../policy/FamilyFixture.ts"
import { cutAtEach, harness, optimizers } from "./Crash.ts"

/** Phases of training. */
export const phases = ["sft", "grpo"] as const

/** Families of this name, cut off at every operation of a stride. */
export const killed = (name: string, phasesOf: ReadonlyArray<typeof phases[number]> = phases, stride = 13): void => {
  for (const family of families.filter((one) => one.name === name)) {
    describe(`the ${name} policy`, () => {
      for (const phase of phasesOf) {
        it.effect(`killed at an operation on its files, ends as if it had not been: ${phase}`, () =>
          Effect.gen(function*() {
            const folder = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
            const store = yield* PolicyParameters
            const before = (yield* store.save).weights
            const training = yield* harness(phase, optimizers["AdamW"]!, ReferenceModel.layerFrozen)
            const whole = yield* training.whole(join(folder, "whole"))
            assert.isDefined(whole.best)
            const trained = (yield* store.save).weights
            for (const [parameter, { data }] of before) {
              // Rewards of generated SIDs say nothing of the item head.
              if (phase === "sft" || !parameter.startsWith("item.head.")) {
                assert.isAbove(distance(trained.get(parameter)!.data, data), 0, parameter)
              }
            }
            assert.isAbove(stride * (yield* cutAtEach(training, folder, whole, "kill", stride)), 3 * 13)
          }).pipe(
            Effect.scoped,
            Effect.provide([
              NodeServices.layer,
              layer(family, undefined, Schema.decodeSync(ItemPolicyConfig)({ ...settings, layers: 1, dropout: {} }))
            ])
          ))
      }
    })
  }
}
