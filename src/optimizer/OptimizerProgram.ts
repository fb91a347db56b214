/**
 * One step of an optimizer as a tensor program: weights, gradients and slots in, weights and slots out.
 */
import type * as tf from "@tensorflow/tfjs"
import * as TensorProgram from "../tensor/TensorProgram.ts"
import * as Optimizer from "./Optimizer.ts"

/** Names of the inputs and outputs. */
export const weightName = (parameter: string): string => `weight/${parameter}`
export const gradientName = (parameter: string): string => `gradient/${parameter}`
export const slotName = (slot: string): string => `slot/${slot}`
export const scalarName = (scalar: string): string => `scalar/${scalar}`
/** The output that holds the global norm of the gradients before the step. */
export const normName = "gradientNorm"

/** The program of a transform over parameters. */
export const make = (
  transform: Optimizer.Transform,
  parameters: ReadonlyArray<Optimizer.Parameter>
): TensorProgram.TensorProgram => {
  const slots = transform.init(parameters)
  const scalars = Object.keys(transform.scalars(1, 1))
  return TensorProgram.make({
    name: "optimizer",
    inputs: Object.fromEntries([
      ...parameters.flatMap(({ name, shape }) => [
        [weightName(name), TensorProgram.float32(...shape)] as const,
        [gradientName(name), TensorProgram.float32(...shape)] as const
      ]),
      ...Object.entries(slots).map(([slot, { shape }]) => [slotName(slot), TensorProgram.float32(...shape)] as const),
      ...scalars.map((scalar) => [scalarName(scalar), TensorProgram.float32()] as const)
    ]),
    body: (inputs: Readonly<Record<string, tf.Tensor>>) => {
      const pick = (names: ReadonlyArray<string>, key: (name: string) => string) =>
        Object.fromEntries(names.map((name) => [name, inputs[key(name)]!]))
      const names = parameters.map(({ name }) => name)
      const weights = pick(names, weightName)
      const gradients = pick(names, gradientName)
      const result = transform.update(gradients, {
        parameters,
        weights,
        slots: pick(Object.keys(slots), slotName),
        scalars: pick(scalars, scalarName)
      })
      return {
        [normName]: Optimizer.globalNorm(Object.values(gradients)),
        ...Object.fromEntries(names.map((name) => [weightName(name), weights[name]!.add(result.updates[name]!)])),
        ...Object.fromEntries(Object.keys(slots).map((slot) => [slotName(slot), result.slots[slot]!]))
      }
    }
  })
}
