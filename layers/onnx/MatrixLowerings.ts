/**
 * Matrix products, contractions and the layers that tfjs has as one kernel.
 */
import * as tf from "@tensorflow/tfjs"
import { castTo, elementwise, emit, factorOf, fill, register, scalar, transpose, valueOf, where } from "./Emit.ts"
import type * as OnnxProto from "./OnnxProto.ts"
import { elementType, LoweringFailure } from "./TracingBackend.ts"

type Tensor = tf.TensorInfo

const swapped = (x: Tensor): Tensor => {
  const order = x.shape.map((_, axis) => axis)
  return transpose(x, [...order.slice(0, -2), order.length - 1, order.length - 2])
}

/** Computes `alpha * a' b'`, where a prime optionally transposes the last two axes. */
export const matrixProduct = (
  a: Tensor,
  b: Tensor,
  transposeA: boolean,
  transposeB: boolean,
  alpha = 1
): Tensor => {
  const [rankA, rankB] = [a.shape.length, b.shape.length]
  const rows = a.shape[transposeA ? rankA - 1 : rankA - 2]!
  const columns = b.shape[transposeB ? rankB - 2 : rankB - 1]!
  const [inner, other] = [a.shape[transposeA ? rankA - 2 : rankA - 1], b.shape[transposeB ? rankB - 1 : rankB - 2]]
  if (inner !== other) {
    throw new Error(`matMul of shapes [${a.shape.join(",")}] and [${b.shape.join(",")}]: ${inner} is not ${other}`)
  }
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2))
  const shape = [...batch, rows, columns]
  const type = elementType(a.dtype)
  if (inner === 0) return fill(shape, 0, type)
  if (type !== "float32") {
    if (type === "bool") throw new LoweringFailure("BatchMatMul", "booleans have to be cast first")
    return emit("MatMul", [transposeA ? swapped(a) : a, transposeB ? swapped(b) : b].map(valueOf), shape, type)
  }
  const scale: Record<string, OnnxProto.Attribute> = alpha === 1 ? {} : { alpha: { float: alpha } }
  if (rankA === 2 && rankB === 2) {
    return emit("Gemm", [factorOf(a, b), factorOf(b, a)], shape, "float32", {
      ...scale,
      ...(transposeA ? { transA: 1 } : {}),
      ...(transposeB ? { transB: 1 } : {})
    })
  }
  if (!transposeA && !transposeB && alpha === 1) return emit("MatMul", [valueOf(a), valueOf(b)], shape, "float32")
  return emit("FusedMatMul", [valueOf(a), valueOf(b)], shape, "float32", {
    ...scale,
    ...(transposeA ? { transA: 1 } : {}),
    ...(transposeB ? { transB: 1 } : {})
  }, "com.microsoft")
}

register(
  "BatchMatMul",
  ({ a, b }, { transposeA, transposeB }) => matrixProduct(a!, b!, transposeA as boolean, transposeB as boolean)
)

const activate = (x: Tensor, name: string, inputs: Readonly<Record<string, Tensor>>, slope: number): Tensor => {
  const float = (operator: string, attributes = {}) => elementwise(operator, [x], "float32", attributes)
  if (name === "linear") return x
  if (name === "relu") return float("Relu")
  if (name === "elu") return float("Elu")
  if (name === "sigmoid") return float("Sigmoid")
  if (name === "relu6") return elementwise("Clip", [x, scalar(0), scalar(6)], "float32")
  if (name === "leakyrelu") return float("LeakyRelu", { alpha: { float: slope } })
  if (name === "prelu") {
    const below = elementwise("Less", [x, scalar(0)], "bool")
    return where(below, elementwise("Mul", [x, inputs["preluActivationWeights"]!], "float32"), x)
  }
  throw new LoweringFailure("_FusedMatMul", `the activation ${name}`)
}

register("_FusedMatMul", (inputs, { activation, leakyreluAlpha, transposeA, transposeB }) => {
  const { a, b, bias } = inputs
  const product = matrixProduct(a!, b!, transposeA as boolean, transposeB as boolean)
  const sum = (bias as Tensor | null | undefined) == null
    ? product
    : elementwise("Add", [product, bias!], elementType(product.dtype))
  return activate(sum, (activation as string | null) ?? "linear", inputs, leakyreluAlpha as number)
})

register("Einsum", (inputs, { equation }) => {
  const parts = Object.values(inputs)
  const text = (equation as string).replaceAll(/\s/g, "")
  const [left, right] = text.split("->") as [string, string]
  const sizes = new Map<string, number>()
  for (const [i, term] of left.split(",").entries()) {
    for (const [axis, letter] of [...term].entries()) {
      const size = parts[i]!.shape[axis]!
      if ((sizes.get(letter) ?? size) !== size) {
        throw new Error(`einsum ${text}: axis ${letter} has the sizes ${sizes.get(letter)} and ${size} in two shapes`)
      }
      sizes.set(letter, size)
    }
  }
  const shape = [...right].map((letter) => sizes.get(letter)!)
  const type = elementType(parts[0]!.dtype)
  if (type === "bool") throw new LoweringFailure("Einsum", "booleans have to be cast first")
  return [...sizes.values()].includes(0)
    ? fill(shape, 0, type)
    : emit("Einsum", parts.map((part) => valueOf(castTo(part, type))), shape, type, { equation: text })
})

register("FusedBatchNorm", ({ mean, offset, scale, variance, x }, { varianceEpsilon }) => {
  const float = (operator: string, ...parts: ReadonlyArray<Tensor>) => elementwise(operator, parts, "float32")
  const epsilon = scalar((varianceEpsilon as number | undefined) ?? 0.001)
  const inverse = float("Reciprocal", float("Sqrt", float("Add", variance!, epsilon)))
  const factor = (scale as Tensor | null | undefined) == null ? inverse : float("Mul", inverse, scale!)
  const scaled = float("Mul", float("Sub", x!, mean!), factor)
  return (offset as Tensor | null | undefined) == null ? scaled : float("Add", scaled, offset!)
})
