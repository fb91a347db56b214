/**
 * SASRec (Kang and McAuley 2018), trained on the engine with cross entropy over all items: a scorer for teachers,
 * priors and baselines.
 *
 * Differs from the paper: the loss is the full softmax at every position instead of one sampled negative (better
 * according to Klenitskiy and Vasilev 2023), optimized by AdamW with a moving average of the weights; the network is by
 * default `DecoderNetwork`; and the probability of items of the history is calibrated (`Repeats`). `network:
 * "published"` with `loss: "binary"` is MiniOneRec's SASRec. Every random draw is a function of the seed.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Example } from "../../../catalog/Split.ts"
import * as Adam from "../../../optimizer/Adam.ts"
import * as LearningRate from "../../../optimizer/LearningRate.ts"
import { type Feeds } from "../../../optimizer/ParameterStore.ts"
import { PolicyParameters } from "../../../policy/PolicyParameters.ts"
import { Checkpointer } from "../../../run/Checkpointer.ts"
import { Progress } from "../../../run/Progress.ts"
import { type RunError } from "../../../run/RunError.ts"
import * as Random from "../../../statistics/Random.ts"
import * as Dropout from "../../../tensor/Dropout.ts"
import { type TensorError } from "../../../tensor/TensorError.ts"
import * as TensorProgram from "../../../tensor/TensorProgram.ts"
import { type TensorRuntime } from "../../../tensor/TensorRuntime.ts"
import * as Selection from "../../../training/Selection.ts"
import * as Trainer from "../../../training/Trainer.ts"
import * as TrainingState from "../../../training/TrainingState.ts"
import { type Scorer } from "../Scorer.ts"
import { ScorerError } from "../ScorerError.ts"
import * as DecoderNetwork from "./DecoderNetwork.ts"
import * as NextItemRank from "./NextItemRank.ts"
import * as PublishedNetwork from "./PublishedNetwork.ts"
import * as Repeats from "./Repeats.ts"
import { type SasRecConfig } from "./SasRecConfig.ts"
import * as SasRecLoss from "./SasRecLoss.ts"
import * as SasRecNetwork from "./SasRecNetwork.ts"
import * as SasRecRows from "./SasRecRows.ts"
import * as SasRecScorer from "./SasRecScorer.ts"

const { float32, hostFloat32, hostInt32, int32 } = TensorProgram

/** Kind of its training checkpoints. */
export const kind = "sasrec"

/** Keys of the random draws from a seed. */
const draws = { weights: 0x5a5, order: 0x5a6, negatives: 0x5a7 }

/** Number of training sequences on which repeats are calibrated. */
const calibrating = 1024

/** Makes the network of a configuration over N items, with initial weights drawn from the seed. */
export const network = (config: SasRecConfig, items: number, seed: number): SasRecNetwork.Network => {
  const normal = Random.normal(seed, draws.weights)
  const shape = { ...config, items }
  return config.network === "published" ? PublishedNetwork.make(shape, normal) : DecoderNetwork.make(shape, normal)
}

/** Makes a scorer with given weights, such as MiniOneRec's, which must fit the configuration's network. */
export const scorer: (
  config: SasRecConfig,
  items: number,
  weights: Feeds,
  options?: Pick<SasRecScorer.ScorerOptions, "scale" | "repeatBias">
) => Effect.Effect<Scorer, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("SasRec.scorer")(
  function*(config, items, weights, options = {}) {
    const make = yield* SasRecScorer.compile(network(config, items, 0))
    return make(Effect.succeed(weights), { ...options, window: config.window })
  }
)

/** Builds the trainer: the inputs of a step in addition to the weights, and the gradient program over them. */
const trainerOf = (model: SasRecNetwork.Network, config: SasRecConfig, dropout: ReadonlyArray<string>) =>
  Trainer.make<string, string>({
    name: "sasrec.train",
    parameters: model.parameters,
    inputs: {
      ...SasRecNetwork.rowInputs,
      places: int32("M"),
      targets: int32("M"),
      ...(config.loss === "binary" ? { negatives: int32("M") } : {}),
      ...Object.fromEntries(dropout.map((site) => [site, float32("B", "T", model.width)]))
    },
    loss: (weights, inputs) => {
      const input = { ...SasRecNetwork.rowsOf(inputs), dropout: dropout.map((site) => inputs[site]!) }
      const states = tf.gather(model.states(weights, input), inputs["places"]!) as tf.Tensor2D
      const readout = model.readout(weights, states)
      return config.loss === "binary"
        ? SasRecLoss.binary(readout, inputs["targets"]!, inputs["negatives"]!)
        : SasRecLoss.crossEntropy(readout, inputs["targets"]!, config.smoothing)
    },
    optimizer: Adam.adamW(config.optimizer)
  })

/** Draws for every target a different item uniformly. */
const negativesOf = (targets: ArrayLike<number>, items: number, ...key: ReadonlyArray<number>): Int32Array => {
  const next = Random.uniform(...key)
  return Int32Array.from(targets, (target) => (target + 1 + Math.floor(next() * (items - 1))) % items)
}

/** Options of a training. */
export interface TrainOptions {
  /** Whether validation excludes items of the history from every list. @default false */
  readonly historyExcluded?: boolean | undefined
  /** Scale of the scores. @default probability */
  readonly scale?: SasRecScorer.Scale | undefined
}

type TrainError = TensorError | RunError | ScorerError

