/**
 * Sizes that are known only at run time, inside a tracer that only knows numbers.
 *
 * tfjs computes shapes with numbers. Each run-time size is therefore traced as a large prime, and a sum of sizes as the
 * sum of the primes; an axis that tfjs derives is factored back into `constant x sizes`. Axes of the inputs may be as
 * large as the primes, such as those of a vocabulary: they are known by their sizes.
 */
import { type Dimension, symbols } from "../../src/tensor/TensorProgram.ts"

const primes = [
  100_003,
  100_019,
  100_043,
  100_049,
  100_057,
  100_069,
  100_103,
  100_109,
  100_129,
  100_151,
  100_169,
  100_183
]

/** One axis: a constant times run-time sizes (or sums of them), by name. */
export interface Axis {
  readonly constant: number
  readonly factors: ReadonlyArray<string>
}

/** Axis of a graph input from which the value of a run-time size is read. */
export interface Source {
  readonly input: string
  readonly axis: number
}

/** The run-time sizes of one trace. */
export interface SymbolTable {
  /** Returns the number that stands for a dimension while tracing. */
  readonly stand: (dimension: Dimension) => number
  /** Factors the size of an axis that tfjs derived. */
  readonly factor: (size: number) => Axis
  /** Returns the input axis from which a name is read at run time. */
  readonly source: (name: string) => Source
  /** Factors an output axis, which may also be a run-time size plus or minus a few, as `"T+-1"`. */
  readonly outputAxis: (size: number) => Axis
}

/** Builds the table from the inputs of a program. */
export const make = (inputs: Readonly<Record<string, { readonly shape: ReadonlyArray<Dimension> }>>): SymbolTable => {
  const stands = new Map<string, number>()
  const sources = new Map<string, Source>()
  const fixed = new Set(
    Object.values(inputs).flatMap(({ shape }) => shape.filter((dimension) => typeof dimension === "number"))
  )
  const free = primes.filter((prime) => ![...fixed].some((size) => size > 0 && size % prime === 0))
  for (const [input, spec] of Object.entries(inputs)) {
    for (const dimension of spec.shape) {
      for (const name of symbols(dimension)) {
        if (stands.has(name)) continue
        const prime = free[stands.size]
        if (prime === undefined) {
          throw new RangeError(`more than ${free.length} run-time sizes in one program (${input})`)
        }
        stands.set(name, prime)
      }
    }
  }
  const stand = (dimension: Dimension) =>
    typeof dimension === "number" ? dimension : symbols(dimension).reduce((sum, name) => sum + stands.get(name)!, 0)
  const named = new Map<number, string>([...stands].map(([name, prime]) => [prime, name]))
  for (const [input, spec] of Object.entries(inputs)) {
    for (const [axis, dimension] of spec.shape.entries()) {
      if (typeof dimension !== "string") continue
      named.set(stand(dimension), dimension)
      if (!sources.has(dimension)) sources.set(dimension, { input, axis })
    }
  }
  const values = [...named.keys()].toSorted((a, b) => b - a)
  const factor = (size: number): Axis => {
    let rest = size
    const factors: Array<string> = []
    for (const value of values) {
      while (rest >= value && rest % value === 0) {
        rest /= value
        factors.push(named.get(value)!)
      }
    }
    return { constant: rest, factors: factors.toSorted() }
  }
  const source = (name: string) => {
    const found = sources.get(name)
    if (found === undefined) throw new RangeError(`the run-time size "${name}" stands alone in no input`)
    return found
  }
  const outputAxis = (size: number): Axis => {
    if (fixed.has(size)) return { constant: size, factors: [] }
    const axis = factor(size)
    if (axis.factors.length > 0 || size < primes[0]! / 2) return axis
    // A concatenation along two run-time sizes.
    for (const [value, name] of named) {
      const other = named.get(size - value)
      if (other !== undefined) return { constant: 1, factors: [`${name}+${other}`] }
    }
    const [value, name] = [...named].toSorted(([a], [b]) => Math.abs(size - a) - Math.abs(size - b))[0]!
    return { constant: 1, factors: [`${name}+${size - value}`] }
  }
  return { stand, factor, source, outputAxis }
}

/** Names an axis of a graph output: `"B"`, or a name of its own for a product. */
export const axisName = (axis: Axis): number | string =>
  axis.factors.length === 0
    ? axis.constant
    : axis.constant === 1
    ? axis.factors.join("*")
    : `${axis.constant}*${axis.factors.join("*")}`

/** Returns the size of an axis for given run-time sizes. */
export const sizeOf = (axis: Axis, sizes: ReadonlyMap<string, number>): number =>
  axis.factors.reduce(
    (size, name) => size * symbols(name).reduce((sum, part) => sum + (sizes.get(part) ?? Number(part)), 0),
    axis.constant
  )
