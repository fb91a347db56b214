/**
 * Records a graph node by node, without duplicates, and tidies it before it is written.
 *
 * Every operator recorded here is pure, so a node with the operator, inputs and attributes of an earlier one *is* the
 * earlier one. Tidying drops what no output needs and folds additions into the matrix product or scatter before them.
 */
import type * as OnnxProto from "./OnnxProto.ts"

/** Element type and shape of a named value. */
export interface Value {
  readonly type: OnnxProto.ElementType
  /** Axes with run-time sizes as the tracer's stand-in numbers. */
  readonly shape: ReadonlyArray<number>
}

/** A graph under construction. */
export class GraphBuilder {
  readonly nodes: Array<OnnxProto.Node> = []
  readonly initializers = new Map<string, OnnxProto.Initializer>()
  readonly values = new Map<string, Value>()
  readonly #seen = new Map<string, ReadonlyArray<string>>()
  #count = 0

  /** Declares a graph input. */
  input(name: string, type: OnnxProto.ElementType, shape: ReadonlyArray<number>): string {
    this.values.set(name, { type, shape })
    return name
  }

  /** Declares a constant; equal constants share one initializer. */
  constant(
    type: OnnxProto.ElementType,
    shape: ReadonlyArray<number>,
    data: Float32Array | Int32Array | BigInt64Array | Uint8Array
  ): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const key = `constant ${type} ${shape.join(",")} ${Buffer.from(bytes).toString("base64")}`
    const known = this.#seen.get(key)
    if (known !== undefined) return known[0]!
    const name = `c${this.#count++}`
    this.initializers.set(name, { name, type, shape, bytes: bytes.slice() })
    this.values.set(name, { type, shape })
    this.#seen.set(key, [name])
    return name
  }

  /** Declares a one-dimensional int64 constant, the form in which ONNX takes axes and shapes. */
  integers(values: ReadonlyArray<number>): string {
    return this.constant("int64", [values.length], BigInt64Array.from(values.map(BigInt)))
  }

  /** Declares a scalar constant. */
  scalar(value: number, type: "float32" | "int32" | "bool" = "float32"): string {
    return this.constant(
      type,
      [],
      type === "float32" ? Float32Array.of(value) : type === "int32" ? Int32Array.of(value) : Uint8Array.of(value)
    )
  }

  /** Records a node and returns the names of its outputs. */
  node(
    operator: string,
    inputs: ReadonlyArray<string>,
    outputs: ReadonlyArray<Value>,
    attributes: Readonly<Record<string, OnnxProto.Attribute>> = {},
    domain = ""
  ): ReadonlyArray<string> {
    const key = `${domain}:${operator} ${inputs.join(",")} ${JSON.stringify(attributes)} ${outputs.length}`
    const known = this.#seen.get(key)
    if (known !== undefined) return known
    const names = outputs.map(() => `t${this.#count++}`)
    this.nodes.push({ operator, domain, inputs, outputs: names, attributes })
    for (const [i, value] of outputs.entries()) this.values.set(names[i]!, value)
    this.#seen.set(key, names)
    return names
  }

  /** Records a node with one output that is not shared with an equal one, so that its value need not be kept for both. */
  separate(
    operator: string,
    inputs: ReadonlyArray<string>,
    output: Value,
    attributes: Readonly<Record<string, OnnxProto.Attribute>>
  ): string {
    const name = `t${this.#count++}`
    this.nodes.push({ operator, domain: "", inputs, outputs: [name], attributes })
    this.values.set(name, output)
    return name
  }

  /** Records a node with one output. */
  one(
    operator: string,
    inputs: ReadonlyArray<string>,
    output: Value,
    attributes: Readonly<Record<string, OnnxProto.Attribute>> = {},
    domain = ""
  ): string {
    return this.node(operator, inputs, [output], attributes, domain)[0]!
  }

  /** Returns the tidied graph, with the given names for its outputs. */
  finish(
    name: string,
    inputs: ReadonlyArray<OnnxProto.ValueInfo>,
    outputs: ReadonlyArray<{ readonly info: OnnxProto.ValueInfo; readonly value: string }>
  ): OnnxProto.Graph {
    const wanted = outputs.map((output) => output.value)
    let nodes = dropUnused(this.nodes, wanted)
    nodes = dropUnused(foldAdditions(nodes, wanted, this.values), wanted)
    const produced = new Set(nodes.flatMap((node) => node.outputs))
    const renames = new Map<string, string>()
    const copies: Array<OnnxProto.Node> = []
    for (const { info, value } of outputs) {
      if (produced.has(value) && !renames.has(value)) renames.set(value, info.name)
      else copies.push({ operator: "Identity", domain: "", inputs: [value], outputs: [info.name], attributes: {} })
    }
    const rename = (value: string) => renames.get(value) ?? value
    nodes = [...nodes, ...copies].map((node) => ({
      ...node,
      inputs: node.inputs.map(rename),
      outputs: node.outputs.map(rename)
    }))
    const read = new Set(nodes.flatMap((node) => node.inputs))
    // onnxruntime computes the last result with all that it needs, then the one before it: the results that were recorded
    // first are written last, so that a gradient is computed where it is recorded, and what it needs is not kept longer.
    const isLast = ({ outputs }: OnnxProto.Node) => !outputs.some((value) => read.has(value))
    return {
      name,
      nodes: [...nodes.filter((node) => !isLast(node)), ...nodes.filter(isLast).toReversed()],
      initializers: [...this.initializers.values()].filter((initializer) => read.has(initializer.name)),
      inputs,
      outputs: outputs.map((output) => output.info)
    }
  }
}

