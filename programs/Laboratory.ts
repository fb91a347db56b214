/**
 * Comparison of tokenizers: one page and one JSON file with the best tokenizer for the items and the reasons.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { availableParallelism } from "node:os"
import * as Laboratory from "../src/laboratory/Laboratory.ts"
import * as LaboratoryPage from "../src/report/LaboratoryPage.ts"
import * as Durable from "../src/run/Durable.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { Progress } from "../src/run/Progress.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import * as Artefacts from "./Artefacts.ts"
import * as Prepare from "./Prepare.ts"
import type * as QuantizerNames from "./QuantizerNames.ts"
import * as Quantizers from "./Quantizers.ts"
import { SettingsError } from "./SettingsError.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Gauge of the tokenizers that wait for a thread. */
export const waiting: Metric.Gauge<number> = Metric.gauge("sidereal.laboratory.waiting", {
  description: "Tokenizers that no thread has begun to train"
})

const codec = Artefacts.json(Schema.Struct({
  entry: Laboratory.Entry,
  perUser: Schema.Array(Schema.Finite),
  sids: Tokenize.StoredSids,
  codebookSizes: Schema.Array(Schema.Int)
}))

/** Trains and measures the named tokenizers, or reads the results of an earlier comparison of the run. */
export const program = Effect.fn("laboratory")(function*(names: ReadonlyArray<QuantizerNames.Name>) {
  const { artefact, file, given, settings } = yield* Workspace
  // Data may contain a file of SIDs.
  const { given: own } = yield* Quantizers.chosen(settings)
  const { dataset, split } = yield* Prepare.program()
  if (names.includes("given") && own === undefined) {
    return yield* new SettingsError({
      source: "--compare",
      problems: ["given: Expected tokenizer.given.path, an index.json, item key to tokens; the data bring none along"]
    })
  }
  const { items, version: embedded } = yield* Tokenize.items({ dataset, split })
  const of = (quantizer: QuantizerNames.Name) =>
    new Quantizers.TokenizerConfig({ ...settings.tokenizer, ...(own === undefined ? {} : { given: own }), quantizer })
  // Loaded here, because the worker's protocol would add 0.05 s to the start of every command.
  const TokenizerWorker = yield* Effect.promise(() => import("./TokenizerWorker.ts"))
  const tracker = (yield* Progress).start("tokenizers", names.length, "tokenizers")
  let done = 0
  const training = new Set<string>()
  // A tokenizer may train for minutes: the line is kept alive until it ends.
  const alive = Effect.sync(() => tracker.update(done, `training ${[...training].join(", ")}`)).pipe(
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.andThen(Effect.never)
  )
  const kept = yield* Effect.forEach(
    names,
    (name, i) => {
      const tokenizer = { ...given.tokenizer, ...(own === undefined ? {} : { given: own }), quantizer: name }
      // Settings may change until SIDs are made: results with other settings are not reused.
      const version = Manifest.hash([JSON.stringify([embedded, tokenizer])]).slice(0, 16)
      return artefact(
        `laboratory/${name}-${version}.json`,
        Effect.gen(function*() {
          yield* Metric.update(waiting, names.length - i - 1)
          training.add(name)
          const answer = yield* TokenizerWorker.run({ tokenizer: of(name), seed: settings.seed, items })
          const index = SidIndex.fromResolved(answer.resolved, answer.collisionPolicy)
          const { entry, perUser } = Laboratory.measure({ ...answer, name, index }, dataset, split, settings.seed)
          return {
            entry,
            perUser: Array.from(perUser),
            sids: index.sids.map((codes) => Array.from(codes)),
            codebookSizes: index.codebookSizes
          }
        }),
        codec
      ).pipe(
        Effect.tap(({ entry }) =>
          Effect.sync(() => {
            training.delete(name)
            tracker.update(++done, `${name} in ${entry.seconds.toFixed(1)} s`)
          })
        )
      )
    },
    { concurrency: availableParallelism() }
  ).pipe(Effect.raceFirst(alive))
  tracker.finish()
  const measured = kept.map(({ entry, perUser }) => ({ entry, perUser: Float64Array.from(perUser) }))
  const recommendation = Laboratory.recommend(measured, settings.seed)
  const record = {
    dataset: dataset.name,
    items: dataset.items.length,
    users: split.validation.length,
    seed: settings.seed,
    recommendation,
    entries: measured.map(({ entry }) => entry)
  }
  const page = file("laboratory.html")
  yield* Durable.write(file("laboratory.json"), JSON.stringify(record, undefined, 2))
  yield* Durable.write(
    page,
    LaboratoryPage.render({
      ...record,
      catalogue: dataset.items,
      indexes: new Map(kept.map(({ codebookSizes, entry, sids }) => [
        entry.name,
        SidIndex.make(sids.map((codes) => Int32Array.from(codes)), codebookSizes, entry.collisionPolicy)
      ]))
    })
  )
  return { ...record, page }
})
