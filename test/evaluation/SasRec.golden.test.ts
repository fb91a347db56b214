import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as PublishedNetwork from "../../src/evaluation/baseline/sasrec/PublishedNetwork.ts"
import * as SasRecLoss from "../../src/evaluation/baseline/sasrec/SasRecLoss.ts"
import * as SasRecNetwork from "../../src/evaluation/baseline/sasrec/SasRecNetwork.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"
import { backends } from "../tensor/Backends.ts"

/** Every set of golden numbers has its folders of language-model cases; those with a SASRec are ours. */
const folders = list(golden).filter((set) => list(golden, set, "sasrec").includes("sasrec.model.safetensors"))

describe("MiniOneRec's SASRec", () => {
  if (folders.length === 0) it.skipIf(true)("no case is here", () => {})
  for (const set of folders) {
    const folder = join(golden, set, "sasrec")
    const { hidden: width, itemCount: items, models, sequenceLength: window } = json(folder, "case.json")
    for (const [name, layer] of backends) {
      it.effect(`has the logits, losses and gradients of the original: ${set} on ${name}`, () =>
        Effect.gen(function*() {
          const network = PublishedNetwork.make({ items, width, window }, () => 0)
          const weights = tensors(folder, "sasrec.model.safetensors")
          const expected = tensors(folder, "sasrec.expected.safetensors")
          const shapes = Object.entries(network.parameters).map(([key, { shape }]) => [key, shape])
          assert.deepStrictEqual(Object.fromEntries(shapes), models.SASRec.parameters)

          const whole = (key: string) => Int32Array.from(expected.get(key)!.data as Iterable<number>)
          const [states, lengths] = [whole("states"), whole("lengths")]
          const rows = lengths.length
          const places = Int32Array.from({ length: rows * window }, (_, i) => i % window)
          const runtime = yield* TensorRuntime
          const picked = (inputs: SasRecNetwork.Tensors) =>
            Object.fromEntries(Object.keys(network.parameters).map((key) => [key, inputs[key]!]))
          const program = yield* runtime.compile(make({
            name: "sasrec.golden",
            inputs: {
              ...Object.fromEntries(
                Object.entries(network.parameters).map(([key, { shape }]) => [key, float32(...shape)])
              ),
              tokens: int32("B", "T"),
              positions: int32("B", "T"),
              segments: int32("B", "T"),
              last: int32("M"),
              targets: int32("M"),
              negatives: int32("M")
            },
            body: (inputs: SasRecNetwork.Tensors): SasRecNetwork.Tensors => {
              const input = {
                tokens: inputs["tokens"]!,
                positions: inputs["positions"]!,
                segments: inputs["segments"]!
              }
              const readout = (parameters: SasRecNetwork.Tensors) =>
                network.readout(
                  parameters,
                  tf.gather(network.states(parameters, input), inputs["last"]!) as tf.Tensor2D
                )
              const ce = Autodiff.valueAndGradients(
                (parameters) => SasRecLoss.crossEntropy(readout(parameters), inputs["targets"]!, 0),
                picked(inputs)
              )
              const bce = Autodiff.valueAndGradients(
                (parameters) => SasRecLoss.binary(readout(parameters), inputs["targets"]!, inputs["negatives"]!),
                picked(inputs)
              )
              const gradients = (loss: string, all: SasRecNetwork.Tensors) =>
                Object.fromEntries(Object.entries(all).map(([key, gradient]) => [`grad.${loss}.${key}`, gradient]))
              return {
                logits: SasRecNetwork.logits(network, inputs, input, inputs["last"]!),
                ce: ce.value,
                bce: bce.value,
                ...gradients("ce", ce.gradients),
                ...gradients("bce", bce.gradients)
              }
            }
          }))
          const feeds = {
            ...Object.fromEntries([...weights].map(([key, { data, shape }]) => [
              key,
              hostFloat32(Float32Array.from(data as Iterable<number>), ...shape)
            ])),
            tokens: hostInt32(states, rows, window),
            positions: hostInt32(places, rows, window),
            segments: hostInt32(states.map((item) => item === items ? 1 : 0), rows, window),
            last: hostInt32(lengths.map((length, row) => row * window + length - 1), rows),
            targets: hostInt32(whole("targets"), rows),
            negatives: hostInt32(whole("negatives"), rows)
          }
          const outputs = yield* program.run(feeds)
          const read = (key: string) => Effect.map(outputs[key]!.read, ({ data }) => data)
          const close = Effect.fnUntraced(function*(key: string, tolerance: number) {
            assert.isAtMost(distance(yield* read(key), expected.get(key)!.data as ArrayLike<number>), tolerance, key)
          })
          yield* close("logits", 1e-4)
          assert.approximately((yield* read("ce"))[0]!, models.SASRec.ce, 1e-5)
          assert.approximately((yield* read("bce"))[0]!, models.SASRec.bce, 1e-5)
          const gradients = [...expected.keys()].filter((key) => key.startsWith("grad."))
          assert.strictEqual(gradients.length, 2 * shapes.length)
          for (const key of gradients) yield* close(key, 2e-5)

          const { completions, items: titles, rewards } = models.sasrecReward
          const scores = yield* read("logits")
          const numbers = new Map<string, number>(titles.map((title: string, item: number) => [title, item]))
          const flat: ReadonlyArray<string> = completions.flat()
          const mine = flat.map((text, i) =>
            scores[Math.floor(i * rows / flat.length) * items + numbers.get(text.trim())!]!
          )
          assert.isAtMost(distance(mine, rewards), 1e-4)
        }).pipe(Effect.scoped, Effect.provide(layer)))
    }
  }
})
