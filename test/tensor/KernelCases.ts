/**
 * What the parity battery runs: every kernel of tfjs that is lowered, over empty, single and odd shapes and over sizes
 * known only at run time, and the layers that are composed of them.
 */
import * as tf from "@tensorflow/tfjs"
import * as Random from "../../src/statistics/Random.ts"
import * as Attention from "../../src/tensor/Attention.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import * as RmsNorm from "../../src/tensor/RmsNorm.ts"
import * as Rotary from "../../src/tensor/Rotary.ts"
import * as SwiGlu from "../../src/tensor/SwiGlu.ts"
import { type Dimension, hostBool, hostFloat32, hostInt32, type HostTensor } from "../../src/tensor/TensorProgram.ts"

type Tensors = Readonly<Record<string, tf.Tensor>>

/** One call: its inputs, those to differentiate by, and the axes to be traced as run-time sizes. */
export interface KernelCase {
  readonly inputs: Readonly<Record<string, HostTensor>>
  /** The same call at other run-time sizes. */
  readonly more: ReadonlyArray<Readonly<Record<string, HostTensor>>>
  readonly trained: ReadonlyArray<string>
  readonly symbolic: Readonly<Record<string, ReadonlyArray<Dimension>>>
  readonly apply: (x: Tensors) => tf.Tensor | ReadonlyArray<tf.Tensor>
}

/** An operation and the kernels that its calls, with their gradients, have to run. */
export interface Operation {
  readonly name: string
  readonly kernels: ReadonlyArray<string>
  readonly cases: ReadonlyArray<KernelCase>
}

type Shape = ReadonlyArray<number>
type Draw = (seed: number, shape: Shape) => HostTensor

const filled = (shape: ReadonlyArray<number>, value: number, dtype?: "float32" | "int32" | "bool") =>
  tf.fill(shape as Array<number>, value, dtype)

const count = (shape: Shape) => shape.reduce((a, b) => a * b, 1)

const drawn = (next: () => number, shape: Shape) =>
  hostFloat32(Float32Array.from({ length: count(shape) }, next), ...shape)

const normal: Draw = (seed, shape) => drawn(Random.normal(seed, 0xca5e), shape)

const between = (low: number, high: number): Draw => (seed, shape) => {
  const next = Random.uniform(seed, 0xca5e)
  return drawn(() => low + (high - low) * next(), shape)
}

const positive = between(0.5, 2)

/** Values that are all different, a quarter apart, so that no order changes when one is moved a little. */
const apart: Draw = (seed, shape) => {
  const order = Random.permutation(count(shape), seed, 0xca5e)
  return hostFloat32(Float32Array.from(order, (place) => (place - order.length / 2) / 4), ...shape)
}

const integers = (low: number, high: number): Draw => (seed, shape) => {
  const next = Random.uniform(seed, 0x1275)
  return hostInt32(Int32Array.from({ length: count(shape) }, () => low + Math.floor((high - low) * next())), ...shape)
}

const booleans: Draw = (seed, shape) => {
  const next = Random.uniform(seed, 0xb001)
  return hostBool(Uint8Array.from({ length: count(shape) }, () => next() < 0.5 ? 0 : 1), ...shape)
}

const reals = (...values: ReadonlyArray<number>) => hostFloat32(Float32Array.from(values), values.length)

const ints = (shape: Shape, ...values: ReadonlyArray<number>) => hostInt32(Int32Array.from(values), ...shape)

const one = (
  inputs: Readonly<Record<string, HostTensor>>,
  apply: KernelCase["apply"],
  trained: ReadonlyArray<string> = [],
  symbolic: KernelCase["symbolic"] = {}
): KernelCase => ({ inputs, more: [], trained, symbolic, apply })

/** One call at several run-time sizes: the program of the last is run at all of them. */
const sized = (sizes: ReadonlyArray<number>, at: (size: number) => KernelCase): KernelCase => ({
  ...at(sizes.at(-1)!),
  more: sizes.slice(0, -1).map((size) => at(size).inputs)
})

const operation = (name: string, kernels: ReadonlyArray<string>, cases: ReadonlyArray<KernelCase>): Operation => ({
  name,
  kernels,
  cases
})

const lengths = [0, 1, 4]

const unaryShapes: ReadonlyArray<Shape> = [[], [0], [1], [7], [2, 3], [0, 3], [3, 1, 2]]

/** A function of one tensor, on every kind of shape and with a run-time size. */
const unary = (
  kernel: string,
  apply: (x: tf.Tensor) => tf.Tensor,
  draw: Draw = normal,
  { also = [], kernels = [], trained = true }: {
    readonly also?: ReadonlyArray<HostTensor>
    readonly kernels?: ReadonlyArray<string>
    readonly trained?: boolean
  } = {}
): Operation => {
  const names = trained ? ["x"] : []
  return operation(kernel, [kernel, ...kernels], [
    ...unaryShapes.map((shape, i) => one({ x: draw(i, shape) }, ({ x }) => apply(x!), names)),
    sized(lengths, (rows) => one({ x: draw(9, [rows, 3]) }, ({ x }) => apply(x!), names, { x: ["N", 3] })),
    ...also.map((x) => one({ x }, ({ x }) => apply(x!)))
  ])
}

const pairs: ReadonlyArray<readonly [Shape, Shape]> = [
  [[], []],
  [[0], [0]],
  [[1], [1]],
  [[2, 3], [2, 3]],
  [[2, 3], [3]],
  [[3], [5, 3]],
  [[2, 1], [1, 3]],
  [[2, 3], []],
  [[0, 3], [3]]
]

/** A function of two broadcast tensors. */
const binary = (
  kernel: string,
  apply: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  { also = [], left = normal, right = normal, trained = ["a", "b"] }: {
    readonly left?: Draw
    readonly right?: Draw
    readonly trained?: ReadonlyArray<string>
    readonly also?: ReadonlyArray<readonly [HostTensor, HostTensor]>
  } = {}
): Operation =>
  operation(kernel, [kernel], [
    ...pairs.map(([a, b], i) => one({ a: left(i, a), b: right(i + 20, b) }, ({ a, b }) => apply(a!, b!), trained)),
    sized(lengths, (rows) =>
      one({ a: left(7, [rows, 3]), b: right(8, [3]) }, ({ a, b }) => apply(a!, b!), trained, { a: ["N", 3] })),
    sized(lengths, (rows) =>
      one(
        { a: left(7, [rows, 1]), b: right(8, [rows, 3]) },
        ({ a, b }) =>
          apply(a!, b!),
        trained,
        {
          a: ["N", 1],
          b: ["N", 3]
        }
      )),
    ...also.map(([a, b]) => one({ a, b }, ({ a, b }) => apply(a!, b!)))
  ])

const someIntegers = integers(-5, 6)(1, [2, 3])
const odd = reals(Number.NaN, Infinity, -Infinity, 0, -0, 1e-30)
const integerPair = [integers(-9, 10)(1, [4, 5]), integers(1, 5)(2, [5])] as const
const signedPair = [ints([6], 7, -7, 7, -7, 6, 0), ints([6], 2, 2, -2, -2, 3, -4)] as const
const truthPair = [booleans(1, [2, 3]), booleans(2, [3])] as const

