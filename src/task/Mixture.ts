/**
 * Mixtures of tasks: which rows an epoch has, and in which order, as a function of seed and epoch.
 */
import * as Effect from "effect/Effect"
import { type TrainingExample } from "../policy/Prompt.ts"
import * as Random from "../statistics/Random.ts"
import { type ItemTexts } from "./ItemTexts.ts"
import * as Rows from "./Rows.ts"
import { NoTaskRows, TaskError } from "./TaskError.ts"
import * as Tasks from "./Tasks.ts"
import * as Template from "./Template.ts"

/** Task with its rows and its weight. */
export interface Source {
  readonly template: Template.Template
  readonly rows: Rows.Rows
  /** Share of the rows that an epoch has; above 1 rows occur more than once. */
  readonly weight: number
}

/** Row of one of the sources. */
export interface Draw {
  /** Index of the source. */
  readonly source: number
  /** Index of the row. */
  readonly row: number
}

/** Data from which the rows of tasks are made. */
export interface TaskData {
  /** Training sequences, oldest item first. */
  readonly sequences: ReadonlyArray<Int32Array>
  /** Codes of each item, [N]. */
  readonly sids: ReadonlyArray<ArrayLike<number>>
  readonly texts: ItemTexts
  /** Supplied preferences. @default none */
  readonly preferences?: ReadonlyArray<Template.Row> | undefined
}

/** Returns the tasks with a weight above 0, with their rows; fails for an unknown task, and for one without rows. */
export const sourcesOf: (
  config: Tasks.TasksConfig,
  data: TaskData,
  options?: Template.PromptOptions
) => Effect.Effect<ReadonlyArray<Source>, TaskError> = Effect.fnUntraced(function*(config, data, options = {}) {
  const { preferences = [], sequences, sids, texts } = data
  return yield* Effect.forEach(
    Object.entries(config.weights).filter(([, weight]) => weight > 0),
    Effect.fnUntraced(function*([name, weight]) {
      const template = yield* Tasks.find(name)
      const rows = template.rows === "events"
        ? Rows.ofSequences(sequences, config.historyItems)
        : template.rows === "items"
        ? Rows.ofItems(template, sids, texts, { prompts: config.prompts, ...options })
        : Rows.ofList(preferences)
      if (rows.count === 0) return yield* new TaskError({ reason: new NoTaskRows({ tasks: [name] }) })
      return { template, rows, weight } satisfies Source
    })
  )
})

/** Sites of the draws of a seed. */
const sites = { rows: 0x7a51, order: 0x7a52 }

/**
 * Draws the rows of an epoch in a mixed order. The rows of a task follow one another through permutations of all its
 * rows, from epoch to epoch, so that every row occurs equally often up to one.
 */
export const draw = (sources: ReadonlyArray<Source>, seed: number, epoch: number): ReadonlyArray<Draw> => {
  const drawn: Array<Draw> = []
  for (const [source, { rows: { count }, weight }] of sources.entries()) {
    if (count === 0) continue
    const [from, to] = [Math.round(epoch * weight * count), Math.round((epoch + 1) * weight * count)]
    let pass = -1
    let order: Int32Array = new Int32Array()
    for (let k = from; k < to; k++) {
      if (Math.floor(k / count) !== pass) {
        pass = Math.floor(k / count)
        order = Random.permutation(count, seed, sites.rows, source, pass)
      }
      drawn.push({ source, row: order[k % count]! })
    }
  }
  return Array.from(Random.permutation(drawn.length, seed, sites.order, epoch), (at) => drawn[at]!)
}

/** Returns the example of a draw; undefined where its row lacks a text. */
export const exampleOf = (
  sources: ReadonlyArray<Source>,
  { row, source }: Draw,
  texts: ItemTexts,
  options: Template.PromptOptions,
  seed: number
): TrainingExample | undefined => {
  const { rows, template } = sources[source]!
  return Template.example(template, rows.at(row), texts, { ...options, key: [seed, source, row] })
}

/** Returns the examples of an epoch; fails with `NoTaskRows` where there is none. */
export const examples: (
  sources: ReadonlyArray<Source>,
  texts: ItemTexts,
  options: Template.PromptOptions,
  seed: number,
  epoch: number
) => Effect.Effect<ReadonlyArray<TrainingExample>, TaskError> = Effect.fnUntraced(
  function*(sources, texts, options, seed, epoch) {
    const made = draw(sources, seed, epoch).flatMap((one) => exampleOf(sources, one, texts, options, seed) ?? [])
    if (made.length > 0) return made
    return yield* new TaskError({ reason: new NoTaskRows({ tasks: sources.map(({ template }) => template.name) }) })
  }
)
