/**
 * State of a policy with one position per code over the catalogue of the context: network, index and compiled programs.
 */
import * as Effect from "effect/Effect"
import { type ParameterStore } from "../../optimizer/ParameterStore.ts"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { Sids } from "../../sid/Sids.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { type TensorProgram } from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import { type PolicyError } from "../PolicyError.ts"
import { type OpenOptions } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import { type CodeNetwork, type Parameters } from "./CodeNetwork.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import * as FlatPrograms from "./FlatPrograms.ts"

/** Key of a compiled program; equal keys share one program. */
export type ProgramKey =
  | { readonly kind: "treeScores" }
  | { readonly kind: "prefill"; readonly normaliser: OpenOptions["normaliser"] }
  | { readonly kind: "extend"; readonly tree: boolean; readonly normaliser: OpenOptions["normaliser"] }
  | { readonly kind: "grow" }

/** State shared by the sessions, batches and trees of one policy. */
export interface FlatDecoder {
  readonly network: CodeNetwork
  /** Returns the token ids of a prompt, [P]; fails for one that the family does not support. */
  readonly prompt: (prompt: Prompt) => Effect.Effect<Int32Array, PolicyError>
  /** Token id of row 0 of the vocabulary. */
  readonly base: number
  readonly index: SidIndex
  readonly space: LeafSpace
  readonly vocabulary: CompactVocabulary.CompactVocabulary
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
export const parametersWith = (slots: Parameters, frozen: ReadonlyArray<string>): Parameters =>
  slots.map((slot) => ({ ...slot, trainable: !frozen.includes(slot.name) }))

/** Builds the state of a policy over the catalogue of the context; `base` is by default 0. */
export const make = Effect.fnUntraced(function*(
  { base = 0, network, prompt }: Pick<FlatDecoder, "network" | "prompt"> & { readonly base?: number }
) {
  const runtime = yield* TensorRuntime
  const { index, space } = yield* Sids
  const vocabulary = CompactVocabulary.make(index)
  const open = { ...vocabulary, ends: true }
  const programOf = (key: ProgramKey): TensorProgram => {
    switch (key.kind) {
      case "treeScores":
        return FlatPrograms.treeScores(network, vocabulary)
      case "prefill":
        return FlatPrograms.prefill(network, open, key.normaliser)
      case "extend":
        return FlatPrograms.extend(network, open, key.tree, key.normaliser)
      case "grow":
        return FlatPrograms.grow(network)
    }
  }
  let legal = new Uint8Array(0)
  const decoder: FlatDecoder = {
    network,
    prompt,
    base,
    index,
    space,
    vocabulary,
    open,
    runtime,
    program: yield* ProgramCache.make(runtime, programOf),
    clear: (size) => {
      if (legal.length < size) legal = new Uint8Array(size)
      return legal.subarray(0, size).fill(0)
    }
  }
  return decoder
})