const arithmetic: ReadonlyArray<Operation> = [
  binary("Add", tf.add, { also: [integerPair] }),
  binary("Sub", tf.sub, { also: [integerPair] }),
  binary("Multiply", tf.mul, { also: [integerPair, truthPair] }),
  binary("RealDiv", tf.div, { right: positive, also: [[reals(1, -1, 0), reals(0, 0, 0)]] }),
  binary("Maximum", tf.maximum, { also: [integerPair] }),
  binary("Minimum", tf.minimum, { also: [integerPair] }),
  binary("Pow", tf.pow, { left: positive, also: [[ints([4], 2, -3, 5, 0), ints([4], 3, 2, 0, 1)]] }),
  binary("SquaredDifference", tf.squaredDifference, { also: [integerPair] }),
  binary("Mod", tf.mod, {
    left: between(-3, 3),
    right: positive,
    also: [integerPair, signedPair, [reals(5, -5, 5, -5), reals(3, 3, -3, -3)], [ints([2], 3, 4), ints([2], 0, 3)]]
  }),
  binary("FloorDiv", tf.floorDiv, {
    right: positive,
    trained: [],
    also: [integerPair, signedPair, [ints([2], 3, 4), ints([2], 0, 3)], [ints([3], 7, -7, 9), ints([], 2)]]
  }),
  binary("Atan2", tf.atan2, { also: [[reals(0, 0, 1, -1, -1), reals(0, -1, 0, 0, -2)]] }),
  operation("FloorDiv by a constant", ["FloorDiv"], [
    one({ x: integers(-9, 10)(1, [5]) }, ({ x }) => x!.div(tf.scalar(4, "int32")))
  ]),
  ...([["Greater", tf.greater], ["GreaterEqual", tf.greaterEqual], ["Less", tf.less], [
    "LessEqual",
    tf.lessEqual
  ]] as const)
    .map(([kernel, apply]) => binary(kernel, apply, { trained: [], also: [integerPair, truthPair] })),
  ...([["Equal", tf.equal], ["NotEqual", tf.notEqual]] as const).map(([kernel, apply]) =>
    binary(kernel, apply, { left: integers(0, 3), right: integers(0, 3), trained: [], also: [truthPair, [odd, odd]] })
  ),
  binary("LogicalAnd", tf.logicalAnd, { left: booleans, right: booleans, trained: [] }),
  binary("LogicalOr", tf.logicalOr, { left: booleans, right: booleans, trained: [] }),
  { ...binary("LogicalAnd", tf.logicalXor, { left: booleans, right: booleans, trained: [] }), name: "logicalXor" },
  unary("LogicalNot", tf.logicalNot, booleans, { trained: false }),
  operation("AddN", ["AddN"], [
    ...[[], [0], [1], [2, 3]].map((shape) =>
      one(
        { a: normal(1, shape), b: normal(2, shape), c: normal(3, shape) },
        ({ a, b, c }) => tf.addN([a!, b!, c!]),
        ["a", "b", "c"]
      )
    ),
    one({ a: normal(1, [4, 2]), b: normal(2, [4, 2]) }, ({ a, b }) => tf.addN([a!, b!]), ["a", "b"], {
      a: ["N", 2],
      b: ["N", 2]
    }),
    one({ a: someIntegers }, ({ a }) => tf.addN([a!, a!]))
  ])
]

const analysis: ReadonlyArray<Operation> = [
  unary("Exp", tf.exp, normal, { also: [someIntegers] }),
  unary("Expm1", tf.expm1, normal, { also: [reals(1e-7, -1e-7, 1e-3, 20, -20)] }),
  unary("Log", tf.log, positive, { also: [reals(-1, 0, 1e-30)] }),
  unary("Log1p", tf.log1p, positive, { also: [reals(1e-7, -1e-7, 1e-3, -1, 1e20, Infinity, 0)] }),
  unary("Sqrt", tf.sqrt, positive),
  unary("Rsqrt", tf.rsqrt, positive),
  unary("Erf", tf.erf),
  unary("Tanh", tf.tanh),
  unary("Sigmoid", tf.sigmoid),
  unary("Softplus", tf.softplus, between(-20, 20)),
  unary("Sin", tf.sin),
  unary("Cos", tf.cos),
  unary("Tan", tf.tan, between(-1.2, 1.2)),
  unary("Asin", tf.asin, between(-0.9, 0.9)),
  unary("Acos", tf.acos, between(-0.9, 0.9)),
  unary("Atan", tf.atan),
  unary("Sinh", tf.sinh),
  unary("Cosh", tf.cosh),
  unary("Asinh", tf.asinh),
  unary("Acosh", tf.acosh, between(1.2, 3)),
  unary("Atanh", tf.atanh, between(-0.9, 0.9)),
  unary("Reciprocal", tf.reciprocal, positive),
  unary("Ceil", tf.ceil),
  unary("Floor", tf.floor),
  unary("Round", tf.round, normal, { also: [reals(0.5, 1.5, 2.5, -0.5, -1.5), someIntegers] }),
  unary("Sign", tf.sign, normal, { also: [someIntegers, reals(0, -0)] }),
  unary("Neg", tf.neg, normal, { also: [someIntegers] }),
  unary("Abs", tf.abs, positive, { also: [someIntegers, reals(-2, 0)] }),
  unary("Square", tf.square, normal, { also: [someIntegers] }),
  unary("Relu", tf.relu, normal, { kernels: ["Step"], also: [someIntegers] }),
  unary("Relu6", tf.relu6, between(-3, 9), { also: [integers(-3, 9)(3, [7])] }),
  unary("LeakyRelu", (x) => tf.leakyRelu(x, 0.1), normal, { also: [someIntegers] }),
  unary("Elu", tf.elu, normal, { kernels: ["EluGrad"] }),
  unary("Selu", tf.selu),
  unary("Step", (x) => tf.step(x, 0.25), normal, { also: [someIntegers] }),
  unary("ClipByValue", (x) => tf.clipByValue(x, -0.5, 1.5), normal, { also: [integers(-3, 9)(3, [7])] }),
  unary("IsNan", (x) => tf.isNaN(x), normal, { trained: false, also: [odd, someIntegers] }),
  unary("IsInf", (x) => tf.isInf(x), normal, { trained: false, also: [odd, someIntegers] }),
  unary("IsFinite", (x) => tf.isFinite(x), normal, { trained: false, also: [odd, someIntegers] }),
  unary("Identity", (x) => x.clone(), normal, { also: [someIntegers, booleans(1, [3])] }),
  unary("ZerosLike", (x) => tf.zerosLike(x).add(x), normal, { also: [someIntegers, booleans(1, [3])] }),
  unary("OnesLike", (x) => tf.onesLike(x).mul(x), normal, { also: [someIntegers, booleans(1, [3])] }),
  unary("Fill", (x) => tf.fill(x.shape, 0.75).mul(x)),
  binary("Prelu", tf.prelu, { right: positive }),
  operation("Cast", ["Cast"], [
    ...unaryShapes.flatMap((shape, i) =>
      (["float32", "int32", "bool"] as const).flatMap((type) => [
        one({ x: between(-3, 3)(i, shape) }, ({ x }) => x!.cast(type)),
        one({ x: integers(-1, 2)(i, shape) }, ({ x }) => x!.cast(type)),
        one({ x: booleans(i, shape) }, ({ x }) => x!.cast(type))
      ])
    ),
    one({ x: normal(1, [3]) }, ({ x }) => x!.cast("float32").mul(2), ["x"]),
    one({ x: integers(-1, 2)(1, [3, 2]) }, ({ x }) => x!.cast("float32"), [], { x: ["N", 2] }),
    one({ x: normal(1, [3]) }, ({ x }) => tf.fill(x!.shape, 2, "int32").cast("float32").mul(x!), ["x"], { x: ["N"] })
  ]),
  operation("Fill of other types", ["Fill"], [
    one({}, () => filled([2, 3], 4, "int32")),
    one({}, () => filled([0, 3], 4)),
    one({}, () => filled([2], 1, "bool"))
  ])
]

