/**
 * Low-rank adapters on a frozen base: specifications, checks, and merging into the base weights.
 */
import * as Effect from "effect/Effect"
import { type ParameterSpec, type ParameterSpecs, type SavedTensor } from "../../tensor/ParameterBuffer.ts"
import { formatShape } from "../../tensor/TensorProgram.ts"
import * as Printable from "../../text/Printable.ts"
import * as LoraConfig from "./LoraConfig.ts"
import { InvalidAdapter, LoraError } from "./LoraError.ts"
import * as LoraLayer from "./LoraLayer.ts"

/** Weights by name, with their shapes. */
export type Tensors = ReadonlyMap<string, SavedTensor>

/** Shapes of the base weights, by name. */
export type Shapes = Readonly<Record<string, { readonly shape: ReadonlyArray<number> }>>

/** A linear layer with an adapter. */
export interface Adapted {
  /** Name of the weight W in the base. */
  readonly name: string
  /** Components of an input. */
  readonly inputs: number
  /** Components of a result. */
  readonly outputs: number
  readonly names: LoraLayer.Names
}

const linear = /^model\.layers\.(\d+)\.(?:self_attn|mlp)\.([a-z]+_proj)\.weight$/

/** Returns the linear layers of a base that have an adapter, in the order of the base. */
export const adapted = ({ layers, modules }: LoraConfig.LoraConfig, base: Shapes): ReadonlyArray<Adapted> =>
  Object.entries(base).flatMap(([name, { shape }]) => {
    const [, layer, module] = linear.exec(name) ?? []
    const isChosen = modules.some((one) => one === module) && (layers?.includes(Number(layer)) ?? true)
    return isChosen ? [{ name, inputs: shape[1]!, outputs: shape[0]!, names: LoraLayer.names(name) }] : []
  })

/** Returns the shapes of the adapters' matrices, by name. */
export const shapes = (lora: LoraConfig.LoraConfig, base: Shapes): ReadonlyMap<string, ReadonlyArray<number>> =>
  new Map(
    adapted(lora, base).flatMap(({ inputs, names, outputs }) => [
      [names.down, [lora.rank, inputs]] as const,
      [names.up, [outputs, lora.rank]] as const
    ])
  )

/**
 * Returns the specifications of a frozen base with trainable adapters: A from Kaiming's uniform distribution as in peft,
 * which is U(-1 / sqrt(in), 1 / sqrt(in)), and B zero, so that the adapted model begins equal to its base. `uniform`
 * returns draws from [0, 1).
 */
export const parameters = (
  lora: LoraConfig.LoraConfig,
  base: ParameterSpecs,
  uniform: () => number
): ParameterSpecs => {
  const specs: Record<string, ParameterSpec> = {}
  for (const [name, spec] of Object.entries(base)) specs[name] = { ...spec, trainable: false }
  for (const { inputs, names, outputs } of adapted(lora, base)) {
    const bound = 1 / Math.sqrt(inputs)
    specs[names.down] = {
      shape: [lora.rank, inputs],
      initialize: (values) => {
        for (let i = 0; i < values.length; i++) values[i] = (2 * uniform() - 1) * bound
      }
    }
    specs[names.up] = { shape: [outputs, lora.rank], initialize: () => {} }
  }
  return specs
}

/**
 * Returns specifications whose initial values are those of the tensors with the same name; parameters without a tensor
 * keep their own. Throws a RangeError for a tensor of another shape.
 */
export const startingFrom = (specs: ParameterSpecs, tensors: Tensors): ParameterSpecs =>
  Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => {
      const tensor = tensors.get(name)
      if (tensor === undefined) return [name, spec]
      if (formatShape(tensor.shape) !== formatShape(spec.shape)) {
        throw new RangeError(`"${name}" has the shape ${formatShape(tensor.shape)}, not ${formatShape(spec.shape)}`)
      }
      return [name, { ...spec, initialize: (values: Float32Array) => values.set(tensor.data) }]
    })
  )

/** Returns whether a name is one of an adapter's. */
const isAdapter = (name: string): boolean => name.startsWith(LoraLayer.prefix)

/** Returns the adapters among all weights of a store. */
export const adaptersIn = (weights: Tensors): Tensors => new Map([...weights].filter(([name]) => isAdapter(name)))

