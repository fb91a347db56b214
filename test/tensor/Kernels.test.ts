import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { differences, type Where } from "../../layers/BackendDifferences.ts"
import { backendName } from "../../layers/onnx/TracingBackend.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { float32, make, type TensorProgram } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { backends } from "./Backends.ts"
import * as Float64 from "./Float64.ts"
import { type KernelCase, operations } from "./KernelCases.ts"

type Tensors = Readonly<Record<string, tf.Tensor>>

const tolerance = 2e-5

/** Finite differences of float64 against tfjs's derivative in float64; its error function is good to 1e-6. */
const derivativeTolerance = 5e-6

const outputsOf = ({ apply }: KernelCase, x: Tensors): ReadonlyArray<tf.Tensor> => {
  const outputs = apply(x)
  return outputs instanceof tf.Tensor ? [outputs] : outputs as ReadonlyArray<tf.Tensor>
}

/** A scalar whose derivative differs from entry to entry: the sum of y + y^2 / 2 over all real outputs. */
const lossOf = (one: KernelCase, x: Tensors): tf.Tensor =>
  outputsOf(one, x).filter((y) => y.dtype === "float32").map((y) => y.add(y.square().mul(0.5)).sum())
    .reduce((total, part) => total.add(part))

const body = (one: KernelCase) => (inputs: Tensors): Tensors => {
  const outputs = Object.fromEntries(outputsOf(one, inputs).map((y, i) => [`y${i}`, y]))
  if (one.trained.length === 0) return outputs
  const { gradients } = Autodiff.valueAndGradients(
    (parameters) => lossOf(one, { ...inputs, ...parameters }),
    Object.fromEntries(one.trained.map((name) => [name, inputs[name]!]))
  )
  return { ...outputs, ...Object.fromEntries(one.trained.map((name) => [`d.${name}`, gradients[name]!])) }
}

/** Calls under one roof: inputs and outputs of call `i` are named `i.name`. A compilation each would take too long. */
const program = (name: string, calls: ReadonlyArray<KernelCase>): TensorProgram =>
  make({
    name,
    inputs: Object.fromEntries(calls.flatMap(({ inputs, symbolic }, i) =>
      Object.entries(inputs).map(([key, { dtype, shape }]) => [`${i}.${key}`, { dtype, shape: symbolic[key] ?? shape }])
    )),
    body: (inputs: Tensors) =>
      Object.fromEntries(calls.flatMap((call, i) =>
        Object.entries(
          body(call)(Object.fromEntries(Object.keys(call.inputs).map((key) => [key, inputs[`${i}.${key}`]!])))
        ).map(([key, tensor]) => [`${i}.${key}`, tensor])
      ))
  })

/** The largest error relative to the largest entry; infinite where one is not finite and the other differs. */
const error = (actual: ArrayLike<number>, expected: ReadonlyArray<number>): number => {
  if (actual.length !== expected.length) return Infinity
  const scale = expected.reduce((most, value) => Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most, 1)
  return expected.reduce((most, value, i) => {
    const off = Object.is(value + 0, actual[i]! + 0) ? 0 : Math.abs(actual[i]! - value) / scale
    return Number.isNaN(off) ? Infinity : Math.max(most, off)
  }, 0)
}

const words = ({ symbolic }: KernelCase, inputs: KernelCase["inputs"]) =>
  Object.entries(inputs).map(([name, { dtype, shape }]) =>
    `${name} ${dtype} [${shape.join(", ")}]${symbolic[name] === undefined ? "" : ` as [${symbolic[name].join(", ")}]`}`
  ).join(", ")

type Results = Readonly<Record<string, Float64.WideTensor>>

const known = new Map<KernelCase["inputs"], Results>()

/** What the oracle says, its derivatives checked against finite differences; worked out once for all backends. */
const expected = (one: KernelCase, given: KernelCase["inputs"]): Results => {
  const before = known.get(given)
  if (before !== undefined) return before
  const inputs = Object.fromEntries(Object.entries(given).map(([name, tensor]) => [name, Float64.widen(tensor)]))
  const results = Float64.evaluate(inputs, body(one))
  for (const name of one.trained) {
    if (inputs[name]!.data.length === 0) continue
    const differences = Float64.finiteDifferences(inputs, name, (x) => lossOf(one, x))
    assert.isBelow(
      error(results[`d.${name}`]!.data, differences),
      derivativeTolerance,
      `${words(one, given)}: d.${name}`
    )
  }
  known.set(given, results)
  return results
}

