/**
 * Cost of a training step as the model grows: time, share of the roof, memory, compile time and graph size against
 * width, depth, length, vocabulary and batch. Every point runs in its own process, so that its peak memory is known.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Chart from "../src/report/Chart.ts"
import * as Engine from "./Engine.ts"

/** Measurements of one process. */
interface Point {
  readonly shape: Engine.StepShape
  readonly millis: number
  readonly gflops: number
  readonly peakMiB: number
  readonly compileMillis: number
  readonly nodes: number
}

const base: Engine.StepShape = {
  width: 128,
  layers: 4,
  heads: 4,
  feedForward: 344,
  vocabulary: 1024,
  batch: 16,
  length: 64
}

const feedForwardOf = (width: number) => 8 * Math.round(width * 8 / 3 / 8)

const axes: Readonly<Record<string, ReadonlyArray<readonly [number, Engine.StepShape]>>> = {
  width: [64, 128, 256, 384, 512].map((width) => [width, { ...base, width, feedForward: feedForwardOf(width) }]),
  depth: [1, 2, 4, 8, 12].map((layers) => [layers, { ...base, layers }]),
  length: [32, 64, 128, 256, 512].map((length) => [length, { ...base, length, batch: 1024 / length }]),
  vocabulary: [256, 1024, 4096, 16_384].map((vocabulary) => [vocabulary, { ...base, vocabulary }]),
  batch: [2, 8, 16, 32, 64].map((batch) => [batch, { ...base, batch }])
}

/** Measures one shape in this process. */
const measure = async (shape: Engine.StepShape): Promise<Point> => {
  const prepared = await Engine.prepareStep(shape)
  const seconds: Array<number> = []
  for (let i = 0; i < 11; i++) {
    const started = performance.now()
    await prepared.run()
    if (i >= 3) seconds.push((performance.now() - started) / 1000)
  }
  await prepared.close()
  const median = seconds.toSorted((a, b) => a - b)[seconds.length >> 1]!
  return {
    shape,
    millis: median * 1000,
    gflops: Engine.flops(shape) / median / 1e9,
    peakMiB: process.resourceUsage().maxRSS / 1024,
    compileMillis: prepared.compileMillis,
    nodes: prepared.nodes
  }
}

const point = (shape: Engine.StepShape): Point =>
  JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(shape)], {
    encoding: "utf8"
  })) as Point

/** Returns the tables in Markdown, and the charts as texts of SVG files, by name. */
export const run = async (
  roof: () => Promise<number>
): Promise<{ readonly tables: string; readonly charts: ReadonlyMap<string, string> }> => {
  const tables: Array<string> = []
  const charts = new Map<string, string>()
  for (const [axis, shapes] of Object.entries(axes)) {
    const machine = await roof()
    const points = shapes.map(([x, shape]) => [x, point(shape)] as const)
    tables.push(
      `| ${axis} | ms/step | tokens/s | GFLOP/s | share of the roof | peak memory | compile | nodes |`,
      "| --- | --- | --- | --- | --- | --- | --- | --- |",
      ...points.map(([x, { compileMillis, gflops, millis, nodes, peakMiB, shape }]) =>
        `| ${x} | ${millis.toFixed(1)} | ${(shape.batch * shape.length / millis * 1000).toFixed(0)} | ${
          gflops.toFixed(0)
        } | ${(100 * gflops / machine).toFixed(0)} % | ${peakMiB.toFixed(0)} MiB | ${
          compileMillis.toFixed(0)
        } ms | ${nodes} |`
      ),
      ""
    )
    charts.set(
      axis,
      Chart.file(`Step time (ms) against ${axis}`, axis, [
        { name: "measured", points: points.map(([x, { millis }]) => [x, millis]) },
        {
          name: "at the roof",
          points: points.map(([x, { shape }]) => [x, Engine.flops(shape) / machine / 1e6])
        }
      ])
    )
  }
  return { tables: tables.join("\n"), charts }
}

// `import.meta.main` is not in Node 22.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(JSON.stringify(await measure(JSON.parse(process.argv[2]!) as Engine.StepShape)))
}
