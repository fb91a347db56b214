/**
 * Changes of a run's settings: allowed for settings from which nothing was made yet, and for the length of a phase.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Import from "../src/catalog/Import.ts"
import * as Group from "../src/grpo/Grpo.ts"
import * as Checkpointer from "../src/run/Checkpointer.ts"
import * as Durable from "../src/run/Durable.ts"
import type * as Manifest from "../src/run/Manifest.ts"
import { DoneAlready, OtherSettings, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Recipes from "./Recipes.ts"
import * as Settings from "./Settings.ts"

/** Stages of a run, in order; each fixes the settings on which its results depend. */
type Stage = "dataset" | "sids" | "sft" | "grpo"

/** Files of the first two stages: data, the fitted models behind the SIDs, the SIDs. */
export const artefacts = {
  dataset: "dataset.safetensors",
  encoder: "encoder.safetensors",
  fusion: "fusion.safetensors",
  quantizer: "quantizer.safetensors",
  sids: "sids.json"
} as const

/** Returns the stage that fixes a setting; settings of the evaluation alone are never fixed. */
const fixedBy: Readonly<Record<keyof Settings.PartialSettings, Stage | undefined>> = {
  data: "dataset",
  core: "dataset",
  filter: "dataset",
  strict: "dataset",
  seed: "dataset",
  shop: "dataset",
  split: "sids",
  encoder: "sids",
  lsa: "sids",
  fusion: "sids",
  tokenizer: "sids",
  base: "sft",
  family: "sft",
  policy: "sft",
  item: "sft",
  text: "sft",
  sft: "sft",
  grpo: "grpo",
  evaluation: undefined
}

/** Settings of a phase's length, which may change after the phase has started, with their units. */
const lengths: Readonly<
  Record<string, { readonly kind: "sft" | "grpo"; readonly unit: string; readonly done: string }>
> = {
  "sft.epochs": { kind: "sft", unit: "epochs", done: "epoch" },
  "grpo.steps": { kind: "grpo", unit: "steps", done: "step" }
}

/** Progress of a run: its finished stages and the checkpoints of its phases. */
export interface Made {
  readonly stages: Readonly<Record<Stage, boolean>>
  readonly sft: Checkpointer.Summary
  readonly grpo: Checkpointer.Summary
}

/** Reads the progress of a run. */
export const madeBy = Effect.fn("RunSettings.madeBy")(function*(run: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const has = (name: string) =>
    fs.exists(path.join(run, name)).pipe(Effect.mapError(Durable.storage("read", path.join(run, name))))
  const sft = yield* Checkpointer.summary(run, Supervised.kind)
  const grpo = yield* Checkpointer.summary(run, Group.kind)
  const made: Made = {
    stages: {
      dataset: yield* has(artefacts.dataset),
      sids: yield* has(artefacts.sids),
      sft: sft.latest !== undefined,
      // A stage that will be made again fixes nothing.
      grpo: grpo.latest !== undefined && staleness({ sft, grpo }) === undefined
    },
    sft,
    grpo
  }
  return made
})

/**
 * Describes that GRPO started from a supervised policy that is no longer the best; undefined if it is still the best.
 */
export const staleness = ({ grpo: { latest }, sft: { best } }: Pick<Made, "sft" | "grpo">): string | undefined =>
  latest !== undefined && TrainingState.isStale(latest.meta, best)
    ? `grpo began from step ${String(latest.meta["origin"])} of sft, whose best is step ${best} now; ` +
      "`sidereal grpo` restarts it"
    : undefined

/** Settings of a command. */
export interface Plan {
  readonly settings: Settings.Settings
  /** Settings without defaults, as in the manifest. */
  readonly partial: Settings.PartialSettings
  /** Whether they differ from those of the manifest. */
  readonly changed: boolean
  /** Notes on changed settings. */
  readonly notes: ReadonlyArray<string>
}

const shown = (value: unknown) => value === undefined ? "(not given)" : Settings.shown(value)

/**
 * Merges the settings of a run with those of the command line; another spelling of the same path is not a change. Fails
 * with `OtherSettings` or `DoneAlready` if something was made from the old settings.
 */
export const plan = Effect.fn("RunSettings.plan")(function*(
  run: string,
  manifest: Manifest.Manifest | undefined,
  made: Made | undefined,
  given: ReadonlyArray<Settings.Part>
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const real = (file: unknown) => fs.realPath(String(file)).pipe(Effect.orElseSucceed(() => file))
  const held = manifest === undefined ? undefined : yield* Settings.located(manifest.settings)
  const nothing = made === undefined || !Object.values(made.stages).includes(true)
  const now = Settings.merge(...given.map(({ settings }) => settings as Record<string, unknown>))
  const same = now["data"] !== undefined && held?.["data"] !== undefined &&
    (yield* real(now["data"])) === (yield* real(held["data"]))
  // Naming the data before anything is made discards the old settings, so that one with which the import failed can go.
  const recipe = Effect.gen(function*() {
    const { data } = now
    const own = typeof data === "string" && data !== "" ? yield* Import.ownIndex(data) : undefined
    return Recipes.of(now["family"], { hasData: data !== undefined, hasSids: own !== undefined })
  })
  const base: Record<string, unknown> = held === undefined || (nothing && now["data"] !== undefined)
    ? yield* recipe
    : held
  const parts = [{ source: path.join(run, "manifest.json"), settings: base }, ...given]
  const partial = {
    ...Settings.merge(base, now),
    ...(same ? { data: held["data"] } : {})
  } as Settings.PartialSettings
  yield* Settings.decodeParts(parts)
  const settings = yield* Settings.decode(partial, run)
  if (made?.stages.sids !== true) yield* Settings.checkFiles(settings, parts)
  const notes: Array<string> = []
  if (held === undefined) return { settings, partial, changed: true, notes } satisfies Plan
  const before = yield* Settings.decode(held, path.join(run, "manifest.json"))
  for (const change of Settings.changes(before, settings)) {
    // A run with data has no generated shop.
    if (change.field.startsWith("shop.") && settings.data !== undefined) continue
    const stage = fixedBy[change.field.split(".")[0] as keyof Settings.PartialSettings]
    if (stage === undefined || made?.stages[stage] !== true) {
      notes.push(`${change.field}: ${shown(change.before)} -> ${shown(change.now)}`)
      continue
    }
    const length = lengths[change.field]
    const latest = length === undefined ? undefined : made[length.kind].latest
    if (length === undefined || latest === undefined) {
      return yield* new RunError({
        reason: new OtherSettings({
          path: run,
          field: change.field,
          expected: shown(change.before),
          found: shown(change.now)
        })
      })
    }
    const done = Number(latest.meta[length.done] ?? 0)
    const asked = Number(change.now)
    if (asked < done) {
      return yield* new RunError({
        reason: new DoneAlready({ path: run, field: change.field, done, asked })
      })
    }
    const stopped = length.kind === "sft" && Number(latest.meta["sinceBest"] ?? 0) >= before.sft.patience
    notes.push(
      `${length.kind}: ${shown(change.before)} -> ${asked} ${length.unit}, going on from step ${latest.step}` +
        (stopped && asked > Number(change.before) ? `, where it had stopped early after ${done} ${length.unit}` : "")
    )
  }
  return { settings, partial, changed: notes.length > 0, notes } satisfies Plan
})
