/**
 * Supervised training of a text policy: the cross-entropy of a language model over its whole vocabulary, SID tokens and
 * text alike, on the answers of tasks.
 *
 * Examples are packed into rows and do not see each other. Only the positions with a loss get logits.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Random from "../../statistics/Random.ts"
import * as Attention from "../../tensor/Attention.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import { type Inputs, type Parameters } from "../flat/CodeNetwork.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import * as FlatPrograms from "../flat/FlatPrograms.ts"
import * as GradientParts from "../GradientParts.ts"
import { ofTensor, PolicyError, Unsupported } from "../PolicyError.ts"
import { type Gradient, type SupervisedBatch } from "../PolicyModel.ts"
import { type Segment, type TrainingExample } from "../Prompt.ts"
import * as FirstFit from "../transformer/FirstFit.ts"
import * as StateDropout from "../transformer/StateDropout.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as TextCodec from "./TextCodec.ts"
import * as TextNetwork from "./TextNetwork.ts"
import { type TextVocabulary, toModel } from "./TextVocabulary.ts"
import * as Words from "./Words.ts"

/** Layout of examples as rows of tokens. */
export interface Layout {
  readonly vocabulary: TextVocabulary
  readonly words: Words.Words
  /** Rows of the folder's embedding, V. */
  readonly rows: number
  /** Most positions of an example. */
  readonly maximum: number
  /** Positions of a batch, about. */
  readonly batchTokens: number
  readonly loss: "answer" | "all"
}

/** Example in text: its segments, and the weight of its losses. */
interface Asked {
  readonly prompt: ReadonlyArray<Segment>
  readonly answer: ReadonlyArray<Segment>
  readonly weight: number
}

/** Returns an example in text; every item of a history but the first asks for itself. */
const asked = (
  { vocabulary: { beginning }, words }: Layout,
  { answer, prompt, weight }: TrainingExample
): Effect.Effect<ReadonlyArray<Asked>, PolicyError> => {
  if (answer !== "every-position") {
    return Effect.succeed([{ prompt: Words.segments(words, beginning, prompt), answer, weight }])
  }
  if (prompt._tag === "Text") {
    return Effect.fail(
      new PolicyError({
        reason: new Unsupported({
          family: TextNetwork.family,
          what: `every position of the text prompt of the task "${prompt.task}" as an answer`,
          remedy: "pass the segments of the answer"
        })
      })
    )
  }
  const { items } = prompt.history
  return Effect.succeed(Array.from(items.subarray(1), (item, i) => ({
    ...words.ofHistory(items.subarray(0, i + 1), item, beginning),
    weight
  })))
}

/** Encoded example: inputs and their next tokens, of which those from `first` on have a loss. */
interface Row {
  readonly tokens: Int32Array
  readonly first: number
  readonly weight: number
}

/** Divisor of the length of rows, so that few different lengths occur. */
const step = 64

const fill = (rows: ReadonlyArray<ReadonlyArray<Row>>, length: number): SupervisedBatch => {
  const size = rows.length * length
  const [tokens, positions] = [new Int32Array(size), new Int32Array(size)]
  const segments = new Int32Array(size).fill(-1)
  const [places, targets, weights]: [Array<number>, Array<number>, Array<number>] = [[], [], []]
  for (const [r, members] of rows.entries()) {
    let at = r * length
    for (const [segment, { first, tokens: own, weight }] of members.entries()) {
      for (let t = 0; t + 1 < own.length; t++) {
        tokens[at] = own[t]!
        positions[at] = t
        segments[at] = segment
        if (t + 1 >= first) {
          places.push(at)
          targets.push(own[t + 1]!)
          weights.push(weight)
        }
        at++
      }
    }
  }
  const total = weights.reduce((a, b) => a + b, 0)
  const shape = [rows.length, length] as const
  return {
    program: `supervised.${length}`,
    targets: targets.length,
    feeds: {
      tokens: TensorProgram.hostInt32(tokens, ...shape),
      positions: TensorProgram.hostInt32(positions, ...shape),
      segments: TensorProgram.hostInt32(segments, ...shape),
      places: TensorProgram.hostInt32(Int32Array.from(places), places.length),
      targets: TensorProgram.hostInt32(Int32Array.from(targets), targets.length),
      weights: TensorProgram.hostFloat32(
        Float32Array.from(weights, (weight) => weight / (total > 0 ? total : 1)),
        weights.length
      )
    }
  }
}

