/**
 * Benchmarks: definition, record, and timing in alternation with a peer, in one run on one machine.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"

/** Peer of a benchmark: a script in the peers' folder with its arguments. */
export interface Peer {
  readonly script: string
  readonly environment: "current" | "minionerec"
  readonly args: ReadonlyArray<string>
}

/** A benchmark ready to be timed. */
export interface Prepared {
  /** Runs one timed repeat. */
  readonly run: () => Promise<void>
  readonly close: () => Promise<void>
  readonly work: Readonly<Record<string, unknown>>
  /** Number of units processed by one repeat. */
  readonly amount: number
  readonly unit: string
  /** Floating-point operations of one repeat, for the share of the machine's matrix-product rate. @default none */
  readonly flops?: number | undefined
  /** Returns the measured seconds of the last repeat. @default the wall time of `run` */
  readonly seconds?: (() => number) | undefined
}

/** A named benchmark. */
export interface Benchmark {
  readonly name: string
  readonly repeats: number
  readonly warmup: number
  readonly prepare: () => Promise<Prepared>
  readonly peer?: Peer | undefined
  /** Another implementation of the same work in this process, timed in alternation where peers are. */
  readonly rival?: { readonly name: string; readonly prepare: () => Promise<Prepared> } | undefined
}

/** Record printed by `--json`. */
export interface BenchmarkRecord {
  readonly name: string
  readonly work: Readonly<Record<string, unknown>>
  readonly seconds: { readonly min: number; readonly median: number; readonly max: number; readonly runs: number }
  /** Units per second at the median. */
  readonly throughput: number
  readonly unit: string
  readonly rssPeakMiB: number
  /** GFLOP/s of this machine's matrix product in the same run, 0 when it was not measured. */
  readonly roof: number
  readonly shareOfRoof: number
  readonly peer: string | null
  /** Median seconds of the peer for the same work. */
  readonly peerMedian: number | null
  /** Median seconds of the peer divided by those of Sidereal: above 1, Sidereal is faster. */
  readonly ratio: number | null
}

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Returns the Python of a peer's environment, in `SIDEREAL_PEER_VENVS` or else `.venvs` of the peers' folder. */
const pythonOf = (peers: string, environment: string): string =>
  join(process.env["SIDEREAL_PEER_VENVS"] ?? join(peers, ".venvs"), environment, "bin", "python")

const timePeer = (peers: string, peer: Peer): ReadonlyArray<number> => {
  const python = pythonOf(peers, peer.environment)
  if (!existsSync(python)) {
    throw new Error(`no Python at ${python}; run ${join(peers, "setup.sh")} FOLDER and set SIDEREAL_PEER_VENVS=FOLDER`)
  }
  const { status, stderr, stdout } = spawnSync(python, [join(peers, peer.script), ...peer.args, "--json"], {
    encoding: "utf8",
    maxBuffer: 1 << 26
  })
  if (status !== 0) throw new Error(`${peer.script} failed: ${stderr.slice(-2000)}`)
  const line = stdout.trim().split("\n").at(-1)!
  return (JSON.parse(line) as { seconds: { all: ReadonlyArray<number> } }).seconds.all
}

const rounds = 3

/** Times a benchmark, in alternation with its peer where `peers` is set. */
export const measure = async (
  benchmark: Benchmark,
  peers: string | undefined,
  roof: number
): Promise<BenchmarkRecord> => {
  const prepared = await benchmark.prepare()
  const own: Array<number> = []
  const theirs: Array<number> = []
  const peer = peers === undefined ? undefined : benchmark.peer
  const rival = peers === undefined ? undefined : await benchmark.rival?.prepare()
  const time = async (work: Prepared) => {
    const started = performance.now()
    await work.run()
    return work.seconds?.() ?? (performance.now() - started) / 1000
  }
  try {
    for (let i = 0; i < benchmark.warmup; i++) {
      await prepared.run()
      await rival?.run()
    }
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < benchmark.repeats; i++) {
        own.push(await time(prepared))
        if (rival !== undefined) theirs.push(await time(rival))
      }
      if (peer !== undefined) theirs.push(...timePeer(peers!, peer))
    }
  } finally {
    await prepared.close()
    await rival?.close()
  }
  const middle = median(own)
  const rate = prepared.flops === undefined ? 0 : prepared.flops / middle / 1e9
  return {
    name: benchmark.name,
    work: { ...prepared.work, ...(rate === 0 ? {} : { gflops: Number(rate.toFixed(1)) }) },
    seconds: { min: Math.min(...own), median: middle, max: Math.max(...own), runs: own.length },
    throughput: prepared.amount / middle,
    unit: prepared.unit,
    rssPeakMiB: Math.round(process.resourceUsage().maxRSS / 1024),
    roof,
    shareOfRoof: roof === 0 ? 0 : rate / roof,
    peer: peer !== undefined
      ? `${peer.script} ${peer.args.join(" ")}`
      : rival === undefined
      ? null
      : benchmark.rival!.name,
    peerMedian: theirs.length === 0 ? null : median(theirs),
    ratio: theirs.length === 0 ? null : median(theirs) / middle
  }
}
