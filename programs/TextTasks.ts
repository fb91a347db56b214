/**
 * Tasks on which a run trains a text policy: the examples of each epoch, mixed as its settings say.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as TextFolder from "../src/policy/text/TextFolder.ts"
import * as Durable from "../src/run/Durable.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import * as ItemTexts from "../src/task/ItemTexts.ts"
import * as Mixture from "../src/task/Mixture.ts"
import * as Preferences from "../src/task/Preferences.ts"
import * as Show from "../src/task/Show.ts"
import * as TextPrompts from "../src/task/TextPrompts.ts"
import { type Prepared } from "./Prepare.ts"
import { Workspace } from "./Workspace.ts"

/** Example as it is shown: its task, its user where it has one, and its spans with and without a loss. */
export interface Shown {
  readonly task: string
  readonly user?: number | undefined
  readonly spans: ReadonlyArray<Show.Span>
}

/** Opens the tasks of the run; undefined where its policy is no text policy. */
export const open = Effect.fn("TextTasks.open")(function*({ dataset, split }: Prepared, index: SidIndex) {
  const { settings } = yield* Workspace
  if (settings.family !== "text" || settings.text === undefined) return undefined
  const { seed, text } = settings
  const { maximum, vocabulary } = yield* TextFolder.open(text, index)
  const texts = ItemTexts.ofItems(dataset.items, text.tasks.category)
  const wording = TextPrompts.optionsOf(text.tasks, vocabulary.beginning)
  const preferences = text.tasks.preferences === undefined
    ? undefined
    : yield* readPreferences(text.tasks.preferences, new Map(dataset.items.map(({ key }, item) => [key, item])))
  const data = { sequences: split.train, sids: index.sids, texts, preferences }
  const sources = yield* Mixture.sourcesOf(text.tasks, data, wording)
  const examples = (epoch: number) => Mixture.examples(sources, texts, wording, seed, epoch)
  return {
    /** Returns the examples of an epoch. */
    examples,
    /** Returns the first examples of the first epoch as they are shown. */
    show: (count: number) =>
      Effect.map(examples(0), (all) =>
        all.slice(0, count).map((example): Shown => ({
          task: example.prompt._tag === "Text" ? example.prompt.task : "history",
          spans: Show.ofText(vocabulary.codec, example, { end: vocabulary.end, maximum })
        })))
  }
})

const readPreferences = Effect.fnUntraced(function*(file: string, items: ReadonlyMap<string, number>) {
  const fs = yield* FileSystem.FileSystem
  const content = yield* fs.readFileString(file).pipe(Effect.mapError(Durable.storage("read", file)))
  return yield* Preferences.parse(content, file, (key) => items.get(key))
})
