/**
 * Supervised training of a policy with one position per item: the batches of an epoch and the gradient of a batch.
 */
import * as Effect from "effect/Effect"
import * as History from "../../catalog/History.ts"
import * as Random from "../../statistics/Random.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import * as Pulls from "../../tensor/Pulls.ts"
import { hostFloat32, hostInt32, type HostTensor } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import * as GradientParts from "../GradientParts.ts"
import * as ItemPrompt from "../ItemPrompt.ts"
import { ofTensor } from "../PolicyError.ts"
import { type Gradient, type LossTerms, type SupervisedBatch } from "../PolicyModel.ts"
import { type TrainingExample } from "../Prompt.ts"
import type * as EventTimes from "./EventTimes.ts"
import { type ClassTargets, type GraphLoss, type HostLoss } from "./GeneratorHead.ts"
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

/** Computes the final states, and those that the heads read. */
const statesOf = (model: ItemModel.ItemModel, weights: ItemNetwork.Inputs, inputs: ItemNetwork.Inputs) => {
  const masks = ItemMasks.present(model) ? ItemMasks.of(model, inputs) : undefined
  const states = ItemNetwork.states(model.shape, weights, inputs, masks?.transformer)
  const seen = masks === undefined ? states : states.mul(masks.head.reshape(states.shape))
  return { seen, generator: masks?.generator === undefined ? seen : states, dropout: masks?.generator }
}

/** Inputs of every program over the positions of a batch. */
const batchInputs = (model: ItemModel.ItemModel) => ({
  ...ItemModel.inputs(model),
  ...(ItemMasks.present(model) ? ItemMasks.inputs(model) : {})
})

const nameOf = (model: ItemModel.ItemModel, what: string) =>
  `${model.family}.${what}${ItemMasks.present(model) ? ".dropout" : ""}`

/** Returns what a loss on the host depends on, from the states that the generator reads. */
const hostOutputs = (
  { shape }: ItemModel.ItemModel,
  loss: HostLoss,
  weights: ItemNetwork.Inputs,
  { dropout, generator }: ReturnType<typeof statesOf>
) => loss.outputs(shape, weights, dropout === undefined ? generator : generator.mul(dropout.reshape(generator.shape)))

/** Builds the program that computes what a loss on the host depends on. */
const outputsProgram = (model: ItemModel.ItemModel, loss: HostLoss) =>
  TensorProgram.make({
    name: nameOf(model, "outputs"),
    inputs: batchInputs(model),
    body: (inputs: ItemNetwork.Inputs) => hostOutputs(model, loss, inputs, statesOf(model, inputs, inputs))
  })

/** Builds the program of the gradient; a loss on the host has its derivatives as inputs, and no term. */
const program = (model: ItemModel.ItemModel, frozen: ReadonlyArray<string>) => {
  const { head: { loss, term }, settings: { itemWeight, labelSmoothing: smoothing }, shape } = model
  return TensorProgram.make({
    name: nameOf(model, "supervised"),
    inputs: {
      ...batchInputs(model),
      ...ItemNetwork.classInputs(shape),
      ...(loss._tag === "Graph" ? loss.inputs(shape) : Pulls.inputs(loss.pulls(shape, "B", "T")))
    },
    body: (inputs: ItemNetwork.Inputs) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary((trained) => {
        const weights = { ...inputs, ...trained }
        const states = statesOf(model, weights, inputs)
        const item = ItemNetwork.itemLoss(shape, weights, inputs, states.seen, smoothing)
        const generated = loss._tag === "Graph"
          ? loss.of(shape, weights, inputs, states.generator, { dropout: states.dropout, smoothing })
          : Pulls.of(hostOutputs(model, loss, weights, states), inputs)
        return {
          loss: item.mul(itemWeight).add(generated),
          auxiliary: { "term.item": item, ...(loss._tag === "Graph" ? { [`term.${term}`]: generated } : {}) }
        }
      }, ItemModel.trained(model, inputs, frozen))
      return { loss: value, ...auxiliary, ...gradients }
    }
  })
}