const choice: ReadonlyArray<Operation> = [
  operation("Select", ["Select"], [
    ...([[[], [], []], [[0], [0], [0]], [[1], [1], [1]], [[2, 3], [2, 3], [2, 3]], [[3], [2, 3], []], [
      [2, 1],
      [],
      [3]
    ], [[0, 3], [0, 3], [0, 3]]] as const).map(([c, t, e]) =>
      one(
        { c: booleans(1, c), t: normal(2, t), e: normal(3, e) },
        ({ c, e, t }) => tf.where(c!, t!, e!),
        count(t) * count(c) > 0 ? ["t", "e"] : []
      )
    ),
    sized([1, 5], (rows) =>
      one(
        { c: booleans(1, [rows, 3]), t: normal(2, [rows, 1]), e: normal(3, [3]) },
        ({ c, e, t }) => tf.where(c!, t!, e!),
        ["t", "e"],
        { c: ["N", 3], t: ["N", 1] }
      )),
    one({ c: booleans(1, [4]), t: someIntegers }, ({ c }) => tf.where(c!, filled([4], 1), filled([4], -1))),
    one({ c: booleans(1, [2, 3]), t: someIntegers }, ({ c, t }) => tf.where(c!, t!, t!.mul(tf.scalar(2, "int32")))),
    one({ c: booleans(1, [2, 3]), t: booleans(2, [2, 3]) }, ({ c, t }) => tf.where(c!, t!, t!.logicalNot()))
  ]),
  operation("OneHot", ["OneHot"], [
    ...[[], [0], [1], [4], [2, 3]].map((shape) =>
      one({ i: integers(-1, 6)(1, shape) }, ({ i }) => [
        tf.oneHot(i!, 5),
        tf.oneHot(i!, 5, 2.5, -1, "float32"),
        tf.oneHot(i!, 5, 1, 0, "float32")
      ])
    ),
    one({ i: integers(-1, 6)(1, [4]) }, ({ i }) => tf.oneHot(i!, 5), [], { i: ["N"] })
  ]),
  operation("Range", ["Range"], [
    one({}, () => [tf.range(0, 5), tf.range(2, 9, 3, "int32"), tf.range(3, 3), tf.range(5, 1), tf.range(5, 0, -2)]),
    sized(
      lengths,
      (rows) => one({ x: normal(1, [rows, 3]) }, ({ x }) => tf.range(0, x!.shape[0]!, 1, "int32"), [], { x: ["N", 3] })
    ),
    one({ x: normal(1, [2, 3]) }, ({ x }) => tf.range(0, x!.shape[0]! * x!.shape[1]!), [], { x: ["N", "T"] })
  ]),
  operation("LinSpace", ["LinSpace"], [
    one({}, () => [tf.linspace(-1, 1, 5), tf.linspace(0, 3, 2), tf.linspace(2, 1, 7)])
  ])
]

const matrixShapes: ReadonlyArray<readonly [Shape, Shape, boolean, boolean]> = [
  ...[[2, 3, 4], [1, 1, 1], [0, 3, 2], [2, 0, 3], [3, 2, 0]].flatMap(([m, k, n]) =>
    [false, true].flatMap((ta) =>
      [false, true].map((tb) => [ta ? [k!, m!] : [m!, k!], tb ? [n!, k!] : [k!, n!], ta, tb] as const)
    )
  ),
  ...[[[2], [2]], [[2], [1]], [[1], [3]], [[2, 3], [3]], [[0], [0]], [[2], []], [[], [3]], [[2, 3], []]]
    .flatMap(([batchA, batchB]) =>
      [false, true].flatMap((ta) =>
        [false, true].map((tb) =>
          [[...batchA!, ...ta ? [3, 2] : [2, 3]], [...batchB!, ...tb ? [4, 3] : [3, 4]], ta, tb] as const
        )
      )
    )
]

const product = (ta: boolean, tb: boolean) => ({ a, b }: Tensors) => tf.matMul(a!, b!, ta, tb)

const contractions: ReadonlyArray<readonly [string, Shape, Shape?]> = [
  ["ij,jk->ik", [2, 3], [3, 4]],
  ["ij,jk->ik", [0, 3], [3, 4]],
  ["ij,jk->ik", [2, 0], [0, 4]],
  ["bij,bjk->bik", [2, 3, 1], [2, 1, 4]],
  ["bhtd,bhsd->bhts", [1, 2, 3, 2], [1, 2, 4, 2]],
  ["btd,dv->btv", [2, 3, 2], [2, 5]],
  ["ij,ij->i", [2, 3], [2, 3]],
  ["i,j->ij", [3], [4]],
  ["i,i->", [5], [5]],
  ["ij->ji", [2, 3]],
  ["ij->i", [2, 3]],
  ["ij->", [2, 3]]
]

const activations = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu"] as const

const products: ReadonlyArray<Operation> = [
  operation("BatchMatMul", ["BatchMatMul"], [
    ...matrixShapes.map(([a, b, ta, tb]) =>
      one({ a: normal(1, a), b: normal(2, b) }, product(ta, tb), a.includes(0) || b.includes(0) ? [] : ["a", "b"])
    ),
    sized(
      lengths,
      (rows) =>
        one({ a: normal(1, [rows, 3]), b: normal(2, [3, 2]) }, product(false, false), ["a", "b"], { a: ["N", 3] })
    ),
    sized(
      [1, 4],
      (rows) =>
        one({ a: normal(1, [rows, 2, 3]), b: normal(2, [4, 3]) }, product(false, true), ["a", "b"], { a: ["N", 2, 3] })
    ),
    sized(
      lengths,
      (rows) =>
        one({ a: normal(1, [rows, 3, 2]), b: normal(2, [rows, 3, 4]) }, product(true, false), ["a", "b"], {
          a: ["N", 3, "T"],
          b: ["N", 3, 4]
        })
    ),
    one({ a: integers(-3, 4)(1, [2, 3]), b: integers(-3, 4)(2, [4, 3]) }, product(false, true)),
    one({ a: integers(-3, 4)(1, [2, 3, 2]), b: integers(-3, 4)(2, [2, 3, 1]) }, product(true, false))
  ]),
  operation("_FusedMatMul", ["_FusedMatMul"], [
    ...activations.flatMap((activation) =>
      [[3, 4], [1, 1], [0, 2]].map(([rows, width]) =>
        one(
          { a: normal(1, [rows!, 2]), b: normal(2, [2, width!]), bias: normal(3, [width!]) },
          ({ a, b, bias }) => tf.fused.matMul({ a: a!, b: b!, bias: bias!, activation, leakyreluAlpha: 0.3 }),
          rows === 0 ? [] : ["a", "b", "bias"]
        )
      )
    ),
    one(
      { a: normal(1, [4, 2]), b: normal(2, [3, 2]), slope: positive(3, [3]) },
      ({ a, b, slope }) =>
        tf.fused.matMul({
          a: a!,
          b: b!,
          transposeB: true,
          activation: "prelu",
          preluActivationWeights: slope!
        }),
      ["a", "b"],
      { a: ["N", 2] }
    )
  ]),
  operation("Einsum", ["Einsum"], [
    ...contractions.map(([equation, a, b]) =>
      b === undefined
        ? one({ a: normal(1, a) }, ({ a }) => tf.einsum(equation, a!), ["a"])
        : one({ a: normal(1, a), b: normal(2, b) }, ({ a, b }) =>
          tf.einsum(equation, a!, b!), a.includes(0) ? [] : ["a", "b"])
    ),
    sized(
      [1, 3],
      (rows) =>
        one({ a: normal(1, [rows, 2, 3]), b: normal(2, [3, 4]) }, ({ a, b }) => tf.einsum("btd,dv->btv", a!, b!), [
          "a",
          "b"
        ], { a: ["B", "T", 3] })
    )
  ]),
  operation("FusedBatchNorm", ["FusedBatchNorm"], [
    ...[[4, 3], [1, 1], [0, 3], [2, 2, 3]].flatMap((shape) => {
      const width = [shape.at(-1)!]
      const inputs = { x: normal(1, shape), mean: normal(2, width), variance: positive(3, width) }
      return [
        one(
          { ...inputs, scale: normal(4, width), offset: normal(5, width) },
          ({ mean, offset, scale, variance, x }) =>
            tf.batchNorm(
              x as tf.Tensor2D,
              mean as tf.Tensor1D,
              variance as tf.Tensor1D,
              offset as tf.Tensor1D,
              scale as tf.Tensor1D
            ),
          ["x", "mean", "variance", "scale", "offset"]
        ),
        one(
          inputs,
          ({ mean, variance, x }) => tf.batchNorm(x as tf.Tensor2D, mean as tf.Tensor1D, variance as tf.Tensor1D)
        )
      ]
    }),
    one(
      { x: normal(1, [4, 3]), mean: normal(2, [3]), variance: positive(3, [3]) },
      ({ mean, variance, x }) =>
        tf.batchNorm(x as tf.Tensor2D, mean as tf.Tensor1D, variance as tf.Tensor1D, tf.zeros([3]), tf.ones([3])),
      ["x", "mean", "variance"],
      { x: ["N", 3] }
    )
  ])
]