/** Returns the base among all weights of a store. */
export const baseIn = (weights: Tensors): Tensors => new Map([...weights].filter(([name]) => !isAdapter(name)))

/**
 * Returns every problem of adapters: layers that the base lacks, and tensors that are missing, extra, of another shape or
 * not finite.
 */
export const problems = (
  lora: LoraConfig.LoraConfig,
  base: Shapes,
  adapters: Tensors
): ReadonlyArray<string> => {
  const wanted = shapes(lora, base)
  const layers = 1 + Math.max(-1, ...Object.keys(base).map((name) => Number(linear.exec(name)?.[1] ?? -1)))
  const found: Array<string> = []
  for (const module of lora.modules) {
    if (Object.keys(base).some((name) => linear.exec(name)?.[2] === module)) continue
    found.push(`the base has no layer "${module}"; leave it out of the modules`)
  }
  for (const layer of lora.layers ?? []) {
    if (layer < layers) continue
    found.push(`layer ${layer} does not exist, the base has ${layers}; name layers from 0 to ${layers - 1}`)
  }
  for (const [name, shape] of wanted) {
    const tensor = adapters.get(name)
    if (tensor === undefined) {
      found.push(`the tensor "${name}" ${formatShape(shape)} is missing; add it, or leave its layer out`)
    } else if (formatShape(tensor.shape) !== formatShape(shape)) {
      found.push(
        `the tensor "${name}" has the shape ${formatShape(tensor.shape)}, expected ${formatShape(shape)}; ` +
          "use the base that the adapter was trained on, and its rank"
      )
    } else {
      const at = tensor.data.findIndex((value) => !Number.isFinite(value))
      if (at >= 0) {
        found.push(`the tensor "${name}" has the value ${tensor.data[at]} at ${at}; use an earlier checkpoint`)
      }
    }
  }
  for (const name of adapters.keys()) {
    if (wanted.has(name)) continue
    found.push(`the tensor "${Printable.line(name)}" belongs to no adapted layer of the base; remove it`)
  }
  return found
}

/** Adds `sign x scale x B A` to the base weights, each sum in float64. */
const shifted = (
  lora: LoraConfig.LoraConfig,
  base: Tensors,
  adapters: Tensors,
  sign: 1 | -1
): Effect.Effect<Tensors, LoraError> =>
  Effect.suspend(() => {
    const own = baseIn(base)
    const known: Shapes = Object.fromEntries(own)
    const wrong = problems(lora, known, adapters)
    if (wrong.length > 0) {
      return Effect.fail(new LoraError({ reason: new InvalidAdapter({ source: "the adapter", problems: wrong }) }))
    }
    const factor = sign * LoraConfig.scale(lora)
    const result = new Map(own)
    for (const { inputs, name, names, outputs } of adapted(lora, known)) {
      const { data: weight, shape } = own.get(name)!
      const [a, b] = [adapters.get(names.down)!.data, adapters.get(names.up)!.data]
      const data = new Float32Array(weight.length)
      const row = new Float64Array(inputs)
      for (let o = 0; o < outputs; o++) {
        row.fill(0)
        for (let r = 0; r < lora.rank; r++) {
          const up = b[o * lora.rank + r]!
          for (let i = 0; i < inputs; i++) row[i]! += up * a[r * inputs + i]!
        }
        for (let i = 0; i < inputs; i++) data[o * inputs + i] = weight[o * inputs + i]! + factor * row[i]!
      }
      result.set(name, { dtype: "F32", shape, data })
    }
    return Effect.succeed(result)
  })

/**
 * Returns the base weights with the adapters merged, `W + scale B A`, without adapters; `base` and `adapters` may be all
 * weights of one store. Fails with every problem of the adapters.
 */
export const merge = (
  lora: LoraConfig.LoraConfig,
  base: Tensors,
  adapters: Tensors
): Effect.Effect<Tensors, LoraError> => shifted(lora, base, adaptersIn(adapters), 1)

/**
 * Returns the base weights from merged ones, `W - scale B A`, which differ from the original ones by the rounding of the
 * merged weights to float32. Fails with every problem of the adapters.
 */
export const unmerge = (
  lora: LoraConfig.LoraConfig,
  merged: Tensors,
  adapters: Tensors
): Effect.Effect<Tensors, LoraError> => shifted(lora, merged, adaptersIn(adapters), -1)
