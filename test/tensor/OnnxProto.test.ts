/**
 * What `OnnxProto` writes, read by an implementation of onnx.proto that others generated.
 */
import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import onnxProto from "onnx-proto"
import "../../layers/onnx/FusedLowerings.ts"
import { valueOf } from "../../layers/onnx/Lowerings.ts"
import * as OnnxProto from "../../layers/onnx/OnnxProto.ts"
import { trace } from "../../layers/onnx/TracingBackend.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { make } from "../../src/tensor/TensorProgram.ts"
import { type KernelCase, operations } from "./KernelCases.ts"

const { onnx } = onnxProto

const elementOf = (code: number | null | undefined): OnnxProto.ElementType => {
  const names = { 1: "float32", 6: "int32", 7: "int64", 9: "bool" } as const
  const name = names[code as keyof typeof names]
  assert.isDefined(name, `element type ${code}`)
  return name
}

const attributeOf = (attribute: onnxProto.onnx.IAttributeProto): OnnxProto.Attribute => {
  const types = onnx.AttributeProto.AttributeType
  switch (attribute.type) {
    case types.FLOAT:
      return { float: attribute.f! }
    case types.INT:
      return Number(attribute.i)
    case types.STRING:
      return Buffer.from(attribute.s!).toString()
    case types.INTS:
      return attribute.ints!.map(Number)
    default:
      return assert.fail(`an attribute of type ${attribute.type}`)
  }
}

const valueInfoOf = ({ name, type }: onnxProto.onnx.IValueInfoProto): OnnxProto.ValueInfo => ({
  name: name!,
  type: elementOf(type!.tensorType!.elemType),
  shape: type!.tensorType!.shape!.dim!.map((axis) =>
    new onnx.TensorShapeProto.Dimension(axis).value === "dimParam" ? axis.dimParam! : Number(axis.dimValue)
  )
})

const decoded = (bytes: Uint8Array) => {
  const model = onnx.ModelProto.decode(bytes)
  assert.isNull(onnx.ModelProto.verify(model))
  return { model, graph: model.graph! }
}

const graphOf = (graph: onnxProto.onnx.IGraphProto): OnnxProto.Graph => ({
  name: graph.name!,
  nodes: graph.node!.map(({ attribute, domain, input, name, opType, output }) => {
    assert.strictEqual(name, output![0] ?? "")
    return {
      operator: opType!,
      domain: domain!,
      inputs: input!,
      outputs: output!,
      attributes: Object.fromEntries(attribute!.map((one) => [one.name!, attributeOf(one)]))
    }
  }),
  initializers: graph.initializer!.map(({ dataType, dims, name, rawData }) => ({
    name: name!,
    type: elementOf(dataType),
    shape: dims!.map(Number),
    bytes: new Uint8Array(rawData!)
  })),
  inputs: graph.input!.map(valueInfoOf),
  outputs: graph.output!.map(valueInfoOf)
})

/** The graph with numbers as the format keeps them. */
const rounded = (graph: OnnxProto.Graph): OnnxProto.Graph => ({
  ...graph,
  nodes: graph.nodes.map((node) => ({
    ...node,
    attributes: Object.fromEntries(
      Object.entries(node.attributes).map(([name, value]) => [
        name,
        typeof value === "object" && "float" in value ? { float: Math.fround(value.float) } : value
      ])
    )
  })),
  initializers: graph.initializers.map((one) => ({ ...one, bytes: new Uint8Array(one.bytes) }))
})

const outputsOf = ({ apply }: KernelCase, inputs: Readonly<Record<string, tf.Tensor>>) => {
  const outputs = apply(inputs)
  return outputs instanceof tf.Tensor ? [outputs] : outputs
}

/** A case as a program, with the gradients of its trained inputs. */
const program = (one: KernelCase) =>
  make({
    name: "case",
    inputs: Object.fromEntries(
      Object.entries(one.inputs).map(([name, { dtype, shape }]) => [name, {
        dtype,
        shape: one.symbolic[name] ?? shape
      }])
    ),
    body: (inputs: Readonly<Record<string, tf.Tensor>>) => {
      const outputs = Object.fromEntries(outputsOf(one, inputs).map((y, i) => [`y${i}`, y]))
      if (one.trained.length === 0) return outputs
      const { gradients } = Autodiff.valueAndGradients(
        (trained) =>
          outputsOf(one, { ...inputs, ...trained }).filter((y) => y.dtype === "float32").map((y) => y.square().sum())
            .reduce((total, part) => total.add(part)),
        Object.fromEntries(one.trained.map((name) => [name, inputs[name]!]))
      )
      return { ...outputs, ...Object.fromEntries(one.trained.map((name) => [`d.${name}`, gradients[name]!])) }
    }
  })

