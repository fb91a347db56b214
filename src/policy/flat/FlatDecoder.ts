/**
 * State of a flat policy over the catalogue of the context: configuration, index and compiled programs.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { Sids } from "../../sid/Sids.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type TensorProgram } from "../../tensor/TensorProgram.ts"
import { type Executable, TensorRuntime } from "../../tensor/TensorRuntime.ts"
import type * as Transformer from "../transformer/Transformer.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import { type Parameters } from "./FlatPrograms.ts"

/** State shared by the sessions, batches and trees of one policy. */
export interface FlatDecoder {
  readonly config: Transformer.DecoderConfig
  /** Names and shapes of the weights. */
  readonly slots: Parameters
  readonly index: SidIndex
  readonly space: LeafSpace
  readonly vocabulary: CompactVocabulary.CompactVocabulary
  /** Number of latest items of a history that are read. */
  readonly historyItems: number
  /** Number of positions of the longest prompt. */
  readonly promptPositions: number
  /** Compiles a program that is released with the caller's Scope. */
  readonly compile: (program: TensorProgram) => Effect.Effect<Executable<string, string>, TensorError, Scope.Scope>
  /** Returns the program of a key, compiled at its first use and released with the policy. */
  readonly program: (key: string, make: () => TensorProgram) => Effect.Effect<Executable<string, string>, TensorError>
  /** Bytes that are 0, for a table of what is legal; valid until the next call, which clears and gives them again. */
  readonly clear: (size: number) => Uint8Array<ArrayBuffer>
}

/** Builds the state of a policy that reads the latest `historyItems` items of a history. */
export const make = Effect.fnUntraced(function*(
  config: Transformer.DecoderConfig,
  slots: Parameters,
  historyItems: number
) {
  const runtime = yield* TensorRuntime
  const { index, space } = yield* Sids
  const scope = yield* Effect.scope
  const vocabulary = CompactVocabulary.make(index)
  const compiled = new Map<string, Executable<string, string>>()
  let legal = new Uint8Array(0)
  const decoder: FlatDecoder = {
    config,
    slots,
    index,
    space,
    vocabulary,
    historyItems,
    promptPositions: 1 + historyItems * index.levels,
    compile: (program) => runtime.compile(program),
    program: Effect.fnUntraced(function*(key, make) {
      const known = compiled.get(key)
      if (known !== undefined) return known
      const fresh = yield* runtime.compile(make()).pipe(Scope.provide(scope))
      compiled.set(key, fresh)
      return fresh
    }),
    clear: (size) => {
      if (legal.length < size) legal = new Uint8Array(size)
      return legal.subarray(0, size).fill(0)
    }
  }
  return decoder
})
