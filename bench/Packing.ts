/**
 * Training on packed rows against training on padded ones: the same sequences in the same batches, packed as the flat
 * policy does it, with one sequence per row padded to the longest of the batch (to a multiple of 8, as the collators of
 * transformers are set by MiniOneRec), and with one per row padded to the longest that a policy reads.
 *
 * SIDs are random: what a step costs does not depend on their codes. The layouts take turns batch by batch, and the
 * gradients of the first batch are compared.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as DuckDb from "../layers/duckdb/DuckDb.ts"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as TarXz from "../layers/xz/TarXz.ts"
import * as Import from "../src/catalog/Import.ts"
import * as Shop from "../src/catalog/shop/Shop.ts"
import * as Split from "../src/catalog/Split.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import { AdamWConfig } from "../src/optimizer/AdamW.ts"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import { PolicyModel, type SupervisedBatch } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as Random from "../src/statistics/Random.ts"
import { hostFloat32, hostInt32 } from "../src/tensor/TensorProgram.ts"

const seed = 1
const layouts = ["packed", "padded to the longest", "padded to the maximum"] as const
const [batchCount, rounds] = [6, 3]

const config = Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ dropout: 0 })
const optimizer = Adam.adamW(Schema.decodeSync(AdamWConfig)({}))

/** Returns the batch with one sequence per row of `length` positions, by default the longest to a multiple of 8. */
const padded = ({ feeds, targets }: SupervisedBatch, length?: number): SupervisedBatch => {
  const [rows, width] = feeds["tokens"]!.shape as [number, number]
  const segments = feeds["segments"]!.data
  const places: Array<Array<number>> = []
  for (let at = 0; at < rows * width; at++) {
    if (segments[at]! < 0) continue
    if (at % width === 0 || segments[at] !== segments[at - 1]) places.push([])
    places.at(-1)!.push(at)
  }
  const size = length ?? Math.ceil(Math.max(...places.map((own) => own.length)) / 8) * 8
  const filler: Readonly<Record<string, number>> = { segments: -1, nodes: -1 }
  return {
    program: `supervised.${size}`,
    targets,
    feeds: Object.fromEntries(
      Object.entries(feeds).map(([name, { data, dtype }]) => {
        const values = new (dtype === "float32" ? Float32Array : Int32Array)(places.length * size)
        if (name in filler) values.fill(filler[name]!)
        for (const [row, own] of places.entries()) {
          for (const [t, at] of own.entries()) {
            values[row * size + t] = name === "segments" ? 0 : data[at]!
          }
        }
        return [
          name,
          values instanceof Float32Array
            ? hostFloat32(values, places.length, size)
            : hostInt32(values, places.length, size)
        ]
      })
    )
  }
}

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1]!

const load = (folder: string | undefined) =>
  folder === undefined
    ? Effect.succeed(Shop.generate(Schema.decodeSync(Shop.ShopConfig)({}), seed))
    : Import.load(folder, { seed }).pipe(
      Effect.provide(Layer.merge(DuckDb.layer, TarXz.layer).pipe(Layer.provideMerge(NodeServices.layer)))
    )

