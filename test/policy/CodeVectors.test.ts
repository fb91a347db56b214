import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import * as CodeVectors from "../../src/policy/item/CodeVectors.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "../tensor/Backends.ts"

const width = 3

/** Tokens of items whose codes are drawn; the last levels of every third item are the end. */
const tokensOf = (vocabulary: CompactVocabulary.CompactVocabulary, items: number) => {
  const next = Random.uniform(3, items)
  const { sizes } = vocabulary
  return Int32Array.from({ length: items * sizes.length }, (_, i) => {
    const [item, level] = [Math.floor(i / sizes.length), i % sizes.length]
    return item % 3 === 2 && level > item % sizes.length
      ? CompactVocabulary.end
      : CompactVocabulary.token(vocabulary, level, Math.floor(next() * sizes[level]!))
  })
}

const cases: ReadonlyArray<readonly [string, ReadonlyArray<number>, number]> = [
  ["levels of one size", [4, 4], 20],
  ["levels of other sizes", [2, 7, 1, 5], 9],
  ["one level", [3], 5],
  ["one item", [4, 4, 4], 1],
  ["a level wider than products are used for", [2, CodeVectors.widest + 1], 8]
]

for (const [name, sizes, items] of cases) {
  describe(`vectors of codes: ${name}`, () => {
    const offsets = sizes.map((_, level) => 1 + sizes.slice(0, level).reduce((sum, size) => sum + size, 0))
    const size = Math.ceil((offsets.at(-1)! + sizes.at(-1)!) / 8) * 8
    const vocabulary = { size, offsets, sizes, ends: false }
    const tokens = tokensOf(vocabulary, items)
    const normal = Random.normal(5, 0xc0de)
    const table = Float32Array.from({ length: size * width }, normal)
    const pull = Float32Array.from({ length: items * width }, normal)

    it.effect("the sum and its gradient are those of adding row by row", () =>
      Effect.gen(function*() {
        // The gradient of the sum of products with `pull`.
        const [value, gradient] = [new Float64Array(items * width), new Float64Array(size * width)]
        for (let i = 0; i < items; i++) {
          for (let l = 0; l < sizes.length; l++) {
            for (let d = 0; d < width; d++) {
              const row = tokens[i * sizes.length + l]! * width + d
              value[i * width + d]! += table[row]!
              gradient[row]! += pull[i * width + d]!
            }
          }
        }
        for (const [backend, layer] of backends) {
          const found = yield* Effect.gen(function*() {
            const runtime = yield* TensorRuntime
            const program = yield* runtime.compile(make({
              name: "code vectors",
              inputs: {
                table: float32(size, width),
                tokens: int32(items, sizes.length),
                pull: float32(items, width)
              },
              body: ({ pull, table, tokens }: Readonly<Record<string, tf.Tensor>>) => {
                const { gradients } = Autodiff.valueAndGradients(
                  // Tokens that are made in the differentiated function are kept for the gradient.
                  ({ table }) =>
                    CodeVectors.sum(vocabulary, table!, tokens!.add(tf.scalar(0, "int32"))).mul(pull!).sum(),
                  { table: table! }
                )
                return { value: CodeVectors.sum(vocabulary, table!, tokens!), gradient: gradients["table"]! }
              }
            }))
            const out = yield* program.run({
              table: hostFloat32(table, size, width),
              tokens: hostInt32(tokens, items, sizes.length),
              pull: hostFloat32(pull, items, width)
            })
            return {
              value: (yield* out["value"]!.read).data.slice(),
              gradient: (yield* out["gradient"]!.read).data.slice()
            }
          }).pipe(Effect.scoped, Effect.provide(layer))
          assert.isBelow(distance(found.value, value), 1e-6, backend)
          assert.isBelow(distance(found.gradient, gradient), 1e-6, backend)
        }
      }))
  })
}
