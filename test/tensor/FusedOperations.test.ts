import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Random from "../../src/statistics/Random.ts"
import * as Attention from "../../src/tensor/Attention.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import * as RmsNorm from "../../src/tensor/RmsNorm.ts"
import * as Rotary from "../../src/tensor/Rotary.ts"
import * as SwiGlu from "../../src/tensor/SwiGlu.ts"
import {
  hostBool,
  hostFloat32,
  hostInt32,
  type HostTensor,
  make,
  type TensorSpec
} from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "./Backends.ts"

const random = (seed: number, ...shape: ReadonlyArray<number>): HostTensor => {
  const next = Random.normal(seed, 0xf00d)
  return hostFloat32(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next), ...shape)
}

interface Case {
  readonly name: string
  readonly trained: Readonly<Record<string, HostTensor>>
  readonly fixed: Readonly<Record<string, HostTensor>>
  readonly apply: (x: Readonly<Record<string, tf.Tensor>>) => tf.Tensor
}

const legal = (rows: number, classes: number, targets: Int32Array) =>
  hostBool(
    Uint8Array.from({ length: rows * classes }, (_, i) =>
      i % classes === targets[Math.floor(i / classes)] || i % 3 === 0 ? 1 : 0),
    rows,
    classes
  )

const dropped = (batch: number, heads: number, length: number): HostTensor =>
  hostFloat32(
    Float32Array.from({ length: batch * heads * length * length }, (_, i) => (i * 7) % 5 < 2 ? 0 : 1.5),
    batch,
    heads,
    length,
    length
  )

const attention = (heads: number, groups: number, batch: number, length: number, masks = {}): Case => ({
  name: `attention of ${heads} heads in ${groups} groups, ${batch} x ${length}, ${
    Object.keys(masks).length === 0 ? "whole" : "with dropout"
  }`,
  trained: {
    q: random(1, batch, length, heads * 4),
    k: random(2, batch, length, groups * 4),
    v: random(3, batch, length, groups * 4)
  },
  fixed: {
    segments: hostInt32(Int32Array.from({ length: batch * length }, (_, i) => i % length < 2 ? 0 : 1), batch, length),
    positions: hostInt32(Int32Array.from({ length: batch * length }, (_, i) => i % length), batch, length),
    ...masks
  },
  apply: ({ dropout, k, positions, q, segments, v }) =>
    Attention.apply(
      q!,
      Attention.splitHeads(k!, groups),
      Attention.splitHeads(v!, groups),
      Attention.packedMask(segments!, positions!),
      heads,
      dropout
    )
})

const targets = Int32Array.of(2, 0, 5)

const cases: ReadonlyArray<Case> = [
  ...[[1, 1], [3, 5], [0, 4]].map(([rows, width]): Case => ({
    name: `RMS norm of ${rows} x ${width}`,
    trained: { x: random(1, rows!, width!), gain: random(2, width!) },
    fixed: {},
    apply: ({ gain, x }) => RmsNorm.apply(x!, gain!, 1e-6)
  })),
  ...[[1, 1], [4, 7]].map(([rows, width]): Case => ({
    name: `SwiGLU of ${rows} x ${width}`,
    trained: { gate: random(1, rows!, width!), up: random(2, rows!, width!) },
    fixed: {},
    apply: ({ gate, up }) => SwiGlu.apply(gate!, up!)
  })),
  {
    name: "rotary embedding of two heads",
    trained: { x: random(1, 2, 3, 8) },
    fixed: { positions: hostInt32(Int32Array.of(0, 1, 2, 5, 6, 7), 2, 3) },
    apply: ({ positions, x }) => Rotary.apply(x!, positions!, Rotary.tensors(Rotary.table(9, 4, 100)), 2)
  },
  attention(2, 2, 2, 5),
  attention(4, 2, 1, 4),
  attention(3, 1, 2, 1),
  attention(2, 2, 2, 5, { dropout: dropped(2, 2, 5) }),
  attention(4, 2, 2, 3, { dropout: dropped(2, 4, 3) }),
  ...[{}, { dropout: dropped(2, 4, 6) }].map((masks): Case => {
    const whole = attention(4, 2, 2, 6, masks)
    return {
      ...whole,
      name: `causal, in three blocks of rows: ${whole.name}`,
      apply: ({ dropout, k, positions, q, segments, v }) =>
        Attention.causal(
          q!,
          Attention.splitHeads(k!, 2),
          Attention.splitHeads(v!, 2),
          Attention.packedMask(segments!, positions!),
          4,
          3,
          dropout
        )
    }
  }),
  ...[undefined, legal(3, 7, targets)].map((mask): Case => ({
    name: `cross entropy ${mask === undefined ? "over all" : "over legal"} classes`,
    trained: { h: random(1, 3, 4), classes: random(2, 7, 4) },
    fixed: {
      targets: hostInt32(targets, 3),
      weights: hostFloat32(Float32Array.of(0.5, 0.25, 0), 3),
      ...(mask === undefined ? {} : { mask })
    },
    apply: ({ classes, h, mask, targets, weights }) =>
      LinearCrossEntropy.loss(h!, classes!, { targets: targets!, weights: weights!, legal: mask })
  })),
  {
    name: "cross entropy of two batches with classes of their own",
    trained: { h: random(1, 2, 3, 4), classes: random(2, 2, 7, 4) },
    fixed: {
      targets: hostInt32(Int32Array.of(...targets, 1, 6, 0), 2, 3),
      weights: hostFloat32(Float32Array.of(0.5, 0.25, 0, 0.125, 1, 0.5), 2, 3),
      mask: hostBool(legal(6, 7, Int32Array.of(...targets, 1, 6, 0)).data as Uint8Array, 2, 3, 7)
    },
    apply: ({ classes, h, mask, targets, weights }) =>
      LinearCrossEntropy.loss(h!, classes!, { targets: targets!, weights: weights!, legal: mask })
  }
]

