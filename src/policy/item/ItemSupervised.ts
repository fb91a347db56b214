/**
 * Supervised training of a policy with one position per item: the batches of an epoch and the gradient of a batch.
 */
import * as Effect from "effect/Effect"
import * as History from "../../catalog/History.ts"
import * as Random from "../../statistics/Random.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import * as GradientParts from "../GradientParts.ts"
import * as ItemPrompt from "../ItemPrompt.ts"
import { ofTensor } from "../PolicyError.ts"
import { type Gradient, type SupervisedBatch } from "../PolicyModel.ts"
import { type TrainingExample } from "../Prompt.ts"
import type * as EventTimes from "./EventTimes.ts"
import * as ItemMasks from "./ItemMasks.ts"
import * as ItemModel from "./ItemModel.ts"
import * as ItemNetwork from "./ItemNetwork.ts"
import * as ItemRows from "./ItemRows.ts"
import * as Repeats from "./Repeats.ts"
import * as SampledClasses from "./SampledClasses.ts"

const programName = "items.supervised"

/** Sequence of events; the first `given` items have no loss, and the losses of the others are multiplied by `weight`. */
interface Sequence extends EventTimes.Events {
  readonly given: number
  readonly weight: number
}

const sequenceOf = Effect.fnUntraced(function*(
  { family, settings: { historyItems } }: ItemModel.ItemModel,
  { answer, prompt, weight }: TrainingExample
) {
  const history = yield* ItemPrompt.history(family, prompt)
  const own = answer === "every-position" ? [] : yield* ItemPrompt.answered(family, answer)
  const all = own.length === 0 ? history : {
    ...history,
    items: Int32Array.from([...history.items, ...own]),
    // The times of answers are not known.
    times: history.times && Float64Array.from([...history.times, ...own.map(() => NaN)])
  }
  const { items, times } = History.latest(all, historyItems + 1)
  const given = own.length === 0 ? 0 : Math.max(0, history.items.length - (all.items.length - items.length))
  return { items, times, given, weight } satisfies Sequence
})

/** Lays out rows of sequences; the targets of a sequence are its items, the inputs are its beginning and all but the last. */
const batchOf = (
  model: ItemModel.ItemModel,
  sequences: ReadonlyArray<Sequence>,
  places: ReturnType<typeof ItemRows.assign>["places"],
  rows: number,
  length: number
): SupervisedBatch => {
  const inputs = sequences.map(({ items, times }) => ({ items: items.subarray(0, -1), times }))
  const filled = ItemRows.fill(inputs.map(({ items }) => items), places, rows, length, model.shape.items)
  const targets = new Int32Array(rows * length).fill(-1)
  const weights = new Float32Array(rows * length)
  let [losses, total] = [0, 0]
  for (const [s, { given, items, weight }] of sequences.entries()) {
    for (let t = given; t < items.length; t++) {
      targets[filled.starts[s]! + t] = items[t]!
      weights[filled.starts[s]! + t] = weight
      losses++
      total += weight
    }
  }
  for (let i = 0; i < weights.length; i++) weights[i] = weights[i]! / (total > 0 ? total : 1)
  return {
    program: programName,
    targets: losses,
    feeds: {
      ...ItemModel.rowFeeds(model, filled, inputs),
      targets: hostInt32(targets, rows, length),
      weights: hostFloat32(weights, rows, length)
    }
  }
}

/**
 * Packs the examples of an epoch into batches of about `batchItems` positions, in an order drawn from (seed, epoch);
 * fails for text prompts and answers.
 */
