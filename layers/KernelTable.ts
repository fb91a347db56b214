/**
 * Which kernels of tfjs run where: read from tfjs's own registry, so that the table cannot say what the code does not.
 *
 * `TFJS_NODE_HOME=... node layers/KernelTable.ts > docs/kernels.md` writes the committed table.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import "../src/tensor/Autodiff.ts"
import "./onnx/FusedLowerings.ts"
import "./onnx/Lowerings.ts"
import { differences } from "./BackendDifferences.ts"
import { backendName } from "./onnx/TracingBackend.ts"
import * as TensorFlow from "./tfjs/TensorFlow.ts"

/** A column: the backends of tfjs behind a family of runtimes. */
export interface Column {
  readonly name: string
  /** The name under which tfjs knows the backend. */
  readonly backend: string
}

/** The compiling runtimes (processor, CUDA and WebGPU share the lowerings) and the oracle: present everywhere. */
export const everywhere: ReadonlyArray<Column> = [
  { name: "onnx", backend: backendName },
  { name: "reference", backend: "cpu" }
]

/** Returns the columns of this process: TensorFlow is among them once its package is loaded. */
export const loaded = (): ReadonlyArray<Column> =>
  tf.getKernelsForBackend("tensorflow").length === 0
    ? everywhere
    : [...everywhere, { name: "tensorflow", backend: "tensorflow" }]

/** One kernel: whether it can be differentiated, and which columns have it. */
export interface Row {
  readonly kernel: string
  readonly gradient: boolean
  readonly has: Readonly<Record<string, boolean>>
}

/** Returns the kernels that the compiling runtimes or the oracle have, by name, and the columns that have each. */
export const rows = (columns: ReadonlyArray<Column> = everywhere): ReadonlyArray<Row> => {
  const sets = columns.map(({ backend, name }) => ({
    name,
    kernels: new Set(tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName))
  }))
  const listed = sets.filter(({ name }) => everywhere.some((column) => column.name === name))
  return [...new Set(listed.flatMap(({ kernels }) => [...kernels]))].toSorted().map((kernel) => ({
    kernel,
    gradient: (tf.getGradient(kernel) as unknown) != null,
    has: Object.fromEntries(sets.map(({ kernels, name }) => [name, kernels.has(kernel)]))
  }))
}

const mark = (there: boolean) => there ? "yes" : "-"

/** Renders the table as Markdown. */
export const render = (columns: ReadonlyArray<Column> = everywhere): string => {
  const table = rows(columns)
  const [first] = columns
  const count = (column: Column) => table.filter(({ has }) => has[column.name]).length
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [
    "# Kernels",
    "",
    `The kernels of tfjs that each backend runs: ${
      columns.map((column) => `${column.name} ${count(column)}`).join(", ")
    } of ${table.length}. A model may use any kernel of its backend, and be trained through those with a gradient.`,
    "",
    `\`onnx\` is every compiling runtime (onnx-cpu, onnx-cuda, onnx-webgpu): they share the lowerings of \`layers/onnx\`. ` +
    "`reference` is tfjs's JavaScript backend, the oracle of the tests. Kernels named `Sidereal` are fused; a backend " +
    "without them runs the same operation in its plain form; they and `_FusedMatMul` get their gradient from the " +
    "operation that calls them. A kernel that the backend lacks fails while the program is " +
    "compiled, with `UnsupportedKernel`, its name and the line of the model.",
    "",
    `Made by \`TFJS_NODE_HOME=... node layers/KernelTable.ts > docs/kernels.md\`; a test holds that this file is what it prints. ` +
    `\`test/tensor/KernelCases.ts\` has cases for every kernel of \`${first!.name}\`.`,
    "",
    line(["kernel", "gradient", ...columns.map(({ name }) => name)]),
    line(["---", "---", ...columns.map(() => "---")]),
    ...table.map(({ gradient, has, kernel }) =>
      line([`\`${kernel}\``, mark(gradient), ...columns.map(({ name }) => mark(has[name]!))])
    ),
    "",
    "## Where a backend differs",
    "",
    "Limits of the libraries underneath, found by the battery on onnxruntime 1.30 (WebGPU on SwiftShader) and tfjs-node 4.22 over TensorFlow 2.21. Everything else agrees with",
    "the oracle, forward and gradient.",
    "",
    line(["backend", "kernels", "difference"]),
    line(["---", "---", "---"]),
    ...differences.map(({ backend, operations, tolerance, what, where }) =>
      line([
        backend,
        operations.map((operation) => `\`${operation}\``).join(", "),
        `${what}${typeof where === "string" ? ` (${where})` : ""}${
          tolerance === undefined ? "" : ` (relative error up to ${tolerance})`
        }`
      ])
    ),
    ""
  ].join("\n")
}

if (import.meta.main) {
  // The column of TensorFlow needs its package: TFJS_NODE_HOME.
  await Effect.runPromise(Effect.ignore(Effect.scoped(Layer.build(TensorFlow.layer))))
  process.stdout.write(render(loaded()))
}
