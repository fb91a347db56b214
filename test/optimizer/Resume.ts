/**
 * Every optimizer on three small parameters, stopped and resumed.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Adafactor from "../../src/optimizer/Adafactor.ts"
import * as Adagrad from "../../src/optimizer/Adagrad.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as Lion from "../../src/optimizer/Lion.ts"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as RmsProp from "../../src/optimizer/RmsProp.ts"
import * as Sgd from "../../src/optimizer/Sgd.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as Random from "../../src/statistics/Random.ts"
import { type ParameterSpecs } from "../../src/tensor/ParameterBuffer.ts"
import { float32, hostFloat32, type HostTensor, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as TrainingState from "../../src/training/TrainingState.ts"
import { type Backend } from "../tensor/Backends.ts"

export const config = (values: typeof AdamW.AdamWConfig.Encoded = {}) => Schema.decodeSync(AdamW.AdamWConfig)(values)

/** By the file that has them. */
export const transforms: Readonly<Record<string, Optimizer.Transform>> = {
  Adafactor: Adafactor.adafactor({ weightDecay: 0.1 }),
  Adagrad: Adagrad.adagrad({ initial: 0.1 }),
  Adam: Adam.adamW(config({ averaging: 0 })).transform,
  AdamW: Adam.adamW(config({ averaging: 0.9 })).transform,
  Lion: Lion.lion({ weightDecay: 0.1 }),
  RmsProp: RmsProp.rmsProp(),
  Sgd: Sgd.sgd({ momentum: 0.9, nesterov: true })
}

export const isMatrix = ({ shape }: Optimizer.Parameter) => shape.length > 1

/** Every optimizer as it is, with an average, in groups of its own, and beside another. */
export const optimizers: Readonly<Record<string, Optimizer.Optimizer>> = {
  "AdamW, fused": Adam.adamW(config({ averaging: 0.9 })),
  "AdamW, fused, no average": Adam.adamW(config({ averaging: 0 })),
  "Sgd, no slots": Optimizer.of(Sgd.sgd()),
  ...Object.fromEntries(
    Object.entries(transforms).flatMap(([name, transform]) => [
      [name, Optimizer.of(transform)],
      [
        `${name}, in two groups`,
        Optimizer.of(Optimizer.groups((p) => isMatrix(p) ? "a" : "b", { a: transform, b: transform }))
      ],
      [
        `${name}, averaged beside a frozen group`,
        Optimizer.of(Optimizer.groups((p) => isMatrix(p) ? "moving" : "still", {
          moving: name === "AdamW" ? transform : Optimizer.chain(transform, Optimizer.averageWeights(0.5)),
          still: Optimizer.frozen
        }))
      ]
    ])
  )
}

const shapes = { matrix: [3, 4], vector: [5], scalar: [] } as const
export const names = Object.keys(shapes) as ReadonlyArray<keyof typeof shapes>
const size = (shape: ReadonlyArray<number>) => shape.reduce((a, b) => a * b, 1)

export const specs = (seed = 1): ParameterSpecs =>
  Object.fromEntries(names.map((name, i) => {
    const next = Random.normal(seed, i)
    return [name, { shape: shapes[name], initialize: (values) => values.forEach((_, at) => (values[at] = next())) }]
  }))

/** A program whose gradients are what it is fed. */
export const given = make({
  name: "given",
  inputs: Object.fromEntries(names.flatMap((name) => [
    [name, float32(...shapes[name])],
    [`given.${name}`, float32(...shapes[name])]
  ])),
  body: (inputs) => Object.fromEntries(names.map((name) => [name, inputs[`given.${name}`]!.add(0)]))
})

export const gradients = (step: number) =>
  Object.fromEntries(names.map((name, i) => {
    const next = Random.normal(7, step, i)
    return [
      `given.${name}`,
      hostFloat32(Float32Array.from({ length: size(shapes[name]) }, () => next()), ...shapes[name])
    ]
  }))

export const open = Effect.fnUntraced(function*(seed?: number) {
  const runtime = yield* TensorRuntime
  const store = yield* ParameterStore.make(specs(seed))
  const executable = yield* runtime.compile(given)
  const train = Effect.fnUntraced(function*(optimizer: Optimizer.Optimizer, from: number, to: number) {
    for (let step = from; step < to; step++) {
      yield* Effect.scoped(store.differentiate(executable, [{ feeds: gradients(step) }]))
      yield* store.apply(optimizer, 0.01 * (step + 1))
    }
  })
  return { store, train }
})

const counters = {
  step: 3,
  epoch: 3,
  best: 0,
  bestEpoch: 3,
  sinceBest: 0,
  start: -1,
  asked: 0,
  origin: -1
}

export const valuesOf = Effect.fnUntraced(function*(feeds: ParameterStore.Feeds) {
  const all: Record<string, ReadonlyArray<number>> = {}
  for (const [name, feed] of Object.entries(feeds)) {
    const { data }: HostTensor = "read" in feed ? yield* feed.read : feed
    all[name] = Array.from(data)
  }
  return all
})

/** Some optimizers, stopped in the middle on a backend. */
export const goesOn = ([backend, layer]: Backend, some = Object.keys(optimizers)): void =>
  it.effect(
    `goes on from a checkpoint as if it had never stopped, bit for bit, on ${backend}`,
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        for (const name of some) {
          const optimizer = optimizers[name]!
          const folder = yield* fs.makeTempDirectoryScoped()
          const [whole, first, second] = [yield* open(), yield* open(), yield* open(2)]
          yield* whole.train(optimizer, 0, 6)
          const between = yield* Effect.gen(function*() {
            yield* first.train(optimizer, 0, 3)
            yield* TrainingState.save(first.store, "sft", counters, true)
            const between = yield* first.store.save
            yield* TrainingState.resume(second.store, "sft", config({ averaging: 0 }))
            return between
          }).pipe(Effect.provide(Checkpointer.layer(folder)))
          assert.deepStrictEqual(yield* second.store.save, between, name)
          const evaluated = [first, second].map(({ store }) =>
            Effect.scoped(Effect.flatMap(store.evaluation, ({ feeds }) => valuesOf(feeds)))
          )
          assert.deepStrictEqual(yield* evaluated[1]!, yield* evaluated[0]!, name)
          yield* second.train(optimizer, 3, 6)
          assert.deepStrictEqual(yield* second.store.save, yield* whole.store.save, name)
          assert.strictEqual(yield* second.store.version, 6)
        }
      }).pipe(Effect.scoped, Effect.provide([layer, NodeServices.layer])),
    120_000
  )
