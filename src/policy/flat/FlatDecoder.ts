/**
 * State of a flat policy over the catalogue of the context: configuration, index and compiled programs.
 */
import * as Effect from "effect/Effect"
import { type ParameterStore } from "../../optimizer/ParameterStore.ts"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { Sids } from "../../sid/Sids.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { type TensorProgram } from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import { type OpenOptions } from "../PolicyModel.ts"
import type * as Transformer from "../transformer/Transformer.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import * as FlatPrograms from "./FlatPrograms.ts"

/** Name of the family. */
export const family = "flat"

/** Key of a compiled program; equal keys share one program. */
export type ProgramKey =
  | {
    readonly kind: "supervised"
    readonly length: number
    readonly dropout: boolean
    readonly smoothing: number
    readonly frozen: ReadonlyArray<string>
  }
  | { readonly kind: "treeScores" }
  | { readonly kind: "prefill"; readonly normaliser: OpenOptions["normaliser"] }
  | { readonly kind: "extend"; readonly tree: boolean; readonly normaliser: OpenOptions["normaliser"] }
  | { readonly kind: "grow" }

/** State shared by the sessions, batches and trees of one policy. */
export interface FlatDecoder {
  readonly config: Transformer.DecoderConfig
  /** Names and shapes of the weights. */
  readonly slots: FlatPrograms.Parameters
  readonly index: SidIndex
  readonly space: LeafSpace
  readonly vocabulary: CompactVocabulary.CompactVocabulary
  /** Number of latest items of a history that are read. */
  readonly historyItems: number
  /** Number of positions of the longest prompt. */
  readonly promptPositions: number
  /** Vocabulary of sessions, with an end token: a space may have an end where the index has none. */
  readonly open: CompactVocabulary.CompactVocabulary
  /** Runtime that compiles the programs. */
  readonly runtime: TensorRuntime["Service"]
  /** Returns the program of a key, compiled at its first use and released with the policy. */
  readonly program: ProgramCache.ProgramCache<ProgramKey>
  /** Returns zeroed bytes for a table of legal tokens; the next call clears and returns the same bytes. */
  readonly clear: (size: number) => Uint8Array<ArrayBuffer>
}

/** Returns the names of a store's parameters that have no gradient. */
export const frozenIn = ({ buffer }: ParameterStore): ReadonlyArray<string> =>
  buffer.slots.flatMap(({ name, trainable }) => trainable ? [] : [name])

/** Returns the parameters, of which those named in `frozen` have no gradient. */
export const parametersWith = (
  slots: FlatPrograms.Parameters,
  frozen: ReadonlyArray<string>
): FlatPrograms.Parameters => slots.map((slot) => ({ ...slot, trainable: !frozen.includes(slot.name) }))

/** Builds the state of a policy that reads the latest `historyItems` items of a history. */
export const make = Effect.fnUntraced(function*(
  config: Transformer.DecoderConfig,
  slots: FlatPrograms.Parameters,
  historyItems: number
) {
  const runtime = yield* TensorRuntime
  const { index, space } = yield* Sids
  const vocabulary = CompactVocabulary.make(index)
  const open = { ...vocabulary, ends: true }
  const programOf = (key: ProgramKey): TensorProgram => {
    switch (key.kind) {
      case "supervised": {
        const parameters = parametersWith(slots, key.frozen)
        return FlatPrograms.supervised(config, vocabulary, parameters, key)
      }
      case "treeScores":
        return FlatPrograms.treeScores(config, vocabulary, slots)
      case "prefill":
        return FlatPrograms.prefill(config, open, slots, key.normaliser)
      case "extend":
        return FlatPrograms.extend(config, open, slots, key.tree, key.normaliser)
      case "grow":
        return FlatPrograms.grow(config)
    }
  }
  let legal = new Uint8Array(0)
  const decoder: FlatDecoder = {
    config,
    slots,
    index,
    space,
    vocabulary,
    open,
    historyItems,
    promptPositions: 1 + historyItems * index.levels,
    runtime,
    program: yield* ProgramCache.make(runtime, programOf),
    clear: (size) => {
      if (legal.length < size) legal = new Uint8Array(size)
      return legal.subarray(0, size).fill(0)
    }
  }
  return decoder
})
