/**
 * Optimizers as composable pure transforms of gradients, after Optax (Babuschkin et al. 2020).
 *
 * A transform maps updates to updates, given the weights and its own slots; the first of a chain receives the
 * gradients, and the updates of the last are added to the weights. Transforms are plain functions over tensors, so a
 * chain is traced into one graph, like a model, and runs on the device that holds the weights.
 */
import * as tf from "@tensorflow/tfjs"
import { type AdamWConfig } from "./AdamW.ts"

/** A parameter: its name, shape and decay. */
export interface Parameter {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** Whether weight decay applies; by default to parameters with two or more axes. */
  readonly decay: boolean
}

/**
 * A tensor that a transform keeps between steps; `start` is its initial value, or the weight that it is copied from.
 */
export interface SlotSpec {
  readonly shape: ReadonlyArray<number>
  readonly start: number | { readonly weight: string }
  /** Parameter of which the slot is a moving average, used in place of the weights in evaluation. @default none */
  readonly averageOf?: string | undefined
}

/** Tensors by name. */
export type Tensors = Readonly<Record<string, tf.Tensor>>

/** Input of an update besides the updates themselves. */
export interface UpdateContext {
  readonly parameters: ReadonlyArray<Parameter>
  /** Weights before the step, by parameter. */
  readonly weights: Tensors
  /** Slots before the step, by slot name. */
  readonly slots: Tensors
  /** Scalars of this step, by name. */
  readonly scalars: Tensors
}

/** Output of an update: new updates by parameter, and new slots by slot name. */
export interface Updated {
  readonly updates: Tensors
  readonly slots: Tensors
}

/** A pure transform of updates. */
export interface Transform {
  /** Returns the slots for these parameters, by slot name. */
  init(parameters: ReadonlyArray<Parameter>): Readonly<Record<string, SlotSpec>>
  /**
   * Computes the scalars of step `step` (from 1) at learning rate `rate`, in float64 on the host; their names do not
   * depend on the step.
   */
  scalars(step: number, rate: number): Readonly<Record<string, number>>
  /** Maps updates to new updates and slots. */
  update(updates: Tensors, context: UpdateContext): Updated
}

/** An optimizer: a transform, and the settings of the fused AdamW kernel that may replace it on host memory. */
export interface Optimizer {
  readonly transform: Transform
  readonly fused?: AdamWConfig | undefined
}

/** Makes an optimizer from a transform, without a fused kernel. */
export const of = (transform: Transform): Optimizer => ({ transform })

const mapParameters = (
  parameters: ReadonlyArray<Parameter>,
  change: (parameter: Parameter) => tf.Tensor
): Tensors => Object.fromEntries(parameters.map((parameter) => [parameter.name, change(parameter)]))

/** Makes a transform without slots that applies `change` to every parameter. */
export const stateless = (
  change: (update: tf.Tensor, parameter: Parameter, context: UpdateContext) => tf.Tensor,
  scalars: Transform["scalars"] = () => ({})
): Transform => ({
  init: () => ({}),
  scalars,
  update: (updates, context) => ({
    updates: mapParameters(context.parameters, (parameter) => change(updates[parameter.name]!, parameter, context)),
    slots: {}
  })
})

/**
 * Makes a transform with slots of the parameter's shape under the given names; they start at 0 unless `start` is set.
 */
export const withSlots = <K extends string>(
  names: ReadonlyArray<K>,
  change: (
    update: tf.Tensor,
    slots: Readonly<Record<K, tf.Tensor>>,
    parameter: Parameter,
    context: UpdateContext
  ) => { readonly update: tf.Tensor; readonly slots: Readonly<Record<K, tf.Tensor>> },
  options: {
    readonly scalars?: Transform["scalars"]
    readonly start?: (parameter: Parameter, slot: K) => SlotSpec["start"]
    /** Whether the slots are moving averages of the weights. @default false */
    readonly averages?: boolean
  } = {}
): Transform => ({
  init: (parameters) =>
    Object.fromEntries(parameters.flatMap((parameter) =>
      names.map((name) => [
        `${name}.${parameter.name}`,
        {
          shape: parameter.shape,
          start: options.start?.(parameter, name) ?? 0,
          averageOf: options.averages === true ? parameter.name : undefined
        }
      ])
    )),
  scalars: options.scalars ?? (() => ({})),
  update: (updates, context) => {
    const changed: Record<string, tf.Tensor> = {}
    const kept: Record<string, tf.Tensor> = {}
    for (const parameter of context.parameters) {
      const own = Object.fromEntries(names.map((name) => [name, context.slots[`${name}.${parameter.name}`]!]))
      const { slots, update } = change(
        updates[parameter.name]!,
        own as Record<K, tf.Tensor>,
        parameter,
        context
      )
      changed[parameter.name] = update
      for (const name of names) kept[`${name}.${parameter.name}`] = slots[name]
    }
    return { updates: changed, slots: kept }
  }
})

const merge = <A>(what: string, parts: ReadonlyArray<Readonly<Record<string, A>>>): Record<string, A> => {
  const all: Record<string, A> = {}
  for (const part of parts) {
    for (const [name, value] of Object.entries(part)) {
      if (name in all) throw new RangeError(`two transforms share the ${what} "${name}"; rename one by Optimizer.named`)
      all[name] = value
    }
  }
  return all
}

/**
 * Composes transforms in order; their slots and scalars must have different names, else it throws a RangeError.
 *
 * @example
 * ```ts
 * import * as Adam from "sidereal/optimizer/Adam"
 * import * as Optimizer from "sidereal/optimizer/Optimizer"
 *
 * export const optimizer = Optimizer.of(Optimizer.chain(
 *   Optimizer.clipByGlobalNorm(1),
 *   Adam.scaleByAdam(0.9, 0.98, 1e-8),
 *   Optimizer.decayWeights(0.1),
 *   Optimizer.scaleByRate()
 * ))
 * ```
 */
