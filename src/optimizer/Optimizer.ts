/**
 * Optimizers as small pure transforms of gradients that compose, after Optax (Babuschkin et al. 2020).
 *
 * A transform turns updates into updates, given the weights and its own slots; the first of a chain is given the
 * gradients, and what the last gives is added to the weights. Transforms are plain functions over tensors, so a chain
 * is traced into one graph as a model is, and runs where the weights lie.
 */
import * as tf from "@tensorflow/tfjs"
import { type AdamWConfig } from "./AdamW.ts"

/** One parameter as a transform sees it. */
export interface Parameter {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** Whether weight decay applies: by rule to what has two axes and more. */
  readonly decay: boolean
}

/** A tensor that a transform keeps from step to step, and what it is filled with at first. */
export interface SlotSpec {
  readonly shape: ReadonlyArray<number>
  readonly start: number | { readonly weight: string }
  /** The parameter that it is a moving average of: what is evaluated in place of the weights. */
  readonly averageOf?: string | undefined
}

/** Tensors by name. */
export type Tensors = Readonly<Record<string, tf.Tensor>>

/** What an update may read. */
export interface UpdateContext {
  readonly parameters: ReadonlyArray<Parameter>
  /** Weights before the step, by parameter. */
  readonly weights: Tensors
  readonly slots: Tensors
  /** The scalars of this step. */
  readonly scalars: Tensors
}

/** New updates, by parameter, and new slots. */
export interface Updated {
  readonly updates: Tensors
  readonly slots: Tensors
}

/** A pure transform of updates. */
export interface Transform {
  /** The slots for these parameters. */
  init(parameters: ReadonlyArray<Parameter>): Readonly<Record<string, SlotSpec>>
  /**
   * Numbers of step `step` (from 1) at learning rate `rate`, worked out in float64 on the host; their names do not
   * depend on the step.
   */
  scalars(step: number, rate: number): Readonly<Record<string, number>>
  update(updates: Tensors, context: UpdateContext): Updated
}

/** An optimizer: a transform, and the one-pass kernel that may run in its place on host memory. */
export interface Optimizer {
  readonly transform: Transform
  readonly fused?: AdamWConfig | undefined
}

/** An optimizer that runs as traced. */
export const of = (transform: Transform): Optimizer => ({ transform })

const mapParameters = (
  parameters: ReadonlyArray<Parameter>,
  change: (parameter: Parameter) => tf.Tensor
): Tensors => Object.fromEntries(parameters.map((parameter) => [parameter.name, change(parameter)]))

/** A transform without slots that treats every parameter alike. */
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

/** A transform that keeps tensors of the parameter's shape under the given names, zero at first. */
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
    /** Whether the slots are averages of the weights. */
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
      if (name in all) throw new RangeError(`two transforms of one optimizer keep a ${what} "${name}"; name one apart`)
      all[name] = value
    }
  }
  return all
}

/** One transform after the other; their slots must have different names. */
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

/** The transform with its slots and scalars under names of their own, so that it can stand twice in a chain. */
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

/** Parameter groups: every parameter goes through the transform of the group that `groupOf` names. */
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
          `the parameter "${parameter.name}" is in the group "${found}", which has no transform; there are ${
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

/** Leaves the weights as they are. */
export const frozen: Transform = stateless((update) => tf.zerosLike(update))

/** Multiplies by minus the learning rate of the schedule, and by `factor`. */
export const scaleByRate = (factor = 1): Transform =>
  stateless(
    (update, _, { scalars }) => update.mul(scalars["rate"]!),
    (_, rate) => ({ rate: -rate * factor })
  )

/** Adds `decay` times the weight to the update of what decays: decoupled when it stands after the moments. */
export const decayWeights = (decay: number, applies: (parameter: Parameter) => boolean = (p) => p.decay): Transform =>
  stateless((update, parameter, { weights }) =>
    decay !== 0 && applies(parameter) ? update.add(weights[parameter.name]!.mul(tf.scalar(decay))) : update
  )

/** The Euclidean norm of all tensors together. */
export const globalNorm = (tensors: ReadonlyArray<tf.Tensor>): tf.Tensor =>
  tf.sqrt(tf.addN(tensors.map((tensor) => tensor.square().sum())))

/** Scales all updates together so that their norm is at most `most`; torch's form, `most / (norm + 1e-6)`. */
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
 * Keeps an exponential moving average of the weights after the step in the slots `average.*`, which begin as the
 * weights; the store evaluates them in place of the weights. `decay` is the share of the old value; it is warmed up as
 * `min(decay, t / (t + 10))`. Stands last.
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
