/**
 * The lowerings of tfjs kernels to ONNX: loading this file registers all of them.
 */
import "./ElementwiseLowerings.ts"
import "./IndexLowerings.ts"
import "./ReductionLowerings.ts"
import "./ShapeLowerings.ts"

export { emit, register, reshape, shapeValue, valueOf } from "./Emit.ts"
export { matrixProduct } from "./MatrixLowerings.ts"