const reductions: ReadonlyArray<Operation> = [
  ...([["Sum", tf.sum, normal, true], ["Mean", tf.mean, normal, true], ["Prod", tf.prod, positive, true], [
    "Max",
    tf.max,
    apart,
    false
  ], ["Min", tf.min, apart, false]] as const).map(([kernel, apply, draw, total]) =>
    operation(kernel, [kernel, ...kernel === "Prod" ? ["Cumprod"] : []], [
      one({ x: draw(1, []) }, ({ x }) => apply(x!), ["x"]),
      one({ x: draw(1, [1]) }, ({ x }) => apply(x!), ["x"]),
      one({ x: draw(1, [5]) }, ({ x }) => apply(x!), ["x"]),
      one({ x: draw(1, [0, 3]) }, ({ x }) => [apply(x!, 1), ...total ? [apply(x!, 0), apply(x!)] : []]),
      ...[-1, 0, 1, [0, 2], [0, 1, 2]].flatMap((axis) =>
        [false, true].map((keep) => one({ x: draw(2, [2, 3, 2]) }, ({ x }) => apply(x!, axis, keep), ["x"]))
      ),
      sized(
        lengths,
        (rows) => one({ x: draw(3, [rows, 3]) }, ({ x }) => [apply(x!, 1), apply(x!, -1, true)], ["x"], { x: ["N", 3] })
      ),
      ...kernel === "Prod"
        ? []
        : [
          sized(
            total ? lengths : [1, 4],
            (rows) => one({ x: draw(3, [rows, 3]) }, ({ x }) => [apply(x!, 0), apply(x!)], ["x"], { x: ["N", 3] })
          )
        ],
      one({ x: integers(-3, 4)(1, [3, 4]) }, ({ x }) => [apply(x!, 0), apply(x!, 1)]),
      ...kernel === "Sum" || kernel === "Mean" ? [one({ x: booleans(1, [3, 4]) }, ({ x }) => apply(x!, 0))] : [],
      ...kernel === "Prod"
        ? [
          one({ x: reals(2, 0, 3) }, ({ x }) => apply(x!), ["x"]),
          one({ x: reals(0, 0, 3) }, ({ x }) => apply(x!), ["x"])
        ]
        : []
    ])
  ),
  ...([["All", tf.all], ["Any", tf.any]] as const).map(([kernel, apply]) =>
    operation(kernel, [kernel], [
      ...[[], [1], [5], [2, 3, 2]].map((shape) => one({ x: booleans(4, shape) }, ({ x }) => apply(x!))),
      ...[0, 1, [0, 1]].map((axis) => one({ x: booleans(5, [2, 3]) }, ({ x }) => apply(x!, axis, true))),
      one({ x: booleans(5, [0, 3]) }, ({ x }) => apply(x!, 1)),
      sized(lengths, (rows) => one({ x: booleans(5, [rows, 3]) }, ({ x }) => apply(x!, 1), [], { x: ["N", 3] }))
    ])
  ),
  ...([["ArgMax", tf.argMax], ["ArgMin", tf.argMin]] as const).map(([kernel, apply]) =>
    operation(kernel, [kernel], [
      ...[-1, 0, 1, 2].map((axis) => one({ x: normal(2, [2, 3, 2]) }, ({ x }) => apply(x!, axis))),
      one({ x: normal(1, [1]) }, ({ x }) => apply(x!)),
      one({ x: normal(1, [0, 3]) }, ({ x }) => apply(x!, 1)),
      one({ x: reals(1, 3, 3, 1, 1) }, ({ x }) => apply(x!)),
      one({ x: integers(-3, 4)(1, [3, 4]) }, ({ x }) => apply(x!, 1)),
      sized(lengths, (rows) => one({ x: normal(5, [rows, 3]) }, ({ x }) => apply(x!, 1), [], { x: ["N", 3] }))
    ])
  ),
  operation("TopK", ["TopK"], [
    ...([[[5], 2], [[1], 1], [[2, 4], 4], [[2, 3, 4], 1], [[0, 3], 2], [[2, 3], 0]] as const).map(([shape, k]) =>
      one({ x: apart(1, shape) }, ({ x }) => {
        const { indices, values } = tf.topk(x!, k)
        return [values, indices]
      }, count(shape) * k > 0 ? ["x"] : [])
    ),
    one({ x: reals(1, 3, 3, 1, 1) }, ({ x }) => tf.topk(x!, 4).indices),
    one({ x: integers(-9, 9)(1, [3, 4]) }, ({ x }) => [tf.topk(x!, 2).values]),
    sized([1, 4], (rows) =>
      one(
        { x: apart(1, [rows, 5]) },
        ({ x }) => {
          const { indices, values } = tf.topk(x!, 3)
          return [values, indices]
        },
        ["x"],
        { x: ["N", 5] }
      ))
  ]),
  ...([["Cumsum", tf.cumsum], ["Cumprod", tf.cumprod]] as const).map(([kernel, apply]) =>
    operation(kernel, [kernel], [
      ...[[1], [5], [0], [8], [3, 0]].flatMap((shape) =>
        [false, true].flatMap((exclusive) =>
          [false, true].map((reverse) =>
            one({ x: normal(1, shape) }, ({ x }) => apply(x!, 0, exclusive, reverse), kernel === "Cumsum" ? ["x"] : [])
          )
        )
      ),
      ...[0, 1, 2].flatMap((axis) =>
        [false, true].map((reverse) =>
          one(
            { x: normal(1, [2, 3, 4]) },
            ({ x }) => apply(x!, axis, reverse, reverse),
            kernel === "Cumsum" ? ["x"] : []
          )
        )
      ),
      one({ x: integers(-3, 4)(1, [2, 5]) }, ({ x }) => apply(x!, 1)),
      sized(lengths, (rows) =>
        one(
          { x: normal(1, [rows, 3]) },
          ({ x }) => apply(x!, 1),
          kernel === "Cumsum" ? ["x"] : [],
          { x: ["N", 3] }
        ))
    ])
  ),
  operation("Cumsum over a run-time size", ["Cumsum"], [
    sized(lengths, (rows) => one({ x: normal(1, [rows, 3]) }, ({ x }) => tf.cumsum(x!, 0), ["x"], { x: ["N", 3] }))
  ]),
  operation("Softmax", ["Softmax"], [
    ...[[1], [5], [2, 3], [0, 3], [2, 3, 4]].map((shape) =>
      one({ x: normal(1, shape) }, ({ x }) => tf.softmax(x!), ["x"])
    ),
    one({ x: reals(1000, -1000, 999) }, ({ x }) => tf.softmax(x!)),
    sized(lengths, (rows) => one({ x: normal(1, [rows, 3]) }, ({ x }) => tf.softmax(x!), ["x"], { x: ["N", 3] })),
    one({ x: normal(1, [2, 3]) }, ({ x }) => tf.softmax(x!), ["x"], { x: ["N", "T"] })
  ]),
  operation("LogSoftmax", ["LogSoftmax"], [
    ...[[1], [5], [2, 3], [0, 3], [2, 3, 4]].flatMap((shape) => [
      one({ x: normal(1, shape) }, ({ x }) => tf.logSoftmax(x!), ["x"]),
      one(
        { x: normal(1, shape) },
        ({ x }) => direct("LogSoftmax", { logits: x! }, { axis: -1 }, () => tf.logSoftmax(x!)),
        [
          "x"
        ]
      )
    ]),
    sized(lengths, (rows) => one({ x: normal(1, [rows, 3]) }, ({ x }) => tf.logSoftmax(x!), ["x"], { x: ["N", 3] }))
  ])
]

