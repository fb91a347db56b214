/**
 * `npm run bench -- [NAME...] [--json] [--peers DIR]`: all benchmarks, or those whose name is NAME or begins with
 * `NAME.` `npm run bench -- profile [d128|d256|d384|d256-long|rqvae] [--shapes]`: time of a training step by operator.
 * `npm run bench -- growth [--out DIR]`: cost of a step as the model grows; charts as SVG files. `npm run bench --
 * items [--out DIR]`: cost of SIDs as the catalogue grows; a chart as an SVG file. `npm run bench -- text.big`: memory
 * and time of a text policy of 494 million weights. `npm run bench -- sft.packed [--data DIR]`: training on packed rows
 * against padded ones.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Benchmark, type BenchmarkRecord, measure } from "./Benchmark.ts"
import * as Data from "./Data.ts"
import * as Decode from "./Decode.ts"
import * as Engine from "./Engine.ts"
import * as Growth from "./Growth.ts"
import * as Grpo from "./Grpo.ts"
import * as Items from "./Items.ts"
import * as LargeText from "./LargeText.ts"
import * as Packing from "./Packing.ts"
import * as Profile from "./Profile.ts"
import * as Sids from "./Sids.ts"
import * as Tries from "./Tries.ts"

const args = process.argv.slice(2)

const measureRoof = async () => (await measure(Engine.benchmarks[0]!, undefined, 0)).throughput

if (args[0] === "growth") {
  const outAt = args.indexOf("--out")
  const { charts, tables } = await Growth.run(measureRoof)
  process.stdout.write(`${tables}\n`)
  for (const [axis, svg] of outAt < 0 ? [] : charts) {
    writeFileSync(join(args[outAt + 1]!, `growth-${axis}.svg`), svg)
  }
  process.exit(0)
}

if (args[0] === "items") {
  const outAt = args.indexOf("--out")
  const chart = await Items.run((line) => process.stdout.write(`${line}\n`))
  if (outAt >= 0) writeFileSync(join(args[outAt + 1]!, "growth-items.svg"), chart)
  process.exit(0)
}

const print = (line: string) => void process.stdout.write(`${line}\n`)

if (args[0] === "text.big") {
  await LargeText.run(print)
  process.exit(0)
}

if (args[0] === "sft.packed") {
  const dataAt = args.indexOf("--data")
  await Packing.run(dataAt < 0 ? undefined : args[dataAt + 1], print)
  process.exit(0)
}

const all: ReadonlyArray<Benchmark> = [
  ...Engine.benchmarks,
  ...Decode.benchmarks,
  ...Grpo.benchmarks,
  ...Sids.benchmarks,
  ...Data.benchmarks,
  ...Tries.tries
]

if (args[0] === "profile") {
  const size = args.slice(1).find((arg) => !arg.startsWith("--")) ?? "d256"
  if (!Profile.names.includes(size)) {
    process.stderr.write(`no step "${size}" to profile; known steps: ${Profile.names.join(", ")}\n`)
    process.exit(2)
  }
  process.stdout.write(`${await Profile.table(size, 8, args.includes("--shapes"))}\n`)
  process.exit(0)
}
const json = args.includes("--json")
const peersAt = args.indexOf("--peers")
const peers = peersAt < 0 ? undefined : args[peersAt + 1]
const names = args.filter((arg, i) => !arg.startsWith("--") && (peersAt < 0 || i !== peersAt + 1))

const chosen = names.length === 0 ? all : names.flatMap((name) => {
  const found = all.filter((benchmark) => benchmark.name === name || benchmark.name.startsWith(`${name}.`))
  if (found.length === 0) {
    process.stderr.write(
      `no benchmark "${name}"; known benchmarks: ${all.map((benchmark) => benchmark.name).join(", ")}\n`
    )
    process.exit(2)
  }
  return found
})

const line = (record: BenchmarkRecord): string =>
  [
    record.name.padEnd(22),
    `${(record.seconds.median * 1000).toFixed(1)} ms`.padStart(12),
    `${record.throughput.toFixed(record.throughput < 100 ? 2 : 0)} ${record.unit}`.padStart(18),
    record.work["gflops"] === undefined
      ? ""
      : `${record.work["gflops"]} GFLOP/s, ${(100 * record.shareOfRoof).toFixed(0)} % of the roof`,
    record.ratio === null ? "" : `peer ${(record.peerMedian! * 1000).toFixed(1)} ms, ratio ${record.ratio.toFixed(2)}`
  ].join("  ")

let roof = 0
for (const benchmark of chosen) {
  if (roof === 0 && benchmark.name.startsWith("engine.")) {
    roof = await measureRoof()
  }
  const record = await measure(benchmark, peers, benchmark.name.startsWith("engine.") ? roof : 0)
  process.stdout.write(`${json ? JSON.stringify(record) : line(record)}\n`)
}
