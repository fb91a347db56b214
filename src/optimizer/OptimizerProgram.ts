/**
 * One step of an optimizer as a tensor program from weights, gradients and slots to new weights and slots.
 */
import type * as tf from "@tensorflow/tfjs"
import * as TensorProgram from "../tensor/TensorProgram.ts"
import * as Optimizer from "./Optimizer.ts"

/** Returns the name of a parameter's weight among inputs and outputs. */
export const weightName = (parameter: string): string => `weight/${parameter}`
/** Returns the name of a parameter's gradient among the inputs. */
export const gradientName = (parameter: string): string => `gradient/${parameter}`
/** Returns the name of a slot among inputs and outputs. */
export const slotName = (slot: string): string => `slot/${slot}`
/** Returns the name of a scalar among the inputs. */
export const scalarName = (scalar: string): string => `scalar/${scalar}`
/** Name of the output with the Euclidean norm of all gradients, before clipping. */
export const normName = "gradientNorm"

/** Builds the program of a transform over parameters. */
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
