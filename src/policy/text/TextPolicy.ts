/**
 * Text family of policies: a pretrained decoder of a Hugging Face folder whose vocabulary has grown by the SID tokens of
 * the catalogue.
 *
 * It searches and scores SIDs as the flat family does, after prompts in words.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import { ItemEmbeddings } from "../../embedding/ItemEmbeddings.ts"
import { Sids } from "../../sid/Sids.ts"
import * as Attention from "../../tensor/Attention.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import * as FlatSession from "../flat/FlatSession.ts"
import * as FlatTrees from "../flat/FlatTrees.ts"
import { NoContent, PolicyError } from "../PolicyError.ts"
import { PolicyModel } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import * as TextCodec from "./TextCodec.ts"
import * as TextFolder from "./TextFolder.ts"
import * as TextNetwork from "./TextNetwork.ts"
import * as TextParameters from "./TextParameters.ts"
import { type TextPolicyConfig } from "./TextPolicyConfig.ts"
import * as TextSupervised from "./TextSupervised.ts"
import { toModel } from "./TextVocabulary.ts"
import * as Words from "./Words.ts"

const make = (config: TextPolicyConfig, words: Words.Words, seed: number, attention: number) =>
  Effect.gen(function*() {
    const { index } = yield* Sids
    const { checkpoint, decoder: shape, maximum, vocabulary } = yield* TextFolder.open(config, index)
    const embeddings = config.start === "projected"
      ? (yield* (yield* ItemEmbeddings).all.pipe(
        Effect.mapError(({ message }) =>
          new PolicyError({ reason: new NoContent({ family: TextNetwork.family, detail: message }) })
        )
      )).matrix
      : undefined
    const specs = () => TextParameters.make({ checkpoint, vocabulary, words, embeddings, seed }, config)
    const slots = Object.entries(specs()).map(([name, { shape, storage = "float32", trainable = true }]) => ({
      name,
      shape,
      storage,
      trainable
    }))
    const network = TextNetwork.make(shape, vocabulary, slots)
    const modelIds = toModel(vocabulary, shape.vocabulary)
    const encode = (prompt: Prompt) =>
      modelIds(TextCodec.encode(vocabulary.codec, Words.segments(words, vocabulary.beginning, prompt))).subarray(
        -maximum
      )
    const decoder = yield* FlatDecoder.make({
      network,
      base: shape.vocabulary,
      prompt: (prompt) => Effect.sync(() => encode(prompt))
    })
    const layout: TextSupervised.Layout = {
      vocabulary,
      words,
      rows: shape.vocabulary,
      maximum,
      batchTokens: config.batchTokens,
      loss: config.loss
    }
    return PolicyModel.of({
      family: TextNetwork.family,
      get parameters() {
        return specs()
      },
      positions: (prompt) => encode(prompt).length,
      open: (prompts, options) => FlatSession.open(decoder, prompts, options),
      plan: (examples, seed, epoch) => TextSupervised.plan(layout, examples, seed, epoch),
      score: (groups, weights) => FlatTrees.score(decoder, attention, groups, weights),
      scoreItems: Option.none(),
      supervised: yield* TextSupervised.gradients(yield* TensorRuntime, network, config.dropout),
      groupGradient: (objective) => FlatTrees.groupGradient(decoder, attention, objective)
    })
  })

/**
 * Builds the text policy for the catalogue of the context, which speaks in `words`; what the folder does not determine is drawn from `seed`.
 * Candidate trees are computed in parts of at most `attention` cells (default 2^26, 256 MB of float32). Fails for a folder
 * that cannot be used.
 */
export const layer = (
  config: TextPolicyConfig,
  words: Words.Words,
  seed: number,
  attention: number = Attention.widest
): Layer.Layer<
  PolicyModel,
  PolicyError,
  TensorRuntime | Sids | ItemEmbeddings | FileSystem.FileSystem | Path.Path
> => Layer.effect(PolicyModel, make(config, words, seed, attention))