export const chain = (...transforms: ReadonlyArray<Transform>): Transform => ({
  init: (parameters) => merge("slot", transforms.map((transform) => transform.init(parameters))),
  scalars: (step, rate) => merge("scalar", transforms.map((transform) => transform.scalars(step, rate))),
  update: (updates, context) => {
    const slots: Record<string, tf.Tensor> = {}
    let current = updates
    for (const transform of transforms) {
      const next = transform.update(current, context)
      current = next.updates
      Object.assign(slots, next.slots)
    }
    return { updates: current, slots }
  }
})

/** Prefixes the slots and scalars of a transform with `name/`, so that a chain can contain it twice. */
export const named = (name: string, transform: Transform): Transform => {
  const outer = <A>(values: Readonly<Record<string, A>>) =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [`${name}/${key}`, value]))
  const inner = <A>(values: Readonly<Record<string, A>>) =>
    Object.fromEntries(
      Object.entries(values).flatMap(([key, value]) =>
        key.startsWith(`${name}/`) ? [[key.slice(name.length + 1), value] as const] : []
      )
    )
  return {
    init: (parameters) => outer(transform.init(parameters)),
    scalars: (step, rate) => outer(transform.scalars(step, rate)),
    update: (updates, context) => {
      const result = transform.update(updates, {
        ...context,
        slots: inner(context.slots),
        scalars: inner(context.scalars)
      })
      return { updates: result.updates, slots: outer(result.slots) }
    }
  }
}

/**
 * Applies to every parameter the transform of its group, whose name `groupOf` returns; throws a RangeError for a group
 * without a transform.
 */
export const groups = (
  groupOf: (parameter: Parameter) => string,
  transforms: Readonly<Record<string, Transform>>
): Transform => {
  const apart = Object.entries(transforms).map(([group, transform]) => [group, named(group, transform)] as const)
  const members = (parameters: ReadonlyArray<Parameter>, group: string) =>
    parameters.filter((parameter) => {
      const found = groupOf(parameter)
      if (!(found in transforms)) {
        throw new RangeError(
          `the parameter "${parameter.name}" is in the group "${found}", which has no transform; known groups: ${
            Object.keys(transforms).join(", ")
          }`
        )
      }
      return found === group
    })
  return {
    init: (parameters) => merge("slot", apart.map(([group, transform]) => transform.init(members(parameters, group)))),
    scalars: (step, rate) => merge("scalar", apart.map(([, transform]) => transform.scalars(step, rate))),
    update: (updates, context) => {
      const changed: Record<string, tf.Tensor> = {}
      const slots: Record<string, tf.Tensor> = {}
      for (const [group, transform] of apart) {
        const parameters = members(context.parameters, group)
        const result = transform.update(updates, { ...context, parameters })
        for (const { name } of parameters) changed[name] = result.updates[name]!
        Object.assign(slots, result.slots)
      }
      return { updates: changed, slots }
    }
  }
}

/** Sets every update to 0, so that the weights do not change. */
export const frozen: Transform = stateless((update) => tf.zerosLike(update))

/** Multiplies updates by minus the learning rate of the schedule, and by `factor`. */
export const scaleByRate = (factor = 1): Transform =>
  stateless(
    (update, _, { scalars }) => update.mul(scalars["rate"]!),
    (_, rate) => ({ rate: -rate * factor })
  )

/**
 * Adds `decay` times the weight to the updates of the parameters that `applies` selects; decoupled weight decay when it
 * follows the moments in a chain.
 */
export const decayWeights = (decay: number, applies: (parameter: Parameter) => boolean = (p) => p.decay): Transform =>
  stateless((update, parameter, { weights }) =>
    decay !== 0 && applies(parameter) ? update.add(weights[parameter.name]!.mul(tf.scalar(decay))) : update
  )

/** Returns the Euclidean norm of all tensors together, a scalar. */
export const globalNorm = (tensors: ReadonlyArray<tf.Tensor>): tf.Tensor =>
  tf.sqrt(tf.addN(tensors.map((tensor) => tensor.square().sum())))

/**
 * Scales all updates by one factor so that their norm is at most `most`: `min(1, most / (norm + 1e-6))`, as in PyTorch.
 */
export const clipByGlobalNorm = (most: number): Transform => ({
  init: () => ({}),
  scalars: () => ({}),
  update: (updates, { parameters }) => {
    if (parameters.length === 0) return { updates: {}, slots: {} }
    const norm = globalNorm(parameters.map(({ name }) => updates[name]!))
    const factor = tf.minimum(tf.scalar(1), tf.scalar(most).div(norm.add(tf.scalar(1e-6))))
    return { updates: mapParameters(parameters, ({ name }) => updates[name]!.mul(factor)), slots: {} }
  }
})

/**
 * Keeps an exponential moving average of the weights after the step in the slots `average.*`, which start as the
 * weights; the store evaluates the average in place of the weights. `decay` is the share of the old value, warmed up as
 * `min(decay, t / (t + 10))`. It must be the last of a chain.
 */
export const averageWeights = (decay: number): Transform =>
  withSlots(["average"], (update, { average }, parameter, { scalars, weights }) => {
    const next = weights[parameter.name]!.add(update)
    return { update, slots: { average: average.add(next.sub(average).mul(scalars["averaging"]!)) } }
  }, {
    scalars: (step) => ({ averaging: 1 - Math.min(decay, step / (step + 10)) }),
    start: (parameter) => ({ weight: parameter.name }),
    averages: true
  })