/** A kernel that no function of tfjs runs yet: called by name where the backend has it, else by its meaning. */
const direct = (
  kernel: string,
  inputs: Tensors,
  attributes: tf.NamedAttrMap,
  otherwise: () => tf.Tensor
): tf.Tensor =>
  tf.getKernel(kernel, tf.getBackend()) === undefined
    ? otherwise()
    : tf.engine().runKernel(kernel, { ...inputs }, attributes) as tf.Tensor

const layouts: ReadonlyArray<Operation> = [
  operation("Reshape", ["Reshape"], [
    ...([[[6], [2, 3]], [[], [1, 1]], [[1], []], [[0, 3], [3, 0]], [[2, 3, 2], [3, -1]], [[2, 3], [2, 3]]] as const)
      .map((
        [from, to]
      ) => one({ x: normal(1, from) }, ({ x }) => x!.reshape([...to]), ["x"])),
    sized(
      lengths,
      (rows) => one({ x: normal(1, [rows, 6]) }, ({ x }) => x!.reshape([-1, 3]).mul(2), ["x"], { x: ["N", 6] })
    ),
    sized(lengths, (rows) =>
      one(
        { x: normal(1, [rows, 2, 6]) },
        ({ x }) => x!.reshape([x!.shape[0]!, 2 * x!.shape[1]!, 3]).mul(2),
        ["x"],
        { x: ["N", "T", 6] }
      )),
    sized(lengths, (rows) =>
      one(
        { x: normal(1, [rows, 2, 6]) },
        ({ x }) => {
          const [n, t] = x!.shape as [number, number, number]
          return x!.reshape([n * t, 6]).mul(2).reshape([t, n, 6])
        },
        ["x"],
        { x: ["N", "T", 6] }
      )),
    one({ x: normal(1, [2, 0, 6]) }, ({ x }) => x!.reshape([x!.shape[0]! * x!.shape[1]!, 6]).reshape(x!.shape), ["x"], {
      x: ["N", "T", 6]
    })
  ]),
  operation("ExpandDims", ["ExpandDims"], [
    ...[[], [0], [3], [2, 3]].flatMap((shape) =>
      [0, -1].map((axis) => one({ x: normal(1, shape) }, ({ x }) => x!.expandDims(axis), ["x"]))
    ),
    one({ x: normal(1, [4, 2]) }, ({ x }) => x!.expandDims(1).mul(2), ["x"], { x: ["N", 2] })
  ]),
  operation("Transpose", ["Transpose"], [
    one({ x: normal(1, [2, 3]) }, ({ x }) => x!.transpose(), ["x"]),
    one({ x: normal(1, [2, 3, 4]) }, ({ x }) => x!.transpose([2, 0, 1]), ["x"]),
    one({ x: normal(1, [2, 3]) }, ({ x }) => x!.transpose([0, 1]).mul(2), ["x"]),
    one({ x: normal(1, [0, 3]) }, ({ x }) => x!.transpose(), ["x"]),
    one({ x: normal(1, [1, 1]) }, ({ x }) => x!.transpose(), ["x"]),
    one({ x: booleans(1, [2, 3]) }, ({ x }) => x!.transpose()),
    sized(
      lengths,
      (rows) => one({ x: normal(1, [rows, 3, 2]) }, ({ x }) => x!.transpose([1, 2, 0]), ["x"], { x: ["N", 3, 2] })
    )
  ]),
  operation("Tile", ["Tile"], [
    ...([[[3], [2]], [[1], [1]], [[2, 3], [2, 1]], [[2, 1, 2], [1, 3, 2]], [[0], [2]], [[1], [4]]] as const).map((
      [shape, reps]
    ) => one({ x: normal(1, shape) }, ({ x }) => tf.tile(x!, [...reps]), ["x"])),
    one({ x: normal(1, [2]) }, ({ x }) => tf.tile(x!, [0])),
    one({ x: someIntegers }, ({ x }) => tf.tile(x!, [2, 2])),
    sized(lengths, (rows) => one({ x: normal(1, [rows, 2]) }, ({ x }) => tf.tile(x!, [3, 2]), ["x"], { x: ["N", 2] }))
  ]),
  operation("broadcastTo", ["Tile"], [
    ...([[[3], [2, 3]], [[1, 3], [4, 3]], [[], [2, 2]], [[2, 1], [2, 5]], [[1], [1]]] as const).map(([from, to]) =>
      one({ x: normal(1, from) }, ({ x }) => tf.broadcastTo(x!, [...to]), ["x"])
    ),
    one({ x: booleans(1, [1, 3]) }, ({ x }) => tf.broadcastTo(x!, [2, 3])),
    sized(
      [1, 4],
      (rows) =>
        one({ x: normal(1, [3]), y: normal(2, [rows, 3]) }, ({ x, y }) => tf.broadcastTo(x!, y!.shape).mul(y!), [
          "x",
          "y"
        ], {
          y: ["N", 3]
        })
    )
  ]),
  operation(
    "BroadcastTo",
    ["BroadcastTo"],
    ([[[3], [2, 3]], [[1, 3], [4, 3]], [[], [2, 2]]] as const).map(([from, to]) =>
      one(
        { x: normal(1, from) },
        ({ x }) =>
          direct("BroadcastTo", { x: x! }, { shape: [...to], inputShape: [...from] }, () => tf.broadcastTo(x!, [...to]))
      )
    )
  ),
  operation("Concat", ["Concat"], [
    ...([[[2, 3], [1, 3], 0], [[2, 3], [2, 1], 1], [[0, 3], [2, 3], 0], [[0, 3], [0, 3], 1], [[1], [2], -1]] as const)
      .map(
        ([a, b, axis]) => one({ a: normal(1, a), b: normal(2, b) }, ({ a, b }) => tf.concat([a!, b!], axis), ["a", "b"])
      ),
    one({ a: normal(1, [2]) }, ({ a }) => tf.concat([a!]).mul(a!), ["a"]),
    one({ a: booleans(1, [2, 2]), b: booleans(2, [2, 1]) }, ({ a, b }) => tf.concat([a!, b!], 1)),
    sized(lengths, (rows) =>
      one(
        { a: normal(1, [rows, 3]), b: normal(2, [2, 3]) },
        ({ a, b }) => tf.concat([a!.mul(2), b!], 0).slice([1, 0], a!.shape as [number, number]),
        ["a", "b"],
        { a: ["N", 3] }
      )),
    one(
      { a: normal(1, [2, 3]), b: normal(2, [4, 3]), c: normal(3, [6, 3]) },
      ({ a, b, c }) => tf.concat([a!, b!], 0).mul(c!),
      ["a", "b", "c"],
      { a: ["P", 3], b: ["N", 3], c: ["P+N", 3] }
    ),
    one(
      { a: normal(1, [2, 3]), b: normal(2, [4, 3]) },
      ({ a, b }) => tf.concat([a!, b!], 0).mul(2).sum(0),
      ["a", "b"],
      { a: ["P", 3], b: ["N", 3] }
    )
  ]),
  operation("Pack", ["Pack"], [
    ...[[], [0], [3], [2, 3]].flatMap((shape) =>
      [0, ...shape.length > 0 ? [1] : []].map((axis) =>
        one({ a: normal(1, shape), b: normal(2, shape) }, ({ a, b }) => tf.stack([a!, b!], axis), ["a", "b"])
      )
    ),
    one({ a: normal(1, [4]), b: normal(2, [4]) }, ({ a, b }) => tf.stack([a!, b!], 1), ["a", "b"], {
      a: ["N"],
      b: ["N"]
    })
  ]),
  operation("Unpack", ["Unpack"], [
    ...[[1], [3], [2, 3], [2, 0]].map((shape) => one({ x: normal(1, shape) }, ({ x }) => tf.unstack(x!), ["x"])),
    one({ x: normal(1, [2, 3]) }, ({ x }) => tf.unstack(x!, 1), ["x"]),
    one({ x: normal(1, [4, 3]) }, ({ x }) => tf.unstack(x!, 1), ["x"], { x: ["N", 3] })
  ]),
  operation("SplitV", ["SplitV"], [
    one({ x: normal(1, [4, 3]) }, ({ x }) => tf.split(x!, 2), ["x"]),
    one({ x: normal(1, [4, 3]) }, ({ x }) => tf.split(x!, [1, 2], 1), ["x"]),
    one({ x: normal(1, [4, 3]) }, ({ x }) => tf.split(x!, [0, 3], 1), ["x"]),
    one({ x: normal(1, [0, 4]) }, ({ x }) => tf.split(x!, 2, 1), ["x"]),
    one({ x: normal(1, [3]) }, ({ x }) => tf.split(x!, 1), ["x"]),
    one({ x: normal(1, [4, 3]) }, ({ x }) => tf.split(x!, [1, 1, 1], 1)[2]!, ["x"]),
    sized(lengths, (rows) => one({ x: normal(1, [rows, 6]) }, ({ x }) => tf.split(x!, 3, 1), ["x"], { x: ["N", 6] }))
  ]),
  operation("Slice", ["Slice"], [
    ...([[[5], [1], [3]], [[5], [0], [5]], [[5], [2], [0]], [[3, 4], [1, 2], [2, 1]], [[3, 4], [0, 1], [-1, -1]], [
      [0, 4],
      [0, 1],
      [0, 2]
    ], [[1], [0], [1]]] as const).map(([shape, begin, size]) =>
      one({ x: normal(1, shape) }, ({ x }) => tf.slice(x!, [...begin], [...size]).mul(2), ["x"])
    ),
    one({ x: booleans(1, [3, 4]) }, ({ x }) => tf.slice(x!, [1, 0], [1, 4])),
    one({ x: normal(1, [5, 3]) }, ({ x }) => tf.slice(x!, [0, 1], [-1, 2]), ["x"], { x: ["N", 3] }),
    one({ x: normal(1, [5, 3]) }, ({ x }) => tf.slice(x!, [0, 0], [2, 3]), ["x"], { x: ["N", 3] }),
    one({ x: normal(1, [5, 3]) }, ({ x }) => tf.slice(x!, [1, 0], [-1, 3]).mul(2).pad([[1, 0], [0, 0]]), ["x"], {
      x: ["N", 3]
    }),
    one({ x: normal(1, [5, 3]) }, ({ x }) => tf.slice(x!, [0, 0], [x!.shape[0]! - 1, 3]).mul(2).pad([[0, 1], [0, 0]]), [
      "x"
    ], { x: ["N", 3] }),
    one({ x: normal(1, [5, 3]) }, ({ x }) => tf.slice(x!, [x!.shape[0]! - 1, 0], [1, 3]).mul(2), ["x"], {
      x: ["N", 3]
    }),
    // The rows without the first meet the rows without the last, and their size is reshaped.
    one(
      { x: normal(1, [2, 5, 3]) },
      ({ x }) => {
        const [batch, length] = x!.shape as [number, number, number]
        const later = tf.slice(x!, [0, 1, 0], [-1, -1, -1])
        const earlier = tf.slice(x!, [0, 0, 0], [-1, length - 1, -1])
        return later.mul(earlier).reshape([batch * (length - 1), 3]).sum(1)
          .mul(filled([batch * (length - 1)], 2)).reshape([batch, length - 1]).pad([[0, 0], [1, 0]])
      },
      ["x"],
      { x: ["B", "T", 3] }
    ),
    one(
      { x: normal(1, [4, 6]) },
      ({ x }) => x!.reshape([-1]).slice([2 * x!.shape[0]!], [x!.shape[0]!]).mul(2),
      ["x"],
      { x: ["N", 6] }
    )
  ]),
  operation("StridedSlice", ["StridedSlice"], [
    ...([
      [[7], [1], [6], [2]],
      [[7], [5], [0], [-2]],
      [[7], [-1], [-8], [-1]],
      [[3, 4], [0, 1], [3, 4], [2, 2]],
      [
        [3, 4],
        [1, 0],
        [3, 4],
        [1, 1]
      ],
      [[3], [0], [3], [1]],
      [[4], [2], [2], [1]]
    ] as const).map(([shape, begin, end, strides]) =>
      one(
        { x: normal(1, shape) },
        ({ x }) => tf.stridedSlice(x!, [...begin], [...end], [...strides]).mul(2),
        begin[0] === end[0] ? [] : ["x"]
      )
    ),
    one({ x: normal(1, [3, 4]) }, ({ x }) => tf.stridedSlice(x!, [1, 0], [2, 4], [1, 1], 0, 0, 0, 0, 1), ["x"]),
    one({ x: normal(1, [3, 4]) }, ({ x }) => tf.stridedSlice(x!, [0, 0], [0, 3], [1, 2], 1, 1), ["x"]),
    one({ x: normal(1, [5, 4]) }, ({ x }) => tf.stridedSlice(x!, [0, 0], [0, 4], [1, 2], 1, 1), ["x"], { x: ["N", 4] })
  ]),
  operation("Reverse", ["Reverse"], [
    ...([[[5], undefined], [[1], 0], [[0], 0], [[2, 3], 0], [[2, 3], [-1]], [[2, 3, 2], [0, 2]]] as const).map((
      [shape, axis]
    ) => one({ x: normal(1, shape) }, ({ x }) => tf.reverse(x!, axis as Array<number> | undefined), ["x"])),
    one({ x: booleans(1, [5]) }, ({ x }) => tf.reverse(x!)),
    sized(lengths, (rows) => one({ x: normal(1, [rows, 3]) }, ({ x }) => tf.reverse(x!), ["x"], { x: ["N", 3] }))
  ]),
  operation("PadV2", ["PadV2"], [
    ...([[[3], [[1, 2]]], [[2, 3], [[0, 0], [1, 0]]], [[0, 3], [[1, 1], [0, 0]]], [[2], [[0, 0]]]] as const).map((
      [shape, paddings]
    ) =>
      one({ x: normal(1, shape) }, ({ x }) => tf.pad(x!, paddings.map(([a, b]): [number, number] => [a, b]), 1.5), [
        "x"
      ])
    ),
    one({ x: someIntegers }, ({ x }) => tf.pad(x!, [[1, 0], [0, 2]], -7)),
    one({ x: booleans(1, [3]) }, ({ x }) => tf.pad(x!, [[1, 1]], 1)),
    sized(
      lengths,
      (rows) =>
        one({ x: normal(1, [rows, 3]) }, ({ x }) => tf.pad(x!, [[1, 0], [0, 2]]).mul(2).slice([1, 1], [-1, 4]), ["x"], {
          x: ["N", 3]
        })
    )
  ]),
  operation("MirrorPad", ["MirrorPad"], [
    ...(["reflect", "symmetric"] as const).flatMap((mode) => [
      one({ x: normal(1, [4]) }, ({ x }) => tf.mirrorPad(x!, [[2, 3]], mode), ["x"]),
      one({ x: normal(1, [3, 2]) }, ({ x }) => tf.mirrorPad(x!, [[1, 0], [1, 1]], mode), ["x"]),
      one({ x: normal(1, [2, 3]) }, ({ x }) => tf.mirrorPad(x!, [[0, 0], [1, 2]], mode), ["x"], { x: ["N", 3] })
    ]),
    one({ x: normal(1, [1]) }, ({ x }) => tf.mirrorPad(x!, [[1, 1]], "symmetric"), ["x"])
  ])
]