const specOf = ({ dtype, shape }: HostTensor): TensorSpec => ({ dtype, shape })

/** The value, and the gradients of its product with fixed random numbers. */
const outcome = ({ apply, fixed, name, trained }: Case) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const all = { ...trained, ...fixed }
    const program = yield* runtime.compile(make({
      name,
      inputs: Object.fromEntries(Object.entries(all).map(([key, tensor]) => [key, specOf(tensor)])),
      body: (inputs: Readonly<Record<string, tf.Tensor>>) => {
        const pick = Object.fromEntries(Object.keys(trained).map((key) => [key, inputs[key]!]))
        const value = apply(inputs)
        const weights = random(9, ...value.shape)
        const { gradients } = Autodiff.valueAndGradients(
          (parameters) =>
            apply({ ...inputs, ...parameters }).mul(tf.tensor(weights.data as Float32Array, [...weights.shape])).sum(),
          pick
        )
        return { value, ...Object.fromEntries(Object.entries(gradients).map(([key, tensor]) => [`d.${key}`, tensor])) }
      }
    }))
    const out = yield* program.run(all)
    const read: Record<string, ArrayLike<number>> = {}
    for (const [key, handle] of Object.entries(out)) read[key] = (yield* handle.read).data.slice()
    return read
  }).pipe(Effect.scoped)

describe("fused operations", () => {
  for (const one of cases) {
    it.effect(`agree with the plain form and tfjs's own gradient: ${one.name}`, () =>
      Effect.gen(function*() {
        const plain = yield* Effect.provide(outcome(one), backends[1]![1])
        assert.isAbove(Object.keys(plain).length, 1)
        for (const [backend, layer] of backends) {
          const found = yield* Effect.provide(outcome(one), layer)
          for (const [key, expected] of Object.entries(plain)) {
            assert.isBelow(distance(found[key]!, expected), 2e-5, `${key} on ${backend}`)
          }
        }
      }))
  }
})

describe("Attention.packedMask", () => {
  it.effect("shows a position its own segment up to itself", () =>
    Effect.gen(function*() {
      const runtime = yield* TensorRuntime
      const program = yield* runtime.compile(make({
        name: "mask",
        inputs: { segments: { dtype: "int32", shape: [1, "T"] }, positions: { dtype: "int32", shape: [1, "T"] } },
        body: ({ positions, segments }) => ({ mask: Attention.packedMask(segments, positions), unused: segments })
      }))
      const { mask } = yield* program.run({
        segments: hostInt32(Int32Array.of(0, 0, 1), 1, 3),
        positions: hostInt32(Int32Array.of(0, 1, 0), 1, 3)
      })
      assert.deepStrictEqual(
        [...(yield* mask.read).data].map((value) => value === 0),
        [true, false, false, true, true, false, false, false, true]
      )
    }).pipe(Effect.provide(backends[0]![1])))
})

describe("Attention.causal", () => {
  it.effect("is attention whose rows look back only", () =>
    Effect.gen(function*() {
      const one = attention(4, 2, 2, 6)
      const whole = yield* outcome(one)
      const blocks = yield* outcome(cases.find(({ name }) => name.startsWith("causal, "))!)
      assert.isAbove(Object.keys(whole).length, 1)
      for (const [key, expected] of Object.entries(whole)) assert.isBelow(distance(blocks[key]!, expected), 2e-5, key)
    }).pipe(Effect.provide(backends[0]![1])))
})
