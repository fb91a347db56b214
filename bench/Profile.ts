/**
 * Time of a training step by operator, summed from onnxruntime's profile.
 */
import { readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Engine from "./Engine.ts"
import * as Sids from "./Sids.ts"

const steps: ReadonlyMap<string, Engine.StepBenchmark> = new Map([
  ...Engine.steps.map((step) => [step.name.replace("engine.step.", ""), step] as const),
  ["rqvae", Sids.rqVaeStep]
])

/** Names of the steps that can be profiled: the sizes of `engine.step.*`, and `sid.rqvae.step`. */
export const names: ReadonlyArray<string> = [...steps.keys()]

interface Event {
  readonly cat: string
  readonly name: string
  /** Duration in microseconds. */
  readonly dur: number
  readonly args?: {
    readonly op_name?: string
    readonly input_type_shape?: ReadonlyArray<Readonly<Record<string, ReadonlyArray<number>>>>
    readonly output_type_shape?: ReadonlyArray<Readonly<Record<string, ReadonlyArray<number>>>>
  }
}

interface Row {
  calls: number
  micros: number
  flops: number
}

const shapes = (list: ReadonlyArray<Readonly<Record<string, ReadonlyArray<number>>>> | undefined) =>
  (list ?? []).map((entry) => Object.values(entry)[0] ?? [])

const size = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

const products = new Set(["Gemm", "MatMul", "FusedMatMul"])

/** Returns the floating-point operations of a matrix product, 2 M K N; 0 for other operators. */
const flopsOf = (event: Event): number => {
  if (!products.has(event.args?.op_name ?? "")) return 0
  const [a = [], b = []] = shapes(event.args?.input_type_shape)
  const [out = []] = shapes(event.args?.output_type_shape)
  const [rows = 1, columns = 1] = out.slice(-2)
  const batch = size(out) / (rows * columns)
  const inner = Math.sqrt((size(a) / batch) * (size(b) / batch) / (rows * columns))
  return 2 * size(out) * inner
}

/** Profiles `count` steps of a name and returns the table as text; with `byShape` one line per shape. */
export const table = async (name: string, count: number, byShape: boolean): Promise<string> => {
  const benchmark = steps.get(name)
  if (benchmark === undefined) throw new RangeError(`no step "${name}"; known steps: ${names.join(", ")}`)
  const folder = await mkdtemp(join(tmpdir(), "sidereal-profile-"))
  try {
    const prepared = await benchmark.profiled(join(folder, "profile"))
    for (let i = 0; i < count + 2; i++) await prepared.run()
    await prepared.close()
    const events = readdirSync(folder).flatMap((name) =>
      JSON.parse(readFileSync(join(folder, name), "utf8")) as ReadonlyArray<Event>
    )
    const rows = new Map<string, Row>()
    const runs = events.filter(({ cat, name }) => cat === "Session" && name === "model_run").slice(-count)
    const nodes = events.filter(({ args, cat }) => cat === "Node" && args?.op_name !== undefined)
    // The first runs, which allocate, are skipped; every run has the same nodes.
    const perRun = nodes.length / (count + 2)
    for (const event of nodes.slice(-perRun * count)) {
      const operator = event.args!.op_name!
      const key = byShape
        ? `${operator} ${shapes(event.args!.input_type_shape).map((shape) => shape.join("x")).join(" ")}`
        : operator
      const row = rows.get(key) ?? { calls: 0, micros: 0, flops: 0 }
      row.calls++
      row.micros += event.dur
      row.flops += flopsOf(event)
      rows.set(key, row)
    }
    const total = [...rows.values()].reduce((sum, { micros }) => sum + micros, 0)
    const wall = runs.reduce((sum, { dur }) => sum + dur, 0) / count / 1000
    const lines = [...rows].toSorted(([, a], [, b]) => b.micros - a.micros).map(([key, row]) =>
      [
        key.padEnd(byShape ? 60 : 30),
        String(row.calls / count).padStart(6),
        (row.micros / count / 1000).toFixed(2).padStart(10),
        `${(100 * row.micros / total).toFixed(1)} %`.padStart(8),
        row.flops === 0 ? "" : (row.flops / row.micros / 1000).toFixed(0).padStart(10)
      ].join("")
    )
    return [
      `${"operator".padEnd(byShape ? 60 : 30)} calls   ms/step   share   GFLOP/s`,
      ...lines,
      `all operators ${(total / count / 1000).toFixed(1)} ms of ${wall.toFixed(1)} ms in the session, ${count} steps`
    ].join("\n")
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
