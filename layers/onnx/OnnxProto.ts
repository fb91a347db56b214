/**
 * Writes ONNX models: the part of protocol buffers and of onnx.proto (IR 9, opset 18) that a traced graph needs; a graph
 * with 16-bit inputs needs IR 12 and opset 26.
 */

/**
 * Element types of a graph; `int64` is internal, for indices and shapes. onnxruntime-node has no bfloat16, so such an
 * input is fed as `uint16`.
 */
export type ElementType = "float32" | "int32" | "int64" | "bool" | "uint16" | "bfloat16"

const elementCode: Record<ElementType, number> = { float32: 1, uint16: 4, int32: 6, int64: 7, bool: 9, bfloat16: 16 }

/** An attribute: an integer, a real `{ float }`, text, or a list of integers. */
export type Attribute = number | { readonly float: number } | string | ReadonlyArray<number>

/** A node: operator, domain (`""` is ONNX itself), and the names that it reads and writes. */
export interface Node {
  readonly operator: string
  readonly domain: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** A constant of the graph. */
export interface Initializer {
  readonly name: string
  readonly type: ElementType
  readonly shape: ReadonlyArray<number>
  readonly bytes: Uint8Array
}

/** A graph input or output; a text axis is a size known only at run time. */
export interface ValueInfo {
  readonly name: string
  readonly type: ElementType
  readonly shape: ReadonlyArray<number | string>
}

/** A whole graph, nodes in execution order. */
export interface Graph {
  readonly name: string
  readonly nodes: ReadonlyArray<Node>
  readonly initializers: ReadonlyArray<Initializer>
  readonly inputs: ReadonlyArray<ValueInfo>
  readonly outputs: ReadonlyArray<ValueInfo>
}

/** Returns the ONNX code of an element type, as `Cast` takes it. */
export const codeOf = (type: ElementType): number => elementCode[type]

class Writer {
  readonly #chunks: Array<Uint8Array> = []

  #varint(value: number | bigint) {
    let rest = BigInt.asUintN(64, BigInt(value))
    const bytes: Array<number> = []
    do {
      const low = Number(rest & 127n)
      rest >>= 7n
      bytes.push(rest === 0n ? low : low | 128)
    } while (rest !== 0n)
    this.#chunks.push(Uint8Array.from(bytes))
  }

  int(field: number, value: number | bigint): this {
    this.#varint(field << 3)
    this.#varint(value)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2)
    this.#varint(value.byteLength)
    this.#chunks.push(value)
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, "utf8"))
  }

  message(field: number, value: Writer): this {
    return this.bytes(field, value.done())
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | 5)
    const bytes = Buffer.alloc(4)
    bytes.writeFloatLE(value)
    this.#chunks.push(bytes)
    return this
  }

  done(): Uint8Array {
    return Buffer.concat(this.#chunks)
  }
}

const writeAttribute = (name: string, value: Attribute): Writer => {
  const writer = new Writer().text(1, name)
  if (typeof value === "number") return writer.int(3, value).int(20, 2)
  if (typeof value === "string") return writer.text(4, value).int(20, 3)
  if ("float" in value) return writer.float(2, value.float).int(20, 1)
  for (const element of value) writer.int(8, element)
  return writer.int(20, 7)
}

const writeNode = (node: Node): Writer => {
  const writer = new Writer()
  for (const input of node.inputs) writer.text(1, input)
  for (const output of node.outputs) writer.text(2, output)
  writer.text(3, node.outputs[0] ?? "").text(4, node.operator)
  for (const [name, value] of Object.entries(node.attributes)) writer.message(5, writeAttribute(name, value))
  if (node.domain !== "") writer.text(7, node.domain)
  return writer
}

const writeInitializer = (initializer: Initializer): Writer => {
  const writer = new Writer()
  for (const size of initializer.shape) writer.int(1, size)
  return writer.int(2, elementCode[initializer.type]).text(8, initializer.name).bytes(9, initializer.bytes)
}

const writeValueInfo = (value: ValueInfo): Writer => {
  const shape = new Writer()
  for (const size of value.shape) {
    shape.message(1, typeof size === "string" ? new Writer().text(2, size) : new Writer().int(1, size))
  }
  const tensor = new Writer().int(1, elementCode[value.type]).message(2, shape)
  return new Writer().text(1, value.name).message(2, new Writer().message(1, tensor))
}

/** An output that is a sequence of float32 tensors. */
const writeSequenceInfo = (name: string): Writer => {
  const element = new Writer().message(1, new Writer().int(1, elementCode.float32))
  return new Writer().text(1, name).message(2, new Writer().message(4, new Writer().message(1, element)))
}

/**
 * Encodes a model with this graph. With `seal` the first output is an empty sequence of that name, which tells
 * `Session.ts` not to convert the others.
 */
export const encode = (graph: Graph, seal?: string): Uint8Array => {
  const body = new Writer()
  if (seal !== undefined) {
    body.message(1, writeNode({ operator: "SequenceEmpty", domain: "", inputs: [], outputs: [seal], attributes: {} }))
  }
  for (const node of graph.nodes) body.message(1, writeNode(node))
  body.text(2, graph.name)
  for (const initializer of graph.initializers) body.message(5, writeInitializer(initializer))
  for (const input of graph.inputs) body.message(11, writeValueInfo(input))
  if (seal !== undefined) body.message(12, writeSequenceInfo(seal))
  for (const output of graph.outputs) body.message(12, writeValueInfo(output))
  const isNew = graph.nodes.some(({ operator }) => operator === "BitCast")
  return new Writer()
    .int(1, isNew ? 12 : 9)
    .message(7, body)
    .message(8, new Writer().text(1, "").int(2, isNew ? 26 : 18))
    .message(8, new Writer().text(1, "com.microsoft").int(2, 1))
    .done()
}
