/**
 * Average of the weights of a phase's best validations, which are kept in memory and as companions in its checkpoints.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type SavedTensors, type StoreState } from "../optimizer/OptimizerSlots.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type Companions, evaluationWeights } from "./TrainingState.ts"

/** Weights by which a validation was made, and its score. */
interface Member {
  readonly score: number
  readonly weights: SavedTensors
}

/** The best validations of a phase, at most k. */
export interface CheckpointAverage {
  /** Checkpoint parts that restore the members. */
  readonly companions: Companions
  /** Keeps the weights by which the parameters are evaluated now, if the score is among the best. */
  offer(score: number): Effect.Effect<void, TensorError>
  /** Returns the mean of the trained parameters over the members; undefined for fewer than two. */
  mean(): SavedTensors | undefined
}

/** Name of the tensor with a member's score. */
const scoreName = "score"

const meanOf = (members: ReadonlyArray<Member>): SavedTensors =>
  new Map(
    Array.from(members[0]!.weights, ([name, tensor]) => {
      const sums = new Float64Array(tensor.data.length)
      for (const { weights } of members) weights.get(name)!.data.forEach((value, i) => (sums[i]! += value))
      return [name, { ...tensor, data: Float32Array.from(sums, (sum) => sum / members.length) }]
    })
  )

/** Makes the average of the best `count` validations of the parameters of a store; with a count of 1 there is none. */
export const make = (store: ParameterStore, count: number): CheckpointAverage => {
  const trained = new Set(store.buffer.slots.flatMap(({ name, trainable }) => trainable ? [name] : []))
  const size = count > 1 ? count : 0
  /** Members by falling score, of equal ones the earlier first; restored ones come in this order. */
  let members: ReadonlyArray<Member> = []
  const stateOf = ({ score, weights }: Member): StoreState => ({
    version: 0,
    weights,
    average: new Map(),
    slots: new Map([[scoreName, { dtype: "F32" as const, shape: [1], data: Float32Array.of(score) }]])
  })
  return {
    companions: Object.fromEntries(
      Array.from({ length: size }, (_, place) => [`validated-${place}`, {
        save: Effect.sync(() => Option.map(Option.fromUndefinedOr(members[place]), stateOf)),
        restore: ({ slots, weights }: StoreState) =>
          Effect.sync(() => {
            members = [...members, { score: slots.get(scoreName)!.data[0]!, weights }]
          })
      }])
    ),
    offer: Effect.fnUntraced(function*(given) {
      // Checkpoints keep scores in single precision; an interrupted run must compare as an undisturbed one.
      const score = Math.fround(given)
      const place = members.findIndex((member) => score > member.score)
      const at = place < 0 ? members.length : place
      if (at >= size) return
      const all = evaluationWeights(yield* store.save)
      const weights = new Map([...all].filter(([name]) => trained.has(name)))
      members = members.toSpliced(at, 0, { score, weights }).slice(0, size)
    }),
    mean: () => members.length < 2 ? undefined : meanOf(members)
  }
}
