/**
 * Scores of all items from the logits of their digits: one look-up and addition per digit and item.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import * as Pulls from "../../tensor/Pulls.ts"
import { hostFloat32, hostInt32, int32 } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as ItemModel from "../item/ItemModel.ts"
import * as ItemNetwork from "../item/ItemNetwork.ts"
import * as Repeats from "../item/Repeats.ts"
import { type Weights } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import * as DigitHead from "./DigitHead.ts"
import { type DigitColumns } from "./DigitLoss.ts"

/** Returns the columns of the items' codes. */
export const columnsOf = ({ index, shape }: ItemModel.ItemModel): DigitColumns => ({
  columns: DigitHead.columnsOf(shape, index),
  levels: shape.levels,
  width: DigitHead.columns(shape)
})

/** Sums a prompt's logits over the digits of every item, and adds the items' biases, [N]. */
export const sum = ({ columns, levels }: DigitColumns, logits: Float32Array, biases: Float32Array): Float64Array => {
  const scores = Float64Array.from(biases)
  for (let item = 0, at = 0; item < scores.length; item++) {
    let total = 0
    for (let end = at + levels; at < end; at++) {
      const column = columns[at]!
      if (column >= 0) total += logits[column]!
    }
    scores[item] = scores[item]! + total
  }
  return scores
}

/** Adds derivatives by items' scores [N] to those by the digits' logits. */
export const scatter = ({ columns, levels }: DigitColumns, pulls: Float64Array, into: Float64Array): void => {
  for (let item = 0, at = 0; item < pulls.length; item++) {
    const pull = pulls[item]!
    for (let end = at + levels; at < end; at++) {
      const column = columns[at]!
      if (column >= 0) into[column]! += pull
    }
  }
}

/** Computes the parts of the scores after the last item of each prompt. */
const parts = (
  { shape }: ItemModel.ItemModel,
  digits: DigitHead.DigitShape,
  weights: ItemNetwork.Inputs,
  inputs: ItemNetwork.Inputs
): Record<string, tf.Tensor> =>
  DigitHead.parts(shape, digits, weights, tf.gather(ItemNetwork.states(shape, weights, inputs), inputs["last"]!))

/** Scores of prompts. */
export interface Scored {
  /** Returns the score of every item after a prompt, [N]: logarithms of probabilities up to a constant. */
  readonly of: (prompt: number) => Float64Array
}

/** Makes the function that scores every item after prompts. */
export const make = Effect.fnUntraced(function*(model: ItemModel.ItemModel, digits: DigitHead.DigitShape) {
  const columns = columnsOf(model)
  const cache = yield* ProgramCache.make<"digits">(model.runtime, () =>
    TensorProgram.make({
      name: `${model.family}.digits`,
      inputs: { ...ItemModel.inputs(model), last: int32("P") },
      body: (inputs: ItemNetwork.Inputs) => {
        const { digits: logits, ...others } = parts(model, digits, inputs, inputs)
        return { ...others, digits: logits!.transpose([1, 0]) }
      }
    }))
  return Effect.fnUntraced(function*(prompts: ReadonlyArray<Prompt>, weights: Weights) {
    const given = yield* ItemModel.histories(model, prompts)
    const { feeds, last } = ItemModel.promptFeeds(model, given)
    const executable = yield* cache("digits")
    const outputs = yield* executable.run({ ...weights.feeds, ...feeds, last: hostInt32(last, last.length) })
    const logits = (yield* outputs["digits"]!.read).data as Float32Array
    const biases = (yield* outputs["biases"]!.read).data as Float32Array
    const repeats = outputs["repeats"] && (yield* outputs["repeats"].read).data[0]!
    const scored: Scored = {
      of: (prompt) => {
        const scores = sum(columns, logits.subarray(prompt * columns.width, (prompt + 1) * columns.width), biases)
        if (repeats !== undefined) Repeats.add(scores, given[prompt]!.items, repeats)
        return scores
      }
    }
    return scored
  }, Effect.scoped)
})

/** Builds the program whose gradient is that of the scores times given derivatives. */
export const pullProgram = (
  model: ItemModel.ItemModel,
  digits: DigitHead.DigitShape,
  frozen: ReadonlyArray<string>
): TensorProgram.TensorProgram =>
  TensorProgram.make({
    name: `${model.family}.pull`,
    inputs: {
      ...ItemModel.inputs(model),
      last: int32("P"),
      ...Pulls.inputs(DigitHead.pulls(model.shape, "P"))
    },
    body: (inputs: ItemNetwork.Inputs) => {
      const { gradients, value } = Autodiff.valueAndGradients(
        (own) => Pulls.of(parts(model, digits, { ...inputs, ...own }, inputs), inputs),
        ItemModel.trained(model, inputs, frozen)
      )
      return { value, ...gradients }
    }
  })

/** Returns the feeds of `pullProgram` for derivatives by every item's score after each prompt, [P][N]. */
export const pullFeeds = Effect.fnUntraced(function*(
  model: ItemModel.ItemModel,
  columns: DigitColumns,
  prompts: ReadonlyArray<Prompt>,
  pulls: ReadonlyArray<Float64Array>
) {
  const given = yield* ItemModel.histories(model, prompts)
  const { feeds, last } = ItemModel.promptFeeds(model, given)
  const table = new Float32Array(columns.width * prompts.length)
  const biases = new Float64Array(model.shape.items)
  const row = new Float64Array(columns.width)
  let repeats = 0
  for (const [p, pull] of pulls.entries()) {
    row.fill(0)
    scatter(columns, pull, row)
    for (let c = 0; c < columns.width; c++) table[c * prompts.length + p] = row[c]!
    for (const [item, value] of pull.entries()) biases[item]! += value
    repeats += Repeats.pull(pull, given[p]!.items)
  }
  return {
    ...feeds,
    last: hostInt32(last, last.length),
    ...Pulls.feeds({
      digits: hostFloat32(table, columns.width, prompts.length),
      biases: hostFloat32(Float32Array.from(biases), biases.length),
      ...(model.shape.repeats ? { repeats: hostFloat32(Float32Array.of(repeats)) } : {})
    })
  }
})
