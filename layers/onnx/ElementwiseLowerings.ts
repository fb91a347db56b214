/**
 * Kernels that work element by element: arithmetic, comparison, logic, the functions of analysis, activations.
 *
 * onnxruntime has no integer or boolean form of many operators. tfjs's rule is followed: the result has the type of the
 * operand, except where tfjs itself says float32, int32 or bool.
 */
import type * as tf from "@tensorflow/tfjs"
import { castTo, elementwise, fill, register, reshape, scalar, where } from "./Emit.ts"
import { current, elementType, LoweringFailure, traced } from "./TracingBackend.ts"

type Tensor = tf.TensorInfo
type Numeric = "float32" | "int32"

const float = (x: Tensor) => castTo(x, "float32")
const numeric = (x: Tensor) => x.dtype === "bool" ? castTo(x, "int32") : x
const not = (x: Tensor) => elementwise("Not", [x], "bool")
const less = (a: Tensor, b: Tensor) => elementwise("Less", [a, b], "bool")
const equal = (a: Tensor, b: Tensor) => elementwise("Equal", [a, b], "bool")

/** A two-operand operator on operands of one type, that of the first. */
const same = (operator: string, a: Tensor, b: Tensor): Tensor =>
  elementwise(operator, [a, castTo(b, elementType(a.dtype))], elementType(a.dtype))

const arithmetic = (kernel: string, operator: string, onBooleans?: "And" | "Or") =>
  register(kernel, ({ a, b }) => {
    if (a!.dtype !== "bool") return same(operator, a!, b!)
    if (onBooleans === undefined) throw new LoweringFailure(kernel, "booleans have to be cast first")
    return same(onBooleans, a!, b!)
  })

arithmetic("Add", "Add", "Or")
arithmetic("Sub", "Sub")
arithmetic("Multiply", "Mul", "And")
arithmetic("Maximum", "Max", "Or")
arithmetic("Minimum", "Min", "And")
arithmetic("Pow", "Pow")
register("RealDiv", ({ a, b }) => elementwise("Div", [float(a!), float(b!)], "float32"))
register("SquaredDifference", ({ a, b }) => {
  const difference = same("Sub", a!, b!)
  return elementwise("Mul", [difference, difference], elementType(a!.dtype))
})
register("AddN", (inputs) => {
  const [first, ...rest] = Object.values(inputs) as [Tensor, ...Array<Tensor>]
  return first.dtype === "float32"
    ? elementwise("Sum", [first, ...rest], "float32")
    : rest.reduce((sum, part) => same("Add", sum, part), first)
})

/** Integer divisors with 1 for 0, which would end the process, and where the zeros are; tfjs's result there is 0. */
const safeDivisor = (b: Tensor): { readonly divisor: Tensor; readonly restore: (x: Tensor) => Tensor } => {
  const constant = current().graph.initializers.get(traced(b).value)
  if (constant !== undefined && new Int32Array(constant.bytes.buffer).every((value) => value !== 0)) {
    return { divisor: b, restore: (x) => x }
  }
  const zero = equal(b, scalar(0, "int32"))
  return { divisor: where(zero, scalar(1, "int32"), b), restore: (x) => where(zero, scalar(0, "int32"), x) }
}

register("FloorDiv", ({ a, b }) => {
  if (a!.dtype === "float32") {
    return castTo(elementwise("Floor", [elementwise("Div", [a!, float(b!)], "float32")], "float32"), "int32")
  }
  const dividend = numeric(a!)
  const { divisor, restore } = safeDivisor(numeric(b!))
  // ONNX divides integers towards zero; its integer `Mod` has the sign of the divisor.
  const rest = elementwise("Mod", [dividend, divisor], "int32")
  return restore(elementwise("Div", [elementwise("Sub", [dividend, rest], "int32"), divisor], "int32"))
})
register("Mod", ({ a, b }) => {
  if (a!.dtype !== "float32") {
    const { divisor, restore } = safeDivisor(numeric(b!))
    return restore(elementwise("Mod", [numeric(a!), divisor], "int32"))
  }
  const zero = scalar(0)
  const rest = elementwise("Mod", [a!, b!], "float32", { fmod: 1 })
  const differ = elementwise("Xor", [less(a!, zero), less(b!, zero)], "bool")
  const around = elementwise("Mod", [elementwise("Add", [rest, b!], "float32"), b!], "float32", { fmod: 1 })
  return where(differ, around, rest)
})
register("Atan2", ({ a, b }) => {
  const [y, x, zero] = [float(a!), float(b!), scalar(0)]
  const angle = elementwise("Atan", [elementwise("Div", [y, x], "float32")], "float32")
  const half = where(less(y, zero), scalar(-Math.PI), scalar(Math.PI))
  const turned = where(less(x, zero), elementwise("Add", [angle, half], "float32"), angle)
  const origin = elementwise("And", [equal(y, zero), equal(x, zero)], "bool")
  return where(origin, zero, turned)
})

const comparison = (kernel: string, operator: string, negated = false) =>
  register(kernel, ({ a, b }) => {
    const result = elementwise(operator, [numeric(a!), numeric(b!)], "bool")
    return negated ? not(result) : result
  })

comparison("Greater", "Greater")
comparison("GreaterEqual", "GreaterOrEqual")
comparison("Less", "Less")
comparison("LessEqual", "LessOrEqual")
comparison("Equal", "Equal")
comparison("NotEqual", "Equal", true)
register("LogicalAnd", ({ a, b }) => elementwise("And", [a!, b!], "bool"))
register("LogicalOr", ({ a, b }) => elementwise("Or", [a!, b!], "bool"))
register("LogicalNot", ({ x }) => not(x!))

