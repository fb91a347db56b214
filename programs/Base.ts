/**
 * Base of a run: the supervised weights of another run over the same SIDs, from which supervised training starts and on
 * which adapters are trained.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as LoraLayer from "../src/policy/lora/LoraLayer.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import { kind } from "../src/sft/Sft.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as RunSettings from "./RunSettings.ts"
import { SettingsError } from "./SettingsError.ts"
import { Workspace } from "./Workspace.ts"

const Stored = Schema.fromJsonString(Schema.Struct({
  codebookSizes: Schema.Array(Schema.Int),
  sids: Schema.Array(Schema.Array(Schema.Int))
}))

/**
 * Loads the weights of the base, if the settings name one and no training has started; adapters keep their initial
 * values. Fails if the base has no supervised weights, adapters of its own, or other SIDs.
 */
export const load = Effect.fn("Base.load")(function*({ codebookSizes, sids }: SidIndex) {
  const { run, settings: { base, sft } } = yield* Workspace
  if (base === undefined || (yield* (yield* Checkpointer).latest(kind)) !== undefined) return
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const refuse = (expected: string) =>
    new SettingsError({ source: run, problems: [`base: Expected ${expected}, got ${JSON.stringify(base)}`] })
  const best = yield* Effect.flatMap(Checkpointer, (checkpoints) => checkpoints.best(kind)).pipe(
    Effect.provide(Checkpointer.layer(base))
  )
  if (best === undefined) return yield* new RunError({ reason: new NoCheckpoint({ path: base, kind }) })
  const others = yield* fs.readFileString(path.join(base, RunSettings.artefacts.sids)).pipe(
    Effect.flatMap(Schema.decodeEffect(Stored)),
    Effect.mapError(() => refuse(`the folder of a run with a readable ${RunSettings.artefacts.sids}`))
  )
  const same = String(others.codebookSizes) === String(codebookSizes) && others.sids.length === sids.length &&
    sids.every((codes, item) => String(codes) === String(others.sids[item]))
  if (!same) return yield* refuse("a run with the same SIDs, from the same data, encoder, tokenizer and seed")
  const weights = TrainingState.evaluationOf(best, sft.optimizer)
  if ([...weights.keys()].some((name) => name.startsWith(LoraLayer.prefix))) {
    return yield* refuse("a run without policy.lora, whose weights are whole")
  }
  const store = yield* PolicyParameters
  const { weights: initial } = yield* store.save
  yield* store.restore({
    version: 0,
    weights: new Map([...initial, ...weights]),
    average: new Map(),
    slots: new Map()
  })
})