/** Whether a known difference of a backend is about these inputs. */
const concerns = (where: Where, one: KernelCase, inputs: KernelCase["inputs"]): boolean => {
  if (typeof where !== "string") return where.inputs.some((part) => words(one, inputs).includes(part))
  const tensors = Object.values(inputs)
  if (where === "empty") return tensors.some(({ data }) => data.length === 0)
  if (where !== "not finite") return tensors.some(({ dtype }) => dtype === where)
  return Object.values(expected(one, inputs)).some(({ data }) => Array.from(data).some((x) => !Number.isFinite(x)))
}

/** Compiles calls as one program, runs them and compares. */
const check = Effect.fnUntraced(function*(
  name: string,
  calls: ReadonlyArray<KernelCase>,
  runs: ReadonlyArray<ReadonlyArray<KernelCase["inputs"]>>,
  limit: number
) {
  const runtime = yield* TensorRuntime
  const executable = yield* runtime.compile(program(name, calls))
  for (const feeds of runs) {
    const handles = yield* executable.run(Object.fromEntries(
      feeds.flatMap((inputs, i) => Object.entries(inputs).map(([key, tensor]) => [`${i}.${key}`, tensor]))
    ))
    for (const [i, call] of calls.entries()) {
      for (const [key, wanted] of Object.entries(expected(call, feeds[i]!))) {
        const label = `${words(call, feeds[i]!)}: ${key}`
        const { data, dtype, shape } = yield* handles[`${i}.${key}`]!.read
        assert.deepStrictEqual([dtype, [...shape]], [wanted.dtype, [...wanted.shape]], label)
        if (dtype === "float32") assert.isBelow(error(data, wanted.data), limit, label)
        else assert.deepStrictEqual(Array.from(data), wanted.data, label)
      }
    }
  }
}, Effect.scoped)

/** Kernels run while `compute` traces. */
const traced = new Set<string>()
const engine = tf.engine()
const runKernel = engine.runKernel.bind(engine)
engine.runKernel = (name, inputs, attributes) => {
  if (tf.getBackend() === backendName) traced.add(name)
  return runKernel(name, inputs, attributes)
}

for (const [name, layer] of backends) {
  it.layer(layer)(`kernels on ${name}`, (it) => {
    for (const { cases, kernels, name: operation } of operations) {
      const known = differences.filter((each) => each.backend === name && each.operations.includes(operation))
      const isComparable = (one: KernelCase, inputs: KernelCase["inputs"]) =>
        !known.some(({ where }) => where !== undefined && concerns(where, one, inputs))
      it.effect(operation, () =>
        Effect.gen(function*() {
          const limit = Math.max(tolerance, ...known.map((each) => each.tolerance ?? 0))
          traced.clear()
          const fixed = cases.filter((one) => Object.keys(one.symbolic).length === 0)
          const comparable = fixed.filter((one) => isComparable(one, one.inputs))
          if (comparable.length > 0) {
            yield* check(operation, comparable, [comparable.map(({ inputs }) => inputs)], limit)
          }
          for (const one of cases) {
            if (fixed.includes(one)) continue
            const runs = [one.inputs, ...one.more].filter((inputs) => isComparable(one, inputs))
            if (runs.length > 0) yield* check(operation, [one], runs.map((inputs) => [inputs]), limit)
          }
          if (traced.size > 0 && known.length === 0) {
            assert.deepStrictEqual(kernels.filter((kernel) => !traced.has(kernel)), [])
          }
        }))
    }
  })
}

describe("the battery", () => {
  it("runs every kernel that is lowered", () => {
    const run = new Set(operations.flatMap(({ kernels }) => kernels))
    const lowered = tf.getKernelsForBackend(backendName).map(({ kernelName }) => kernelName)
    assert.isAbove(lowered.length, 100)
    assert.deepStrictEqual(lowered.filter((kernel) => !run.has(kernel)), [])
  })

  it("sees a wrong derivative", () => {
    const x = { x: { dtype: "float32", shape: [2], data: [0.5, -1.25] } } as const
    const differences = Float64.finiteDifferences(x, "x", ({ x }) => x!.square().mul(x!).sum())
    assert.isBelow(error([3 * 0.25, 3 * 1.5625], differences), 1e-9)
    assert.isAbove(error([3 * 0.25, 3 * 1.5626], differences), 1e-5)
  })

  it.effect("is told of a kernel that is not lowered, and of the line that called it", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const failure = yield* Effect.flip(runtime.compile(make({
        name: "convolution",
        inputs: { x: float32(1, 4, 4, 1), w: float32(2, 2, 1, 1) },
        body: ({ w, x }) => ({ y: tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same") })
      })))
      assert.strictEqual(failure.reason._tag, "UnsupportedKernel")
      assert.include(failure.message, "\"Conv2D\"")
      assert.match(failure.message, /Kernels\.test\.ts:\d+/)
    }).pipe(Effect.provide(backends[0]![1]), Effect.scoped))
})