/** A function whose ONNX operator takes the given types; others are computed in float32 and cast back. */
const unary = (
  kernel: string,
  compute: (x: Tensor, type: Numeric) => Tensor,
  native: ReadonlyArray<tf.DataType> = ["float32"]
) =>
  register(kernel, ({ x }) => {
    const type = elementType(x!.dtype)
    return native.includes(type) ? compute(x!, type as Numeric) : castTo(compute(float(x!), "float32"), type)
  })

for (
  const kernel of [
    "Log",
    "Sqrt",
    "Sigmoid",
    "Tanh",
    "Reciprocal",
    "Erf",
    "Softplus",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
    "Sinh",
    "Cosh",
    "Asinh",
    "Acosh",
    "Atanh",
    "Elu"
  ]
) unary(kernel, (x, type) => elementwise(kernel, [x], type))
for (const kernel of ["Neg", "Abs", "Sign", "Relu"]) {
  unary(kernel, (x, type) => elementwise(kernel, [x], type), ["float32", "int32"])
}
for (const kernel of ["Floor", "Ceil", "Round"]) {
  unary(kernel, (x, type) => type === "float32" ? elementwise(kernel, [x], type) : x, ["float32", "int32"])
}
register("Exp", ({ x }) => elementwise("Exp", [float(x!)], "float32"))
unary("Expm1", (x) => {
  // tanh(x / 2) (e^x + 1): exact to the last bits also near 0, where e^x - 1 is not.
  const tanh = elementwise("Tanh", [elementwise("Mul", [x, scalar(0.5)], "float32")], "float32")
  const exponential = elementwise("Exp", [x], "float32")
  return elementwise("Mul", [tanh, elementwise("Add", [exponential, scalar(1)], "float32")], "float32")
})
unary("Log1p", (x) => {
  // Kahan's form: the rounding of 1 + x is undone by the factor x / ((1 + x) - 1).
  const sum = elementwise("Add", [x, scalar(1)], "float32")
  const logarithm = elementwise("Log", [sum], "float32")
  const step = elementwise("Sub", [sum, scalar(1)], "float32")
  const mended = elementwise("Mul", [logarithm, elementwise("Div", [x, step], "float32")], "float32")
  return where(equal(step, scalar(0)), x, where(equal(sum, x), logarithm, mended))
})
unary("Square", (x, type) => elementwise("Mul", [x, x], type), ["float32", "int32"])
unary("Rsqrt", (x) => elementwise("Reciprocal", [elementwise("Sqrt", [x], "float32")], "float32"))
unary("Selu", (x) =>
  elementwise("Selu", [x], "float32", {
    alpha: { float: 1.6732632423543772 },
    gamma: { float: 1.0507009873554805 }
  }))

const clip = (x: Tensor, low: number, high: number, type: Numeric) => {
  const limit = (value: number) => scalar(type === "int32" ? Math.trunc(value) : value, type)
  return elementwise("Clip", [x, limit(low), limit(high)], type)
}
unary("Relu6", (x, type) => clip(x, 0, 6, type), ["float32", "int32"])
register(
  "ClipByValue",
  ({ x }, { clipValueMax, clipValueMin }) =>
    clip(numeric(x!), clipValueMin as number, clipValueMax as number, numeric(x!).dtype as Numeric)
)
register("Step", ({ x }, { alpha }) => {
  const { dtype } = numeric(x!) as { readonly dtype: Numeric }
  const above = elementwise("Greater", [numeric(x!), scalar(0, dtype)], "bool")
  return where(
    above,
    scalar(1, dtype),
    scalar(dtype === "int32" ? Math.trunc(alpha as number) : alpha as number, dtype)
  )
})
register(
  "LeakyRelu",
  ({ x }, { alpha }) => elementwise("LeakyRelu", [float(x!)], "float32", { alpha: { float: alpha as number } })
)
register("Prelu", ({ alpha, x }) => {
  const value = float(x!)
  return where(less(value, scalar(0)), elementwise("Mul", [value, float(alpha!)], "float32"), value)
})
register("EluGrad", ({ dy, y }) => {
  const below = elementwise("Mul", [dy!, elementwise("Add", [y!, scalar(1)], "float32")], "float32")
  return where(less(y!, scalar(0)), below, dy!)
})
register("IsNan", ({ x }) => elementwise("IsNaN", [float(x!)], "bool"))
register("IsInf", ({ x }) => elementwise("IsInf", [float(x!)], "bool"))
register("IsFinite", ({ x }) => less(elementwise("Abs", [float(x!)], "float32"), scalar(Infinity)))

register("Identity", ({ x }) => x!)
register("Cast", ({ x }, { dtype }) => castTo(x!, elementType(dtype as tf.DataType)))
register(
  "Fill",
  (_, { dtype, shape, value }) =>
    fill(shape as Array<number>, value as number, (dtype as tf.DataType | undefined) ?? "float32")
)
register("ZerosLike", ({ x }) => fill(x!.shape, 0, x!.dtype))
register("OnesLike", ({ x }) => fill(x!.shape, 1, x!.dtype))
register("Select", ({ condition, e, t }) => {
  const rank = condition!.shape.length
  const type = t!.dtype === "float32" || e!.dtype === "float32"
    ? "float32"
    : t!.dtype === "int32" || e!.dtype === "int32"
    ? "int32"
    : "bool"
  const aligned = rank === t!.shape.length || rank === 0
    ? condition!
    : reshape(condition!, [...condition!.shape, ...t!.shape.slice(rank).map(() => 1)])
  return where(aligned, castTo(t!, type), castTo(e!, type))
})
