/**
 * Scorer of a SASRec network with given weights.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type History } from "../../../catalog/History.ts"
import { type Feeds } from "../../../optimizer/ParameterStore.ts"
import { type TensorError } from "../../../tensor/TensorError.ts"
import * as TensorProgram from "../../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../../tensor/TensorRuntime.ts"
import { type Scorer } from "../Scorer.ts"
import { ScorerError } from "../ScorerError.ts"
import * as SasRecNetwork from "./SasRecNetwork.ts"
import * as SasRecRows from "./SasRecRows.ts"

/** Name of the scorer. */
export const name = "sasrec"

/** Scale of the scores: a `probability` sums to 1 over the items and fits priors; a `logit` is MiniOneRec's reward. */
export type Scale = "probability" | "logit"

/** Options of a scorer. */
export interface ScorerOptions {
  /** Number of the most recent items of a history that are read. */
  readonly window: number
  /** Scale of the scores. @default probability */
  readonly scale?: Scale | undefined
  /** Number added to the logits of the items that are read (`Repeats`). @default 0 */
  readonly repeatBias?: number | undefined
}

/** Function that makes a scorer; every call of the scorer reads the current `weights`. */
export type MakeScorer = (weights: Effect.Effect<Feeds, TensorError, Scope.Scope>, options: ScorerOptions) => Scorer

/** Number of histories that are scored at once. */
export const together = 64

const softmax = (row: Float64Array): void => {
  let most = -Infinity
  for (const value of row) most = Math.max(most, value)
  let sum = 0
  for (let i = 0; i < row.length; i++) sum += row[i] = Math.exp(row[i]! - most)
  for (let i = 0; i < row.length; i++) row[i]! /= sum
}

/**
 * Compiles the network for scoring. After an empty history every item has the score 0; a history with an item outside
 * the network fails with `ScorerError`.
 */
export const compile: (
  network: SasRecNetwork.Network
) => Effect.Effect<MakeScorer, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("SasRecScorer.compile")(
  function*(network) {
    const runtime = yield* TensorRuntime
    const { items, padding } = network
    const program = yield* runtime.compile(TensorProgram.make({
      name: "sasrec.logits",
      inputs: { ...SasRecNetwork.weightInputs(network), ...SasRecNetwork.rowInputs, last: TensorProgram.int32("M") },
      body: (inputs: SasRecNetwork.Tensors): { readonly logits: tf.Tensor } => ({
        logits: SasRecNetwork.logits(network, inputs, SasRecNetwork.rowsOf(inputs), inputs["last"]!)
      })
    }))
    const logits = Effect.fnUntraced(
      function*(feeds: Effect.Effect<Feeds, TensorError, Scope.Scope>, histories: ReadonlyArray<Int32Array>) {
        const longest = histories.reduce((most, { length }) => Math.max(most, length), 0)
        const rows = SasRecRows.lay(histories, longest, padding)
        const last = rows.starts.map((start, i) => start + histories[i]!.length - 1)
        const outputs = yield* program.run({
          ...(yield* feeds),
          ...rows.inputs,
          last: TensorProgram.hostInt32(last, last.length)
        })
        return Float64Array.from((yield* outputs.logits.read).data)
      },
      Effect.scoped
    )
    const known = Effect.fnUntraced(function*(histories: ReadonlyArray<History>) {
      for (const [at, { items: history, user }] of histories.entries()) {
        const outside = history.find((item) => !(item >= 0 && item < items))
        if (outside === undefined) continue
        return yield* new ScorerError({
          scorer: name,
          detail: `history ${at} (user ${user}) holds item ${outside}, but the model has ${items} items; ` +
            "train it on the catalogue of these histories"
        })
      }
    })
    return (weights, { repeatBias = 0, scale = "probability", window }) => ({
      name,
      scores: Effect.fn("SasRec.scores")(function*(histories) {
        yield* known(histories)
        const data = new Float64Array(histories.length * items)
        const places = histories.flatMap((history, at) => history.items.length > 0 ? [at] : [])
        for (let from = 0; from < places.length; from += together) {
          const some = places.slice(from, from + together)
          const read = some.map((at) => histories[at]!.items.subarray(-window))
          const scores = yield* logits(weights, read).pipe(
            Effect.mapError(({ message }) => new ScorerError({ scorer: name, detail: message }))
          )
          for (const [i, at] of some.entries()) {
            const row = data.subarray(at * items, (at + 1) * items)
            row.set(scores.subarray(i * items, (i + 1) * items))
            if (repeatBias !== 0) { for (const item of new Set(read[i])) row[item]! += repeatBias }
            if (scale === "probability") softmax(row)
          }
        }
        return { rows: histories.length, width: items, data }
      })
    })
  }
)
