/**
 * How each tfjs kernel is written in ONNX: loading this file registers every lowering.
 */
import "./ElementwiseLowerings.ts"
import "./IndexLowerings.ts"
import "./ReductionLowerings.ts"
import "./ShapeLowerings.ts"

export { emit, register, reshape, shapeValue, valueOf } from "./Emit.ts"
export { matrixProduct } from "./MatrixLowerings.ts"