/** Returns an error if sequences cannot be trained on, else undefined. */
const problemOf = (sequences: ReadonlyArray<Int32Array>, items: number): ScorerError | undefined => {
  const fail = (detail: string) => new ScorerError({ scorer: SasRecScorer.name, detail })
  for (const [at, sequence] of sequences.entries()) {
    const outside = sequence.find((item) => !(item >= 0 && item < items))
    if (outside !== undefined) {
      return fail(
        `training sequence ${at} holds item ${outside}, but the catalogue has ${items} items; pass the whole catalogue`
      )
    }
  }
  return sequences.some(({ length }) => length > 1)
    ? undefined
    : fail(`none of ${sequences.length} training sequences has two items; there is nothing to learn from`)
}

/**
 * Trains on sequences of items 0 .. `items` - 1, oldest first, and returns a scorer with the weights of the best
 * NDCG@10 on the validation examples, or the last weights without validation examples. Resumes from the latest
 * checkpoint of its kind, with the result of an uninterrupted training. Fails with `ScorerError` for an item out of
 * range or without a sequence of two items.
 */
export const resume: (
  sequences: ReadonlyArray<Int32Array>,
  validation: ReadonlyArray<Example>,
  items: number,
  config: SasRecConfig,
  seed: number,
  options?: TrainOptions
) => Effect.Effect<Scorer, TrainError, TensorRuntime | Progress | Checkpointer | Scope.Scope> = Effect.fn(
  "SasRec.resume"
)(function*(sequences, validation, items, config, seed, { historyExcluded = false, scale } = {}) {
  const progress = yield* Progress
  const problem = problemOf(sequences, items)
  if (problem !== undefined) return yield* problem
  const model = network(config, items, seed)
  const { dropout, epochs, window } = config
  const sites = Array.from({ length: dropout > 0 ? model.dropoutSites : 0 }, (_, site) => `dropout.${site}`)
  const masks = Dropout.make(sites.length)
  const trainer = yield* trainerOf(model, config, sites)
  const { store } = trainer
  const plan = { window, positions: config.batchPositions, padding: model.padding }
  const batchesOf = (epoch: number) => SasRecRows.plan(sequences, plan, seed, draws.order, epoch)
  const feedsOf = ({ inputs, length, places, rows, targets }: SasRecRows.Batch, step: number) => ({
    ...inputs,
    places,
    targets,
    ...(config.loss === "binary"
      ? { negatives: hostInt32(negativesOf(targets.data, items, seed, draws.negatives, step), targets.data.length) }
      : {}),
    ...Object.fromEntries(
      masks.draw(seed, step, rows * length * model.width, dropout).map((mask, site) => [
        sites[site]!,
        hostFloat32(mask, rows, length, model.width)
      ])
    )
  })

  const makeScorer = yield* SasRecScorer.compile(model)
  const weights = Effect.map(store.evaluation, ({ feeds }) => feeds)
  const users = TrainingState.sample(validation, config.validationUsers, seed)
  const expected = Repeats.share(sequences, window)
  const histories = TrainingState.sample(sequences, calibrating, seed).map((items, user) => ({ user, items }))
  const calibrated = Effect.fnUntraced(function*(scale: SasRecScorer.Scale) {
    const plain = makeScorer(weights, { window })
    const repeatBias = config.repeats === "calibrated" ? yield* Repeats.bias(plain, histories, window, expected) : 0
    return makeScorer(weights, { window, scale, repeatBias })
  })

  const steps = epochs * batchesOf(0).length
  const selection = yield* Selection.open({
    kind,
    rounds: epochs,
    every: config.epochsPerValidation,
    patience: config.patience,
    optimizer: config.optimizer
  }).pipe(Effect.provideService(PolicyParameters, store))
  let [step, epoch] = [selection.step, selection.round]
  const bestSoFar = () =>
    users.length === 0 || selection.best < 0
      ? ""
      : `, best NDCG@10 ${selection.best.toFixed(4)} after epoch ${selection.bestRound}`
  const tracker = progress.start("sasrec", steps, "steps", step)
  while (epoch < epochs && !selection.isExhausted) {
    let lossSum = 0
    for (const [i, batch] of batchesOf(epoch).entries()) {
      const { loss } = yield* trainer.step(feedsOf(batch, step), LearningRate.at(config.learningRate, step, steps))
      step++
      lossSum += loss
      tracker.update(step, `epoch ${epoch + 1}/${epochs}, loss ${(lossSum / (i + 1)).toFixed(3)}${bestSoFar()}`)
    }
    epoch++
    if (selection.isDue(epoch)) {
      const validating = progress.part("sasrec validation", users.length, "users")
      const score = users.length === 0
        ? epoch
        : yield* NextItemRank.meanNdcg(users, yield* calibrated("logit"), historyExcluded, 10, validating.update)
      validating.finish()
      yield* selection.observe(score, { step, round: epoch })
    }
  }
  tracker.finish(`${epoch} epochs${bestSoFar()}`, step)
  yield* selection.finish
  return yield* calibrated(scale ?? "probability")
})

/**
 * Returns whether a training with this configuration has ended in the checkpoints, so that `resume` reads its model and
 * writes nothing.
 */
export const isTrained = ({ epochs, patience }: SasRecConfig): Effect.Effect<boolean, RunError, Checkpointer> =>
  Effect.gen(function*() {
    const latest = yield* (yield* Checkpointer).latest(kind)
    return latest !== undefined &&
      (Number(latest.meta["epoch"]) >= epochs || Number(latest.meta["sinceBest"]) >= patience)
  })

/** Trains as `resume` does, from the beginning; checkpoints stay in memory. */
export const train = (
  ...parameters: Parameters<typeof resume>
): Effect.Effect<Scorer, TrainError, TensorRuntime | Progress | Scope.Scope> =>
  Effect.provide(resume(...parameters), Checkpointer.layerMemory)