const dropUnused = (
  nodes: ReadonlyArray<OnnxProto.Node>,
  wanted: ReadonlyArray<string>
): Array<OnnxProto.Node> => {
  const needed = new Set(wanted)
  const kept: Array<OnnxProto.Node> = []
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue
    kept.push(node)
    for (const input of node.inputs) needed.add(input)
  }
  return kept.toReversed()
}

/**
 * `Gemm(a, b) + c` becomes `Gemm(a, b, c)`, also for a bias c [N], and `ScatterElements(0, i, u) + y` becomes `ScatterElements(y, i, u)`, where
 * the sum is the only reader. The fused node takes the place of the addition, so order is kept. A product with a matrix
 * that is widened for it stays apart: the wide matrix would wait for what is added.
 */
const foldAdditions = (
  nodes: ReadonlyArray<OnnxProto.Node>,
  wanted: ReadonlyArray<string>,
  values: ReadonlyMap<string, Value>
): Array<OnnxProto.Node> => {
  const readers = new Map<string, number>()
  for (const name of [...nodes.flatMap((node) => node.inputs), ...wanted]) {
    readers.set(name, (readers.get(name) ?? 0) + 1)
  }
  const producer = new Map<string, OnnxProto.Node>()
  const out: Array<OnnxProto.Node> = []
  const isWidened = (name: string) => {
    const source = producer.get(name)
    return source?.operator === "Cast" && values.get(source.inputs[0]!)?.type === "bfloat16"
  }
  const sameShape = (a: string, b: string) => {
    const [x, y] = [values.get(a)!.shape, values.get(b)!.shape]
    return x.length === y.length && x.every((size, axis) => size === y[axis])
  }
  for (const node of nodes) {
    let next = node
    if (node.operator === "Add" && node.inputs.length === 2) {
      const [left, right] = node.inputs as [string, string]
      for (const [product, other] of [[right, left], [left, right]] as const) {
        const source = producer.get(product)
        if (source === undefined || readers.get(product) !== 1 || product === other) continue
        const isBias = values.get(other)!.shape.length === 1 &&
          values.get(other)!.shape[0] === values.get(product)!.shape.at(-1)
        if (!sameShape(product, other) && !(source.operator === "Gemm" && isBias)) continue
        if (!isBias && source.inputs.some(isWidened)) continue
        if (source.operator === "Gemm" && source.inputs.length === 2 && source.attributes["alpha"] === undefined) {
          next = { ...source, inputs: [...source.inputs, other], outputs: node.outputs }
          break
        }
        if (source.operator === "ScatterElements" && source.attributes["reduction"] === "add") {
          const base = producer.get(source.inputs[0]!)
          if (base?.operator !== "ConstantOfShape") continue
          next = { ...source, inputs: [other, ...source.inputs.slice(1)], outputs: node.outputs }
          break
        }
      }
    }
    out.push(next)
    for (const output of next.outputs) producer.set(output, next)
  }
  return out
}
