/**
 * The fused kernels of `src/tensor/FusedKernel.ts` as operators of ONNX and of onnxruntime's contributed domain.
 */
import { emit, matrixProduct, register, shapeValue, valueOf } from "./Lowerings.ts"
import * as OnnxProto from "./OnnxProto.ts"
import { current, tensorOf } from "./TracingBackend.ts"

register("SiderealRmsNorm", ({ gain, x }, { epsilon }) => {
  const { graph, target } = current()
  const statistics = [...x!.shape.slice(0, -1), 1]
  if (target === "webgpu") {
    // The provider leaves the second output of SimplifiedLayerNormalization at zero.
    const rows = valueOf(x!)
    const square = graph.one("Mul", [rows, rows], { type: "float32", shape: x!.shape })
    const type = { type: "float32" as const, shape: statistics }
    const mean = graph.one("ReduceMean", [square, graph.integers([-1])], type, { keepdims: 1 })
    const root = graph.one("Sqrt", [graph.one("Add", [mean, graph.scalar(epsilon as number)], type)], type)
    const inverse = tensorOf(graph.one("Reciprocal", [root], type), statistics, "float32")
    const unit = emit("Mul", [rows, valueOf(inverse)], x!.shape, "float32")
    return [emit("Mul", [valueOf(unit), valueOf(gain!)], x!.shape, "float32"), inverse]
  }
  const [y, inverse] = graph.node(
    "SimplifiedLayerNormalization",
    [valueOf(x!), valueOf(gain!)],
    [{ type: "float32", shape: x!.shape }, { type: "float32", shape: statistics }],
    { axis: -1, epsilon: { float: epsilon as number }, stash_type: 1 }
  )
  return [tensorOf(y!, x!.shape, "float32"), tensorOf(inverse!, statistics, "float32")]
})

const toInt64 = (value: string, shape: ReadonlyArray<number>) =>
  current().graph.one("Cast", [value], { type: "int64", shape }, { to: OnnxProto.codeOf("int64") })

// The operator wants an angle for every column of a row, whatever the positions: each position is a row of its own.
register("SiderealRotary", ({ cos, positions, sin, x }, { heads }) => {
  const { graph } = current()
  const [batch, length, width] = x!.shape as [number, number, number]
  const rows = { type: "float32" as const, shape: [batch * length, 1, width] }
  const turned = graph.one(
    "RotaryEmbedding",
    [
      graph.one("Reshape", [valueOf(x!), graph.integers([-1, 1, width])], rows),
      graph.one("Reshape", [toInt64(valueOf(positions!), positions!.shape), graph.integers([-1, 1])], {
        type: "int64",
        shape: [batch * length, 1]
      }),
      valueOf(cos!),
      valueOf(sin!)
    ],
    rows,
    { num_heads: heads as number },
    "com.microsoft"
  )
  return emit("Reshape", [turned, shapeValue("SiderealRotary", x!.shape)], x!.shape, "float32")
})

register(
  "SiderealScaledMatMul",
  ({ a, b }, { alpha, transposeA, transposeB }) =>
    matrixProduct(a!, b!, transposeA as boolean, transposeB as boolean, alpha as number)
)

register(
  "SiderealTakeAlong",
  ({ indices, x }) => emit("GatherElements", [valueOf(x!), valueOf(indices!)], indices!.shape, "float32", { axis: 1 })
)

register(
  "SiderealPutAlong",
  ({ indices, updates, x }) =>
    emit("ScatterElements", [valueOf(x!), valueOf(indices!), valueOf(updates!)], x!.shape, "float32", { axis: 1 })
)