/** Makes the gradient of the losses of both heads, each the mean cross-entropy per target, in nats. */
export const gradient = Effect.fnUntraced(function*(model: ItemModel.ItemModel) {
  const { head: { loss, term }, index, settings: { labelSmoothing: smoothing, negatives }, shape, space } = model
  const cache = yield* ProgramCache.make(
    model.runtime,
    ({ frozen }: { readonly frozen: ReadonlyArray<string> }) => program(model, frozen)
  )
  const dropping = ItemMasks.present(model)
  const masksOf = ItemMasks.make(model)

  /** Returns the feeds of a part besides those of its generator's loss, and its targets. */
  const feedsOf = (
    { feeds: { targets, weights, ...rows } }: SupervisedBatch,
    part: number,
    { seed, step }: { readonly seed: number; readonly step: number }
  ) => {
    const [count, length] = rows["items"]!.shape as [number, number]
    const given = { items: targets!.data as Int32Array, weights: weights!.data as Float32Array }
    const sampled = SampledClasses.feeds(given.items, given.weights, {
      items: shape.items,
      negatives,
      key: [seed, step, part, 0x5a3],
      shape: [count, length]
    })
    const classes = sampled["classes"]!.data as Int32Array
    const repeats = shape.repeats ? Repeats.classesOf(rows, classes, shape.items) : undefined
    return {
      positions: {
        ...model.catalogue,
        ...rows,
        ...(dropping ? masksOf(count, length, seed + part * 0x1_0000, step) : {})
      },
      classes: {
        ...sampled,
        ...(repeats === undefined ? {} : Repeats.feeds(repeats, [count, length], classes.length))
      },
      given,
      targets: {
        shape: [count, length],
        classes,
        corrections: sampled["corrections"]!.data as Float32Array,
        targets: sampled["labels"]!.data as Int32Array,
        weights: given.weights,
        repeats,
        smoothing
      } satisfies ClassTargets
    }
  }

  const inGraph = (loss: GraphLoss): Gradient<SupervisedBatch> => ({
    accumulate: Effect.fn("PolicyModel.supervised")(function*(store, parts, key) {
      const executable = yield* cache({ frozen: FlatDecoder.frozenIn(store) }).pipe(Effect.mapError(ofTensor))
      return yield* GradientParts.accumulateBatches(store, executable, parts, (batch, part) => {
        const { classes, given, positions } = feedsOf(batch, part, key)
        return { ...positions, ...classes, ...loss.feeds(shape, space, given) }
      })
    })
  })

  const onHost = Effect.fnUntraced(function*(loss: HostLoss) {
    const outputsCache = yield* ProgramCache.make<"outputs">(model.runtime, () => outputsProgram(model, loss))
    const evaluation = loss.evaluation(shape, index)
    const result: Gradient<SupervisedBatch> = {
      accumulate: Effect.fn("PolicyModel.supervised")(
        function*(store, parts, key) {
          const outputs = yield* outputsCache("outputs")
          const executable = yield* cache({ frozen: FlatDecoder.frozenIn(store) })
          const { feeds: weights } = yield* store.weights
          let value = 0
          const prepare = Effect.fnUntraced(function*(batch: SupervisedBatch, part: number, share: number) {
            const { classes, positions, targets } = feedsOf(batch, part, key)
            const computed = yield* outputs.run({ ...weights, ...positions }, evaluation.into(targets.targets.length))
            const read: Record<string, HostTensor> = {}
            for (const [name, output] of Object.entries(computed)) read[name] = yield* output.read
            const { loss, pulls } = evaluation.evaluate(read, targets)
            value += share * loss
            return { ...positions, ...classes, ...Pulls.feeds(pulls) }
          }, Effect.scoped)
          const sums: LossTerms = yield* GradientParts.accumulateBatches(
            store,
            executable,
            parts,
            (batch, part) => prepare(batch, part, parts[part]!.share ?? 1)
          )
          return { ...sums, loss: sums.loss + value, [term]: value }
        },
        Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
      )
    }
    return result
  })

  return loss._tag === "Graph" ? inGraph(loss) : yield* onHost(loss)
})
