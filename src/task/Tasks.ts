/**
 * All tasks by name, and the settings that choose and mix them.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { TaskError, UnknownTask } from "./TaskError.ts"
import { type Template } from "./Template.ts"
import * as DescriptionToSid from "./template/DescriptionToSid.ts"
import * as HistoryToDescription from "./template/HistoryToDescription.ts"
import * as HistoryToPreference from "./template/HistoryToPreference.ts"
import * as HistoryToSid from "./template/HistoryToSid.ts"
import * as HistoryToTitle from "./template/HistoryToTitle.ts"
import * as PreferenceToSid from "./template/PreferenceToSid.ts"
import * as SidToTitle from "./template/SidToTitle.ts"
import * as TitlesToSid from "./template/TitlesToSid.ts"
import * as TitlesToTitle from "./template/TitlesToTitle.ts"
import * as TitleToSid from "./template/TitleToSid.ts"

/** Tasks in the order in which they are listed. */
export const all: ReadonlyArray<Template> = [
  HistoryToSid.template,
  TitleToSid.template,
  SidToTitle.template,
  DescriptionToSid.template,
  HistoryToTitle.template,
  HistoryToDescription.template,
  TitlesToSid.template,
  TitlesToTitle.template,
  HistoryToPreference.template,
  PreferenceToSid.template
]

/** Returns the task of a name; fails with `UnknownTask`. */
export const find = (name: string): Effect.Effect<Template, TaskError> => {
  const template = all.find((one) => one.name === name)
  return template === undefined
    ? Effect.fail(new TaskError({ reason: new UnknownTask({ task: name, known: all.map((one) => one.name) }) }))
    : Effect.succeed(template)
}

const Weight = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Settings of text tasks. */
export class TasksConfig extends Schema.Class<TasksConfig>("sidereal/task/TasksConfig")({
  /**
   * Share of each task's rows that an epoch has, by name: 1 for each row once, 0.5 for half of them, 2 for each twice.
   * @default history-to-sid, title-to-sid, sid-to-title and history-to-title, 1 each
   */
  weights: Schema.Record(Schema.String, Weight).check(
    Schema.makeFilter((weights) =>
      Object.keys(weights).filter((name) => !all.some((one) => one.name === name)).map((name) => ({
        path: [name],
        issue: `Expected a task: ${all.map((one) => one.name).join(", ")}`
      }))
    )
  ).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({
      "history-to-sid": 1,
      "title-to-sid": 1,
      "sid-to-title": 1,
      "history-to-title": 1
    }))
  ),
  /** Wordings: one for training, reinforcement learning and evaluation, or MiniOneRec's three. @default aligned */
  prompts: Schema.Literals(["aligned", "original"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("aligned" as const))
  ),
  /** Phrase for the items of the shop in the original wordings, such as `office products`. @default items */
  category: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("items"))),
  /** Latest items of a history that a prompt shows. @default 10 */
  historyItems: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(10))),
  /** File of supplied preferences, for the tasks that read them. @default none */
  preferences: Schema.optionalKey(Schema.String)
}) {}