/** Packs the examples of an epoch into batches; fails for a text prompt without an answer. */
export const plan = Effect.fnUntraced(function*(
  layout: Layout,
  examples: ReadonlyArray<TrainingExample>,
  seed: number,
  epoch: number
) {
  const { batchTokens, loss, maximum, vocabulary } = layout
  const modelIds = toModel(vocabulary, layout.rows)
  const all = (yield* Effect.forEach(examples, (example) => asked(layout, example))).flat().map(
    ({ answer, prompt, weight }): Row => {
      const example = TextCodec.encodeExample(vocabulary.codec, prompt, answer, { end: vocabulary.end, maximum })
      return { tokens: modelIds(example.ids), first: loss === "all" ? 1 : Math.max(1, example.answer), weight }
    }
  )
  const rows = Array.from(Random.permutation(all.length, seed, epoch), (which) => all[which]!)
  const sizes = rows.map(({ tokens }) => Math.max(0, tokens.length - 1))
  const longest = sizes.reduce((most, size) => Math.max(most, size), 0)
  const length = Math.max(2 * step, Math.ceil(longest / step) * step)
  const packed = FirstFit.rows(sizes, length)
  const perBatch = Math.max(1, Math.round(batchTokens / length))
  return Array.from(
    { length: Math.ceil(packed.length / perBatch) },
    (_, b) =>
      fill(
        packed.slice(b * perBatch, (b + 1) * perBatch).map((members) => members.map((which) => rows[which]!)),
        length
      )
  ).filter(({ targets }) => targets > 0)
})

/** Builds the program that returns the loss of packed rows of `length` positions and its gradients. */
const program = (network: TextNetwork.TextNetwork, parameters: Parameters, length: number, dropout: boolean) => {
  const { config } = network
  return TensorProgram.make({
    name: `${network.family}.supervised${dropout ? ".dropout" : ""}`,
    inputs: {
      ...FlatPrograms.weightInputs(parameters),
      tokens: TensorProgram.int32("B", length),
      positions: TensorProgram.int32("B", length),
      segments: TensorProgram.int32("B", length),
      /** Flat index of each position with a loss. */
      places: TensorProgram.int32("M"),
      targets: TensorProgram.int32("M"),
      weights: TensorProgram.float32("M"),
      ...StateDropout.inputs(config, dropout, "B", length)
    },
    body: (inputs: Inputs) => {
      const { gradients, value } = Autodiff.valueAndGradients((own) => {
        const weights = { ...inputs, ...own }
        const { hidden } = Transformer.forward(config, weights, {
          tokens: network.embed(weights, inputs["tokens"]!),
          positions: inputs["positions"]!,
          mask: Attention.packedMask(inputs["segments"]!, inputs["positions"]!, config.slidingWindow),
          causalBlocks: Transformer.causalBlocks(length),
          dropout: StateDropout.masks(config, dropout, inputs)
        })
        const states = tf.gather(hidden, inputs["places"]!)
        return network.logSums(weights, states).sub(network.chosen(weights, states, inputs["targets"]!))
          .mul(inputs["weights"]!).sum()
      }, FlatPrograms.trained(parameters, inputs))
      return { loss: value, ...gradients }
    }
  })
}

/**
 * Makes the maker of gradients of the mean cross-entropy per position with a loss, with the dropout rate `share`; they
 * share its programs.
 */
export const gradients = Effect.fnUntraced(function*(
  runtime: TensorRuntime["Service"],
  network: TextNetwork.TextNetwork,
  share: number
) {
  const programs = yield* ProgramCache.make(
    runtime,
    (key: { readonly length: number; readonly frozen: ReadonlyArray<string> }) =>
      program(network, FlatDecoder.parametersWith(network.parameters, key.frozen), key.length, share > 0)
  )
  return Effect.sync((): Gradient<SupervisedBatch> => {
    const dropout = StateDropout.make(network.config, share)
    return {
      accumulate: Effect.fn("PolicyModel.supervised")(function*(store, parts, { seed, step }) {
        const [, length] = parts[0]!.batch.feeds["tokens"]!.shape as [number, number]
        const executable = yield* programs({ length, frozen: FlatDecoder.frozenIn(store) }).pipe(
          Effect.mapError(ofTensor)
        )
        return yield* GradientParts.accumulateBatches(
          store,
          executable,
          parts,
          ({ feeds }, part) => ({ ...feeds, ...dropout(feeds["tokens"]!.shape, { seed, step, part }) })
        )
      })
    }
  })
})
