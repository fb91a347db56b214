/**
 * State of a policy with one position per item over the catalogue of the context, and its shared programs.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as History from "../../catalog/History.ts"
import { ItemEmbeddings } from "../../embedding/ItemEmbeddings.ts"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { Sids } from "../../sid/Sids.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as Random from "../../statistics/Random.ts"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import { float32, type HostTensor, type TensorSpec } from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as CompactVocabulary from "../flat/CompactVocabulary.ts"
import * as ItemPrompt from "../ItemPrompt.ts"
import { NoContent, PolicyError } from "../PolicyError.ts"
import { type Prompt } from "../Prompt.ts"
import * as EventTimes from "./EventTimes.ts"
import { type GeneratorHead } from "./GeneratorHead.ts"
import * as ItemNetwork from "./ItemNetwork.ts"
import * as ItemPolicyConfig from "./ItemPolicyConfig.ts"
import * as ItemRows from "./ItemRows.ts"

/** State shared by the sessions, batches and trees of one policy. */
export interface ItemModel {
  readonly family: string
  readonly settings: ItemPolicyConfig.ItemPolicyConfig
  readonly shape: ItemNetwork.ItemShape
  readonly index: SidIndex
  readonly space: LeafSpace
  readonly head: GeneratorHead
  /** Time of the first training event of each item, [N], NaN for none; undefined where times are not known. */
  readonly firstTimes: Float64Array | undefined
  /** Initial parameters; every read draws the same values. */
  readonly parameters: ParameterSpecs
  /** Names and shapes of the weights. */
  readonly slots: ReadonlyArray<Slot>
  /** Feeds that describe the catalogue. */
  readonly catalogue: Readonly<Record<string, HostTensor>>
  /** Runtime that compiles the programs. */
  readonly runtime: TensorRuntime["Service"]
}

/** Name and shape of a parameter, and whether it has a gradient. */
export interface Slot {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly trainable: boolean
}

/** Returns the inputs of every program over packed rows: the weights, the catalogue and the rows. */
export const inputs = ({ shape, slots }: ItemModel): Record<string, TensorSpec> => ({
  ...Object.fromEntries(slots.map((slot) => [slot.name, float32(...slot.shape)])),
  ...ItemNetwork.catalogueInputs(shape),
  ...ItemNetwork.rowInputs(shape, "T")
})

/** Returns the weights among the inputs of a program that have a gradient; those named in `frozen` have none. */
export const trained = (
  { slots }: ItemModel,
  inputs: ItemNetwork.Inputs,
  frozen: ReadonlyArray<string>
): Record<string, tf.Tensor> =>
  Object.fromEntries(
    slots.flatMap(({ name, trainable }) => trainable && !frozen.includes(name) ? [[name, inputs[name]!]] : [])
  )

/** Returns the latest events of the history of each prompt; fails for text prompts. */
export const histories = ({ family, settings }: ItemModel, prompts: ReadonlyArray<Prompt>) =>
  Effect.forEach(
    prompts,
    (prompt) =>
      Effect.map(ItemPrompt.history(family, prompt), (history) => History.latest(history, settings.historyItems))
  )

/** Packs prompts into rows; returns their feeds and the flat position of the last item of each, [P]. */
export const promptFeeds = (model: ItemModel, given: ReadonlyArray<EventTimes.Events>) => {
  const rows = ItemRows.pack(given.map(({ items }) => items), model.shape.items)
  return {
    last: rows.starts.map((start, p) => start + given[p]!.items.length),
    feeds: { ...model.catalogue, ...rowFeeds(model, rows, given) }
  }
}

/** Returns the feeds of the positions of rows into which events are packed. */
export const rowFeeds = (
  { firstTimes, shape }: ItemModel,
  rows: ItemRows.ItemRows,
  given: ReadonlyArray<EventTimes.Events>
): Record<string, HostTensor> => ({
  ...ItemRows.feeds(rows),
  ...EventTimes.feeds(shape.time, rows, given, firstTimes)
})

/**
 * Builds the state of a policy whose parameters are drawn from `seed`. `firstTimes` are the times of the first training
 * event of each item, from which ages count.
 */
export const make = Effect.fnUntraced(function*(
  family: string,
  settings: ItemPolicyConfig.ItemPolicyConfig,
  head: GeneratorHead,
  seed: number,
  tied: boolean,
  firstTimes?: Float64Array
) {
  const runtime = yield* TensorRuntime
  const { index, space } = yield* Sids
  const embeddings = yield* ItemEmbeddings
  const { matrix, text } = yield* embeddings.all.pipe(
    Effect.mapError((error) => new PolicyError({ reason: new NoContent({ family, detail: error.message }) }))
  )
  const content = settings.content === "text" ? text() : matrix
  const vocabulary = CompactVocabulary.make(index)
  const shape: ItemNetwork.ItemShape = {
    config: ItemPolicyConfig.decoderConfig(settings, vocabulary.size, tied),
    vocabulary,
    items: index.sids.length,
    levels: index.levels,
    contentWidth: content.width,
    time: settings.time,
    repeats: settings.repeats
  }
  const specs = (): ParameterSpecs => {
    const normal = Random.normal(seed, 0x17e3)
    return { ...ItemNetwork.parameters(shape, normal), ...head.parameters(shape, normal) }
  }
  const model: ItemModel = {
    family,
    settings,
    shape,
    index,
    space,
    head,
    firstTimes,
    get parameters() {
      return specs()
    },
    slots: Object.entries(specs()).map(([name, { shape, trainable = true }]) => ({ name, shape, trainable })),
    catalogue: ItemNetwork.catalogueFeeds(shape, index, content),
    runtime
  }
  return model
})

/** Returns the number of positions of a prompt in the policy's input. */
export const positions = ({ settings }: ItemModel, prompt: Prompt): number =>
  prompt._tag === "History" ? 1 + Math.min(settings.historyItems, prompt.history.items.length) : 0