describe("OnnxProto", () => {
  it("every operator, attribute and tensor that programs are lowered to reads back as it was written", () => {
    const operators = new Set<string>()
    const kinds = new Set<string>()
    for (const { cases, name } of operations) {
      for (const one of cases) {
        const { graph } = trace(program(one), "cpu", valueOf)
        assert.deepStrictEqual(graphOf(decoded(OnnxProto.encode(graph)).graph), rounded(graph), name)
        for (const node of graph.nodes) {
          operators.add(`${node.domain}.${node.operator}`)
          for (const value of Object.values(node.attributes)) {
            kinds.add(typeof value === "object" ? ("float" in value ? "float" : "integers") : typeof value)
          }
        }
        for (const { type } of graph.initializers) kinds.add(type)
      }
    }
    assert.isAbove(operators.size, 70)
    assert.deepStrictEqual(
      [...kinds].toSorted(),
      ["bool", "float", "float32", "int32", "int64", "integers", "number", "string"]
    )
  })

  it("keeps what is at the edge of the format", () => {
    const bytes = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const attributes = {
      zero: 0,
      negative: -1,
      least: Number.MIN_SAFE_INTEGER,
      most: Number.MAX_SAFE_INTEGER,
      none: [],
      several: [0, -1, 127, 128, -(2 ** 31), 2 ** 40],
      text: "é 語 \u0000",
      empty: "",
      real: { float: 1e-5 },
      minusZero: { float: -0 },
      infinite: { float: -Infinity },
      nan: { float: NaN }
    }
    const graph: OnnxProto.Graph = {
      name: "größe",
      nodes: [
        { operator: "A", domain: "", inputs: ["x", "", "y"], outputs: ["a", "b"], attributes },
        { operator: "B", domain: "com.microsoft", inputs: [], outputs: ["c"], attributes: {} }
      ],
      initializers: [
        { name: "scalar", type: "float32", shape: [], bytes: bytes(Float32Array.of(-0)) },
        { name: "nothing", type: "int64", shape: [0, 3], bytes: new Uint8Array() },
        { name: "whole", type: "int64", shape: [2], bytes: bytes(BigInt64Array.of(-1n, 2n ** 62n)) },
        { name: "bits", type: "bool", shape: [3], bytes: Uint8Array.of(0, 1, 1) },
        { name: "large", type: "int32", shape: [200, 300], bytes: bytes(new Int32Array(60_000).fill(-7)) }
      ],
      inputs: [{ name: "x", type: "int32", shape: ["B", 0, 3, "B*T"] }],
      outputs: [{ name: "a", type: "bool", shape: [] }]
    }
    const { graph: read, model } = decoded(OnnxProto.encode(graph))
    assert.deepStrictEqual(graphOf(read), rounded(graph))
    assert.strictEqual(Number(model.irVersion), 9)
    assert.deepStrictEqual(model.opsetImport.map(({ domain, version }) => [domain, Number(version)]), [
      ["", 18],
      ["com.microsoft", 1]
    ])
  })

  it("a seal is an empty sequence before everything else", () => {
    const graph: OnnxProto.Graph = {
      name: "sealed",
      nodes: [{ operator: "Identity", domain: "", inputs: ["x"], outputs: ["y"], attributes: {} }],
      initializers: [],
      inputs: [{ name: "x", type: "float32", shape: [2] }],
      outputs: [{ name: "y", type: "float32", shape: [2] }]
    }
    const { graph: read } = decoded(OnnxProto.encode(graph, "seal"))
    assert.deepStrictEqual(read.node!.map(({ input, opType, output }) => [opType, input, output]), [
      ["SequenceEmpty", [], ["seal"]],
      ["Identity", ["x"], ["y"]]
    ])
    const [seal, ...outputs] = read.output!
    assert.strictEqual(seal!.name, "seal")
    assert.strictEqual(seal!.type!.sequenceType!.elemType!.tensorType!.elemType, onnx.TensorProto.DataType.FLOAT)
    assert.deepStrictEqual(outputs.map(valueInfoOf), graph.outputs)
  })
})
