/**
 * Supervised training of a policy with one position per item: the batches of an epoch and the gradient of a batch.
 */
import * as Effect from "effect/Effect"
import * as History from "../../catalog/History.ts"
import * as Random from "../../statistics/Random.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as Dropout from "../../tensor/Dropout.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { float32, hostFloat32, hostInt32, type HostTensor } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import * as GradientParts from "../GradientParts.ts"
import * as ItemPrompt from "../ItemPrompt.ts"
import { ofTensor } from "../PolicyError.ts"
import { type Gradient, type SupervisedBatch } from "../PolicyModel.ts"
import { type TrainingExample } from "../Prompt.ts"
import * as Transformer from "../transformer/Transformer.ts"
import type * as EventTimes from "./EventTimes.ts"
import * as ItemModel from "./ItemModel.ts"
import * as ItemNetwork from "./ItemNetwork.ts"
import * as ItemRows from "./ItemRows.ts"
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

/** Dropout masks of a program: those of the transformer, of the item head's input and of the generator's. */
const sitesOf = ({ shape: { config } }: ItemModel.ItemModel) =>
  Array.from({ length: Transformer.dropoutSites(config) }, (_, site) => `dropout.${site}`)

const attentionSites = (layers: number) => Array.from({ length: layers }, (_, layer) => `dropout.attention.${layer}`)

const program = (model: ItemModel.ItemModel, frozen: ReadonlyArray<string>, dropping: boolean) => {
  const { head, settings: { dropout: rates, itemWeight, labelSmoothing: smoothing }, shape } = model
  const { heads, layers, width } = shape.config
  const sites = dropping ? sitesOf(model) : []
  const attention = dropping && rates.attention > 0 ? attentionSites(layers) : []
  const own = dropping ? head.dropout : undefined
  return TensorProgram.make({
    name: `${model.family}.supervised${dropping ? ".dropout" : ""}`,
    inputs: {
      ...ItemModel.inputs(model),
      ...ItemNetwork.classInputs,
      ...head.inputs(shape),
      ...Object.fromEntries(sites.map((name) => [name, float32("B", "T", width)])),
      ...Object.fromEntries(attention.map((name) => [name, float32("B", heads, "T", "T")])),
      ...(dropping ? { "dropout.head": float32("B", "T", width) } : {}),
      ...(own === undefined ? {} : { "dropout.generator": float32(...own.dimensions(shape)) })
    },
    body: (inputs: ItemNetwork.Inputs) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary((trained) => {
        const weights = { ...inputs, ...trained }
        const states = ItemNetwork.states(shape, weights, inputs, {
          dropout: sites.map((name) => inputs[name]!),
          attentionDropout: attention.map((name) => inputs[name]!)
        })
        const seen = dropping ? states.mul(inputs["dropout.head"]!.reshape(states.shape)) : states
        const item = ItemNetwork.itemLoss(shape, weights, inputs, seen, smoothing)
        const generated = head.loss(shape, weights, inputs, own === undefined ? seen : states, {
          dropout: inputs["dropout.generator"],
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
  const { dropout: rates, negatives } = settings
  const { heads: attentionHeads, layers, width } = shape.config
  const cache = yield* ProgramCache.make(
    model.runtime,
    ({ dropping, frozen }: { readonly frozen: ReadonlyArray<string>; readonly dropping: boolean }) =>
      program(model, frozen, dropping)
  )
  const sites = sitesOf(model)
  const [input, residual, heads] = [Dropout.make(1), Dropout.make(sites.length - 1), Dropout.make(1)]
  const [generator, attention] = [Dropout.make(1), Dropout.make(layers)]
  const dropping =
    Math.max(rates.input, rates.attention, rates.residual, rates.head, head.dropout?.rate(rates) ?? 0) > 0
  const masksOf = (rows: number, length: number, seed: number, step: number): Record<string, HostTensor> => {
    const size = rows * length * width
    const masks = [
      ...input.draw(seed, step, size, rates.input),
      ...residual.draw(seed + 0x1000_0000, step, size, rates.residual)
    ]
    const [head_] = heads.draw(seed + 0x2000_0000, step, size, rates.head)
    const own = head.dropout?.of(shape, rows, length)
    const attentionSize = rows * attentionHeads * length * length
    const weights = rates.attention > 0
      ? attention.draw(seed + 0x4000_0000, step, attentionSize, rates.attention)
      : []
    return {
      ...Object.fromEntries(
        weights.map((mask, layer) => [
          `dropout.attention.${layer}`,
          hostFloat32(mask, rows, attentionHeads, length, length)
        ])
      ),
      ...Object.fromEntries(masks.map((mask, site) => [sites[site]!, hostFloat32(mask, rows, length, width)])),
      "dropout.head": hostFloat32(head_!, rows, length, width),
      ...(own === undefined ? {} : {
        "dropout.generator": hostFloat32(
          generator.draw(
            seed + 0x3000_0000,
            step,
            own.reduce((product, dimension) => product * dimension, 1),
            head.dropout!.rate(rates)
          )[0]!,
          ...own
        )
      })
    }
  }
  const result: Gradient<SupervisedBatch> = {
    accumulate: Effect.fn("PolicyModel.supervised")(function*(store, parts, { seed, step }) {
      const executable = yield* cache({ frozen: FlatDecoder.frozenIn(store), dropping }).pipe(Effect.mapError(ofTensor))
      const feedsOf = ({ feeds: { targets, weights, ...rows } }: SupervisedBatch, part: number) => {
        const [count, length] = rows["items"]!.shape as [number, number]
        const given = { items: targets!.data as Int32Array, weights: weights!.data as Float32Array }
        return {
          ...model.catalogue,
          ...rows,
          ...SampledClasses.feeds(given.items, given.weights, {
            items: shape.items,
            negatives,
            key: [seed, step, part, 0x5a3],
            shape: [count, length]
          }),
          ...head.feeds(shape, space, given),
          ...(dropping ? masksOf(count, length, seed + part * 0x1_0000, step) : {})
        }
      }
      return yield* GradientParts.accumulateBatches(store, executable, parts, feedsOf)
    })
  }
  return result
})