export const plan = Effect.fnUntraced(function*(
  model: ItemModel.ItemModel,
  examples: ReadonlyArray<TrainingExample>,
  seed: number,
  epoch: number
) {
  const all = yield* Effect.forEach(examples, (example) => sequenceOf(model, example))
  const order = Array.from(Random.permutation(all.length, seed, epoch), (which) => all[which]!)
    .filter(({ items }) => items.length > 0)
  const lengths = order.map(({ items }) => items.length)
  const length = Math.max(ItemRows.rowLength, ...lengths)
  const { places, rows } = ItemRows.assign(lengths, length)
  const rowsPerBatch = Math.max(1, Math.round(model.settings.batchItems / length))
  const members = Array.from({ length: Math.ceil(rows / rowsPerBatch) }, (): Array<number> => [])
  for (const [s, { row }] of places.entries()) members[Math.floor(row / rowsPerBatch)]!.push(s)
  return members.map((own, batch) => {
    const first = batch * rowsPerBatch
    return batchOf(
      model,
      own.map((s) => order[s]!),
      own.map((s) => ({ row: places[s]!.row - first, offset: places[s]!.offset })),
      Math.min(rowsPerBatch, rows - first),
      length
    )
  })
})

const program = (model: ItemModel.ItemModel, frozen: ReadonlyArray<string>) => {
  const dropping = ItemMasks.present(model)
  const { head, settings: { itemWeight, labelSmoothing: smoothing }, shape } = model
  return TensorProgram.make({
    name: `${model.family}.supervised${dropping ? ".dropout" : ""}`,
    inputs: {
      ...ItemModel.inputs(model),
      ...ItemNetwork.classInputs(shape),
      ...head.inputs(shape),
      ...(dropping ? ItemMasks.inputs(model) : {})
    },
    body: (inputs: ItemNetwork.Inputs) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary((trained) => {
        const weights = { ...inputs, ...trained }
        const masks = dropping ? ItemMasks.of(model, inputs) : undefined
        const states = ItemNetwork.states(shape, weights, inputs, masks?.transformer)
        const seen = masks === undefined ? states : states.mul(masks.head.reshape(states.shape))
        const item = ItemNetwork.itemLoss(shape, weights, inputs, seen, smoothing)
        const generated = head.loss(shape, weights, inputs, masks?.generator === undefined ? seen : states, {
          dropout: masks?.generator,
          smoothing
        })
        return {
          loss: item.mul(itemWeight).add(generated),
          auxiliary: { "term.item": item, [`term.${head.term}`]: generated }
        }
      }, ItemModel.trained(model, inputs, frozen))
      return { loss: value, ...auxiliary, ...gradients }
    }
  })
}

/** Makes the gradient of the losses of both heads, each the mean cross-entropy per target, in nats. */
export const gradient = Effect.fnUntraced(function*(model: ItemModel.ItemModel) {
  const { head, settings, shape, space } = model
  const { negatives } = settings
  const cache = yield* ProgramCache.make(
    model.runtime,
    ({ frozen }: { readonly frozen: ReadonlyArray<string> }) => program(model, frozen)
  )
  const dropping = ItemMasks.present(model)
  const masksOf = ItemMasks.make(model)
  const result: Gradient<SupervisedBatch> = {
    accumulate: Effect.fn("PolicyModel.supervised")(function*(store, parts, { seed, step }) {
      const executable = yield* cache({ frozen: FlatDecoder.frozenIn(store) }).pipe(Effect.mapError(ofTensor))
      const feedsOf = ({ feeds: { targets, weights, ...rows } }: SupervisedBatch, part: number) => {
        const [count, length] = rows["items"]!.shape as [number, number]
        const given = { items: targets!.data as Int32Array, weights: weights!.data as Float32Array }
        const sampled = SampledClasses.feeds(given.items, given.weights, {
          items: shape.items,
          negatives,
          key: [seed, step, part, 0x5a3],
          shape: [count, length]
        })
        return {
          ...model.catalogue,
          ...rows,
          ...sampled,
          ...(shape.repeats ? Repeats.feeds(rows, sampled["classes"]!, shape.items) : {}),
          ...head.feeds(shape, space, given),
          ...(dropping ? masksOf(count, length, seed + part * 0x1_0000, step) : {})
        }
      }
      return yield* GradientParts.accumulateBatches(store, executable, parts, feedsOf)
    })
  }
  return result
})