const indexing: ReadonlyArray<Operation> = [
  operation("GatherV2", ["GatherV2", "UnsortedSegmentSum"], [
    ...([[[5, 2], [3], 0], [[5], [2, 3], 0], [[2, 5], [4], 1], [[2, 5, 3], [2, 2], 1], [[5, 2], [], 0], [[1], [1], 0], [
      [2, 3, 4],
      [2],
      -1
    ], [[2, 5, 3], [3], -2]] as const).map(([shape, places, axis]) =>
      one(
        { x: normal(1, shape), i: integers(0, shape.at(axis)!)(2, places) },
        ({ i, x }) => tf.gather(x!, i!, axis),
        ["x"]
      )
    ),
    one({ x: normal(1, [5, 2]), i: integers(0, 5)(2, [0]) }, ({ i, x }) => tf.gather(x!, i!)),
    one({ x: booleans(1, [5, 2]), i: integers(0, 5)(2, [3]) }, ({ i, x }) => tf.gather(x!, i!)),
    sized(
      lengths,
      (rows) =>
        one({ x: normal(1, [3, 2]), i: integers(0, 3)(2, [rows]) }, ({ i, x }) => tf.gather(x!, i!), ["x"], {
          i: ["N"]
        })
    ),
    one({ x: normal(1, [4, 5]), i: integers(0, 5)(2, [3]) }, ({ i, x }) => tf.gather(x!, i!, 1), ["x"], { x: ["N", 5] })
  ]),
  operation("GatherV2 in batches", ["GatherV2"], [
    ...([[[2, 5], [2, 3], 1, 1], [[2, 5, 3], [2, 2], 1, 1], [[2, 3, 5], [2, 4], 2, 1], [[2, 3, 5], [2, 3, 2], 2, 2], [
      [1, 1],
      [1, 1],
      1,
      1
    ], [[2, 3, 4, 2], [2, 2, 2], 2, 1]] as const).map(([shape, places, axis, batch]) =>
      one(
        { x: normal(1, shape), i: integers(0, shape[axis]!)(2, places) },
        ({ i, x }) => tf.gather(x!, i!, axis, batch),
        ["x"]
      )
    ),
    sized([1, 4], (rows) =>
      one(
        { x: normal(1, [rows, 5, 2]), i: integers(0, 5)(2, [rows, 3]) },
        ({ i, x }) => tf.gather(x!, i!, 1, 1),
        ["x"],
        { x: ["N", 5, 2], i: ["N", "K"] }
      )),
    one(
      { x: normal(1, [2, 5, 2]), i: integers(0, 5)(2, [2, 3]) },
      ({ i, x }) => tf.gather(x!, i!, 1, 1),
      ["x"],
      { x: ["N", "T", 2], i: ["N", 3] }
    )
  ]),
  operation("GatherNd", ["GatherNd", "ScatterNd"], [
    one({ x: normal(1, [3, 4]), i: ints([3, 2], 0, 1, 2, 3, 0, 1) }, ({ i, x }) => tf.gatherND(x!, i!), ["x"]),
    one({ x: normal(1, [3, 4]), i: ints([3, 1], 2, 0, 2) }, ({ i, x }) => tf.gatherND(x!, i!), ["x"]),
    one({ x: normal(1, [3, 4]), i: ints([2, 1, 1], 2, 0) }, ({ i, x }) => tf.gatherND(x!, i!), ["x"]),
    one({ x: normal(1, [5]), i: ints([1, 1], 4) }, ({ i, x }) => tf.gatherND(x!, i!), ["x"]),
    one({ x: someIntegers, i: ints([2, 2], 0, 1, 1, 2) }, ({ i, x }) => tf.gatherND(x!, i!)),
    one({ x: normal(1, [3, 4]), i: ints([3, 2], 0, 1, 2, 3, 0, 1) }, ({ i, x }) => tf.gatherND(x!, i!), ["x"], {
      x: ["N", "T"],
      i: ["K", 2]
    })
  ]),
  operation("ScatterNd", ["ScatterNd", "GatherNd"], [
    ...([[[4, 1], [4, 2], [5, 2], [3, 0, 3, 3]], [[3, 2], [3], [2, 3], [0, 1, 1, 2, 0, 1]], [[1, 1], [1], [1], [0]], [
      [2, 1],
      [2],
      [6],
      [4, 4]
    ]] as const).map(([places, updates, shape, indices]) =>
      one(
        { i: ints(places, ...indices), u: normal(2, updates) },
        ({ i, u }) => tf.scatterND(i!, u!, [...shape] as unknown as [number]),
        ["u"]
      )
    ),
    one({ i: ints([3, 1], 1, 1, 0), u: integers(1, 9)(1, [3]) }, ({ i, u }) => tf.scatterND(i!, u!, [4])),
    sized([1, 4], (rows) =>
      one(
        { i: integers(0, 3)(1, [rows, 1]), u: normal(2, [rows, 2]), x: normal(3, [3, 2]) },
        ({ i, u, x }) => tf.scatterND(i!, u!, x!.shape as [number, number]),
        ["u"],
        { i: ["K", 1], u: ["K", 2], x: ["N", 2] }
      ))
  ]),
  operation("TensorScatterUpdate", ["TensorScatterUpdate"], [
    one(
      { x: normal(1, [4, 2]), i: ints([2, 1], 3, 0), u: normal(2, [2, 2]) },
      ({ i, u, x }) => tf.tensorScatterUpdate(x!, i!, u!),
      ["x", "u"]
    ),
    one(
      { x: normal(1, [2, 3]), i: ints([1, 2], 1, 2), u: normal(2, [1]) },
      ({ i, u, x }) => tf.tensorScatterUpdate(x!, i!, u!),
      ["x", "u"]
    ),
    one(
      { x: normal(1, [4, 2]), i: ints([2, 1], 3, 0), u: normal(2, [2, 2]) },
      ({ i, u, x }) => tf.tensorScatterUpdate(x!, i!, u!),
      ["x", "u"],
      { x: ["N", 2] }
    )
  ]),
  operation("UnsortedSegmentSum", ["UnsortedSegmentSum"], [
    ...([[[5], 3], [[5, 2], 3], [[1], 1], [[4, 2, 2], 6]] as const).map(([shape, segments]) =>
      one(
        { x: normal(1, shape), s: integers(-1, segments + 1)(2, [shape[0]]) },
        ({ s, x }) => tf.unsortedSegmentSum(x!, s as tf.Tensor1D, segments),
        ["x"]
      )
    ),
    one(
      { x: normal(1, [6, 3]), s: integers(0, 4)(2, [6]) },
      ({ s, x }) => tf.unsortedSegmentSum(x!, s as tf.Tensor1D, 4),
      ["x"]
    ),
    one(
      { x: normal(1, [0, 2]), s: integers(0, 3)(1, [0]) },
      ({ s, x }) => tf.unsortedSegmentSum(x!, s as tf.Tensor1D, 3)
    ),
    one(
      { x: integers(0, 9)(1, [5]), s: integers(0, 3)(1, [5]) },
      ({ s, x }) => tf.unsortedSegmentSum(x!, s as tf.Tensor1D, 3)
    ),
    sized(lengths, (rows) =>
      one(
        { x: normal(1, [rows, 2]), s: integers(-1, 4)(2, [rows]) },
        ({ s, x }) => tf.unsortedSegmentSum(x!, s as tf.Tensor1D, 3),
        ["x"],
        { x: ["N", 2], s: ["N"] }
      ))
  ]),
  operation(
    "Bincount",
    ["Bincount"],
    [0, 1, 7].flatMap((rows) => [
      one(
        { x: integers(0, 6)(1, [rows]), w: normal(2, [rows]) },
        ({ w, x }) => tf.bincount(x as tf.Tensor1D, w as tf.Tensor1D, 5)
      ),
      one({ x: integers(0, 6)(1, [rows]) }, ({ x }) => tf.bincount(x as tf.Tensor1D, tf.tensor1d([], "int32"), 5), [], {
        x: ["N"]
      })
    ])
  ),
  operation(
    "DenseBincount",
    ["DenseBincount"],
    [0, 1, 7].flatMap((columns) => [
      one(
        { x: integers(0, 6)(1, [columns]), w: normal(2, [columns]) },
        ({ w, x }) => tf.denseBincount(x as tf.Tensor1D, w as tf.Tensor1D, 5)
      ),
      one(
        { x: integers(0, 6)(1, [2, columns]), w: normal(2, [2, columns]) },
        ({ w, x }) => tf.denseBincount(x as tf.Tensor2D, w as tf.Tensor2D, 5)
      ),
      one(
        { x: integers(0, 6)(1, [2, columns]) },
        ({ x }) => tf.denseBincount(x as tf.Tensor2D, tf.tensor2d([], [0, 0]), 5, true)
      )
    ])
  )
]

