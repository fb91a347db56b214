/**
 * Scores of every item by the item head.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { type Matrix } from "../../matrix/Matrix.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { hostInt32, int32 } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { ofTensor } from "../PolicyError.ts"
import { type Weights } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import * as ItemModel from "./ItemModel.ts"
import * as ItemNetwork from "./ItemNetwork.ts"
import * as Repeats from "./Repeats.ts"

/** Builds the program that returns the logits of all items after each prompt, [P, N]. */
const program = (model: ItemModel.ItemModel) =>
  TensorProgram.make({
    name: `${model.family}.items`,
    inputs: { ...ItemModel.inputs(model), last: int32("P") },
    body: (inputs: ItemNetwork.Inputs): Record<string, tf.Tensor> => {
      const { shape } = model
      const states = tf.gather(ItemNetwork.states(shape, inputs, inputs), inputs["last"]!)
      return {
        logits: ItemNetwork.itemLogits(shape, inputs, inputs, states, tf.range(0, shape.items, 1, "int32")),
        ...(shape.repeats ? { repeats: Repeats.addition(inputs[ItemNetwork.names.repeats]!) } : {})
      }
    }
  })

/** Makes the function that returns the log-probability of every item as the next one after each prompt, [P, N]. */
export const make = Effect.fnUntraced(function*(model: ItemModel.ItemModel) {
  const cache = yield* ProgramCache.make<"items">(model.runtime, () => program(model))
  return Effect.fn("PolicyModel.scoreItems")(
    function*(prompts: ReadonlyArray<Prompt>, weights: Weights) {
      const given = yield* ItemModel.histories(model, prompts)
      const { feeds, last } = ItemModel.promptFeeds(model, given)
      const executable = yield* cache("items")
      const outputs = yield* executable.run({ ...weights.feeds, ...feeds, last: hostInt32(last, last.length) })
      const logits = (yield* outputs["logits"]!.read).data as Float32Array
      const repeats = outputs["repeats"] && (yield* outputs["repeats"].read).data[0]!
      const matrix: Matrix = { rows: prompts.length, width: model.shape.items, data: logits }
      for (let r = 0; r < matrix.rows; r++) {
        const row = logits.subarray(r * matrix.width, (r + 1) * matrix.width)
        if (repeats !== undefined) Repeats.add(row, given[r]!.items, repeats)
        let most = -Infinity
        for (const value of row) if (value > most) most = value
        let sum = 0
        for (const value of row) sum += Math.exp(value - most)
        const logSum = most + Math.log(sum)
        for (let i = 0; i < row.length; i++) row[i] = row[i]! - logSum
      }
      return matrix
    },
    Effect.scoped,
    Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
  )
})