const compare = Effect.fnUntraced(function*(sequences: ReadonlyArray<Int32Array>, levels: number) {
  const policy = yield* PolicyModel
  const store = yield* PolicyParameters
  const gradient = yield* policy.supervised
  const examples = sequences.map((items, user) => Prompt.everyPosition({ user, items }))
  const packed = (yield* policy.plan(examples, seed, 0)).slice(0, batchCount)
  const most = config.historyItems * levels
  const batches = packed.map((batch) => [batch, padded(batch), padded(batch, most)] as const)
  const accumulate = (batch: SupervisedBatch, step: number) =>
    Effect.scoped(gradient.accumulate(store, [{ batch }], { seed, step }))
  const gradients: Array<Float32Array> = []
  for (const batch of batches[0]!) {
    yield* accumulate(batch, 0)
    gradients.push(store.buffer.flat("gradients").slice())
  }
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0))
  const differences = gradients.map((own) =>
    norm(own.map((value, i) => value - gradients[0]![i]!)) / norm(gradients[0]!)
  )
  const seconds = batches.map((): Array<Array<number>> => layouts.map(() => []))
  for (let round = -1; round < rounds; round++) {
    for (const [b, batch] of batches.entries()) {
      for (const [l, layout] of batch.entries()) {
        const from = performance.now()
        yield* accumulate(layout, round + 1)
        yield* store.apply(optimizer, 1e-4)
        // The first round compiles a program for each length.
        if (round >= 0) seconds[b]![l]!.push((performance.now() - from) / 1000)
      }
    }
  }
  return layouts.map((name, l) => {
    const shapes = batches.map((batch) => batch[l]!.feeds["tokens"]!.shape as [number, number])
    const positions = shapes.reduce((sum, [rows, length]) => sum + rows * length, 0)
    const real = packed.reduce(
      (sum, { feeds }) => sum + (feeds["segments"]!.data as Int32Array).filter((segment) => segment >= 0).length,
      0
    )
    const total = seconds.reduce((sum, own) => sum + median(own[l]!), 0)
    return {
      name,
      rows: shapes.reduce((sum, [rows]) => sum + rows, 0) / shapes.length,
      lengths: [Math.min(...shapes.map(([, length]) => length)), Math.max(...shapes.map(([, length]) => length))],
      share: real / positions,
      stepSeconds: total / batches.length,
      rate: real / total,
      ratios: seconds.flatMap((own) => own[l]!.map((value, round) => value / own[0]![round]!)),
      difference: differences[l]!
    }
  })
})

/** Passes the table in Markdown to `show` line by line; the histories are those of a folder, or of a generated shop. */
export const run = async (folder: string | undefined, show: (line: string) => void): Promise<void> => {
  const dataset = await Effect.runPromise(load(folder))
  const { train } = await Effect.runPromise(Split.split(dataset, Schema.decodeSync(Split.SplitConfig)({})))
  const shape = Schema.decodeSync(Quantizer.SidShape)({})
  const codes = Quantizer.codesFor(shape, dataset.items.length)
  const next = Random.uniform(5)
  const index = SidIndex.make(
    dataset.items.map(() => Int32Array.from({ length: shape.levels }, () => Math.floor(next() * codes))),
    Array.from({ length: shape.levels }, () => codes),
    "keep"
  )
  const lengths = train.map(({ length }) => length).filter((length) => length > 0).toSorted((a, b) => a - b)
  const points = await Effect.runPromise(
    compare(train, shape.levels).pipe(
      Effect.scoped,
      Effect.provide(
        PolicyParameters.layer.pipe(
          Layer.provideMerge(FlatPolicy.layer(config, seed)),
          Layer.provideMerge(Sids.layer(index)),
          Layer.provide(OnnxRuntime.layerCpu({ threads: 2 }))
        )
      )
    )
  )
  show(
    `${lengths.length} histories of ${dataset.name}, ${lengths[lengths.length >> 1]} items in the middle, ` +
      `${(lengths.reduce((a, b) => a + b, 0) / lengths.length).toFixed(1)} on average, ${lengths.at(-1)} at most, of ` +
      `which ${config.historyItems} are read; ${shape.levels} codes an item`
  )
  show("")
  show(
    "| rows | rows of a batch, length | real positions | step | real tokens/s | packed is faster by | gradient differs by |"
  )
  show("| --- | --- | --- | --- | --- | --- | --- |")
  for (const { difference, lengths: [least, most], name, rate, ratios, rows, share, stepSeconds } of points) {
    show(
      `| ${name} | ${rows.toFixed(0)}, ${least === most ? least : `${least} to ${most}`} | ${
        (100 * share).toFixed(0)
      } % | ${(1000 * stepSeconds).toFixed(0)} ms | ${rate.toFixed(0)} | ${(points[0]!.rate / rate).toFixed(2)} (${
        Math.min(...ratios).toFixed(2)
      } to ${Math.max(...ratios).toFixed(2)}) | ${difference.toExponential(1)} |`
    )
  }
}