const gelu = (x: tf.Tensor) => x.mul(0.5).mul(tf.erf(x.div(Math.SQRT2)).add(1))

const layerNorm = (x: tf.Tensor, gain: tf.Tensor, shift: tf.Tensor) => {
  const centred = x.sub(x.mean(-1, true))
  return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(gain).add(shift)
}

const rotaryTable = Rotary.table(9, 4, 100)

const compositions: ReadonlyArray<Operation> = [
  { ...unary("Sigmoid", (x) => x.mul(tf.sigmoid(x))), name: "silu" },
  { ...unary("Erf", gelu), name: "gelu" },
  operation("layer norm", ["Mean", "Rsqrt"], [
    ...[[1, 4], [3, 5]].map(([rows, width]) =>
      one(
        { x: normal(1, [rows!, width!]), gain: normal(2, [width!]), shift: normal(3, [width!]) },
        ({ gain, shift, x }) => layerNorm(x!, gain!, shift!),
        ["x", "gain", "shift"]
      )
    ),
    sized(lengths, (rows) =>
      one(
        { x: normal(1, [rows, 2, 4]), gain: normal(2, [4]), shift: normal(3, [4]) },
        ({ gain, shift, x }) => layerNorm(x!, gain!, shift!),
        ["x", "gain", "shift"],
        { x: ["B", "T", 4] }
      ))
  ]),
  operation("a quantizer: the nearest codes, their distances and counts", ["ArgMin", "GatherV2"], [
    one(
      { x: normal(1, [5, 3]), codes: normal(2, [4, 3]) },
      ({ codes, x }) => {
        const distances = x!.square().sum(1, true).sub(tf.matMul(x!, codes!, false, true).mul(2)).add(
          codes!.square().sum(1)
        )
        const chosen = tf.argMin(distances, 1)
        const code = tf.gather(codes!, chosen)
        return [chosen, x!.sub(code).square().sum(1), tf.bincount(chosen as tf.Tensor1D, tf.tensor1d([], "int32"), 4)]
      },
      ["x", "codes"],
      { x: ["N", 3] }
    )
  ]),
  operation("a contrastive loss", ["Max", "Exp", "Log", "Range"], [
    one(
      { a: normal(1, [4, 3]), b: normal(2, [4, 3]) },
      ({ a, b }) => {
        const scores = tf.matMul(a!, b!, false, true).div(0.2)
        const rows = tf.range(0, a!.shape[0]!, 1, "int32")
        const own = rows.expandDims(1).equal(rows.expandDims(0)).cast("float32")
        return tf.logSoftmax(scores).mul(own).sum().neg()
      },
      ["a", "b"],
      { a: ["N", 3], b: ["N", 3] }
    )
  ]),
  operation("RMS norm", ["SiderealRmsNorm"], [
    one(
      { x: normal(1, [3, 4]), gain: normal(2, [4]) },
      ({ gain, x }) => RmsNorm.apply(x!, gain!, 1e-6),
      ["x", "gain"],
      {
        x: ["N", 4]
      }
    )
  ]),
  operation("SwiGLU", ["Sigmoid"], [
    one({ a: normal(1, [3, 4]), b: normal(2, [3, 4]) }, ({ a, b }) => SwiGlu.apply(a!, b!), ["a", "b"], {
      a: ["N", 4],
      b: ["N", 4]
    })
  ]),
  operation("rotary embedding", ["SiderealRotary"], [
    one(
      { x: normal(1, [2, 3, 8]), at: integers(0, 9)(2, [2, 3]) },
      ({ at, x }) => Rotary.apply(x!, at!, Rotary.tensors(rotaryTable), 2),
      ["x"],
      { x: ["B", "T", 8], at: ["B", "T"] }
    )
  ]),
  operation("attention", ["SiderealScaledMatMul", "Softmax"], [
    one(
      {
        q: normal(1, [2, 3, 16]),
        k: normal(2, [2, 3, 8]),
        v: normal(3, [2, 3, 8]),
        at: ints([2, 3], 0, 1, 2, 0, 1, 2)
      },
      ({ at, k, q, v }) =>
        Attention.apply(
          q!,
          Attention.splitHeads(k!, 2),
          Attention.splitHeads(v!, 2),
          Attention.packedMask(at!.mul(tf.scalar(0, "int32")), at!),
          4
        ),
      ["q", "k", "v"],
      { q: ["B", "T", 16], k: ["B", "T", 8], v: ["B", "T", 8], at: ["B", "T"] }
    )
  ]),
  operation("linear cross entropy", ["SiderealTakeAlong", "SiderealPutAlong"], [
    one(
      { h: normal(1, [3, 4]), classes: normal(2, [7, 4]), targets: ints([3], 2, 0, 5), weights: positive(3, [3]) },
      ({ classes, h, targets, weights }) =>
        LinearCrossEntropy.loss(h!, classes!, { targets: targets!, weights: weights! }),
      ["h", "classes"],
      { h: ["N", 4], targets: ["N"], weights: ["N"] }
    )
  ])
]

/** The battery. */
export const operations: ReadonlyArray<Operation> = [
  ...arithmetic,
  ...analysis,
  ...choice,
  ...products,
  ...reductions,
  ...layouts,
  ...indexing,
  ...compositions
]
