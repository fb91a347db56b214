/**
 * Checks of every runtime before it runs a program: each input is present, not released and of its shape, and each
 * array for an output has its size.
 */
import { ShapeMismatch, TensorError, UseAfterRelease } from "./TensorError.ts"
import { bindSymbols, formatShape, type TensorProgram } from "./TensorProgram.ts"
import { type Feed, isHandle } from "./TensorRuntime.ts"

const mismatch = (program: string, site: string, expected: string, actual: string) =>
  new TensorError({ reason: new ShapeMismatch({ program, site, expected, actual }) })

/** Returns the run-time sizes that follow from the feeds, or the error of a feed. */
export const bind = <I extends string, O extends string>(
  program: TensorProgram<I, O>,
  feeds: Readonly<Record<I, Feed>>
): ReadonlyMap<string, number> | TensorError => {
  const shapes: Record<string, ReadonlyArray<number>> = {}
  for (const name of Object.keys(program.inputs) as Array<I>) {
    const feed = feeds[name] as Feed | undefined
    if (feed === undefined) continue
    if (isHandle(feed) && feed.released()) {
      return new TensorError({ reason: new UseAfterRelease({ handle: feed.name }) })
    }
    shapes[name] = feed.shape
  }
  const bound = bindSymbols(program.inputs, shapes)
  return "input" in bound
    ? mismatch(program.name, `input "${bound.input}"`, bound.expected, bound.actual)
    : bound.sizes
}

/** Returns an error unless the target array of an output, if there is one, has the size of the shape. */
export const checkTarget = (
  program: string,
  output: string,
  shape: ReadonlyArray<number>,
  target: Float32Array | undefined
): TensorError | undefined =>
  target === undefined || shape.reduce((a, b) => a * b, 1) === target.length
    ? undefined
    : mismatch(program, `output "${output}"`, formatShape(shape), `an array of ${target.length}`)
