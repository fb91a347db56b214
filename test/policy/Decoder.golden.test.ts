import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { type TensorHandle, TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance, json, list, tensors } from "../Golden.ts"
import { forward, type Inputs, inputsOf, maskOf, models, positionsOf } from "./GoldenModel.ts"

const layer = OnnxRuntime.layerCpu({ threads: 2 })

const load = Effect.fnUntraced(function*(name: string) {
  const folder = yield* CheckpointFolder.open(join(models, name, "hf"), { positions: 128 })
  return { config: folder.config.decoder, buffer: ParameterBuffer.make(CheckpointFolder.parameters(folder)) }
}, Effect.provide(NodeServices.layer))

describe("Decoder against transformers", () => {
  if (list(models).length === 0) it.skipIf(true)("no model case is here", () => {})

  for (const name of list(models)) {
    it.effect(`computes logits and hidden states: ${name}`, () =>
      Effect.gen(function*() {
        const { buffer, config } = yield* load(name)
        const runtime = yield* TensorRuntime
        const expected = tensors(models, name, "forward.safetensors")
        const program = yield* runtime.compile(make({
          name: "forward",
          inputs: inputsOf(buffer),
          body: (x: Inputs) => {
            const { hidden, states } = forward(config, x, x)
            const logits = tf.matMul(hidden as tf.Tensor2D, x[Transformer.headName(config)] as tf.Tensor2D, false, true)
            return { logits, hidden, ...Object.fromEntries(states.map((state, l) => [`state.${l}`, state])) }
          }
        }))
        for (const kind of ["unpadded", "left", "right"]) {
          const ids = expected.get(`${kind}.ids`) ?? expected.get(`${kind}.input_ids`)
          if (ids === undefined) continue
          const [batch, length] = ids.shape as [number, number]
          const attention = expected.get(`${kind}.attention_mask`) ?? expected.get(`${kind}.mask`)
          const present = attention?.data as Int32Array | undefined ?? new Int32Array(batch * length).fill(1)
          const out = yield* program.run({
            ...buffer.tensors("weights"),
            tokens: hostInt32(Int32Array.from(ids.data as Int32Array), batch, length),
            positions: positionsOf(batch, length),
            mask: maskOf(present, batch, length)
          })
          const compare = Effect.fnUntraced(function*(key: string, output: string, tolerance: number) {
            const want = expected.get(`${kind}.${key}`)
            if (want === undefined) return
            const got = (yield* (out as Readonly<Record<string, TensorHandle>>)[output]!.read).data as Float32Array
            const width = want.shape.at(-1)!
            const kept = want.shape[1]!
            let worst = 0
            for (let b = 0; b < batch; b++) {
              for (let t = 0; t < kept; t++) {
                const at = length - kept + t
                if (present[b * length + at] !== 1) continue
                worst = Math.max(
                  worst,
                  distance(
                    got.subarray((b * length + at) * width, (b * length + at + 1) * width),
                    (want.data as Float32Array).subarray((b * kept + t) * width, (b * kept + t + 1) * width)
                  )
                )
              }
            }
            assert.isBelow(worst, tolerance, `${kind}.${key}`)
          })
          yield* compare("logits", "logits", 1e-4)
          yield* compare("hidden.embed", "state.0", 1e-4)
          for (let l = 0; l < config.layers; l++) yield* compare(`hidden.layer${l}`, `state.${l + 1}`, 1e-4)
          yield* compare("hidden.final_norm", "hidden", 1e-4)
        }
      }).pipe(Effect.provide(layer)))

    it.effect(`trains as torch does: loss, every gradient, three AdamW steps: ${name}`, () =>
      Effect.gen(function*() {
        const { buffer, config } = yield* load(name)
        const runtime = yield* TensorRuntime
        const { loss: wantedLoss, train } = json(models, name, "case.json")
        const batchTensors = tensors(models, name, "forward.safetensors")
        const expected = tensors(models, name, "train.safetensors")
        const ids = (batchTensors.get("left.ids") ?? batchTensors.get("left.input_ids"))!
        const present = (batchTensors.get("left.attention_mask") ?? batchTensors.get("left.mask"))!.data as Int32Array
        const labels = (batchTensors.get("left.labels"))!.data as Int32Array
        const [batch, length] = ids.shape as [number, number]
        const targets = new Int32Array(batch * length)
        const weights = new Float32Array(batch * length)
        for (let b = 0; b < batch; b++) {
          for (let t = 0; t + 1 < length; t++) {
            const label = labels[b * length + t + 1]!
            if (label < 0) continue
            targets[b * length + t] = label
            weights[b * length + t] = 1 / wantedLoss.labelledTokens
          }
        }
        const program = yield* runtime.compile(make({
          name: "train",
          inputs: { ...inputsOf(buffer), targets: int32("B", "T"), weights: float32("B", "T") },
          body: (x: Inputs) => {
            const parameters = Object.fromEntries(buffer.slots.map((slot) => [slot.name, x[slot.name]!]))
            const { gradients, value } = Autodiff.valueAndGradients((w) => {
              const { hidden } = forward(config, w, x)
              const rows = hidden.shape[0]!
              return LinearCrossEntropy.loss(hidden, w[Transformer.headName(config)]!, {
                targets: x["targets"]!.reshape([rows]),
                weights: x["weights"]!.reshape([rows])
              })
            }, parameters)
            return { loss: value, ...gradients }
          }
        }))
        const decaysAll = train !== undefined && train.noDecay.length === 0
        const optimizer = train === undefined ? undefined : new AdamW.AdamWConfig({
          beta1: train.betas[0],
          beta2: train.betas[1],
          epsilon: train.eps,
          weightDecay: train.weightDecay,
          maxGradientNorm: train.maxGradNorm,
          averaging: 0
        })
        const steps = train === undefined ? 1 : train.paramsSavedAfterSteps as number
        for (let step = 0; step < steps; step++) {
          const out = yield* program.run({
            ...buffer.tensors("weights"),
            tokens: hostInt32(Int32Array.from(ids.data as Int32Array), batch, length),
            positions: positionsOf(batch, length),
            mask: maskOf(present, batch, length),
            targets: hostInt32(targets, batch, length),
            weights: hostFloat32(weights, batch, length)
          }, buffer.views("gradients"))
          const loss = train === undefined ? wantedLoss.mean : train.log[step].loss
          assert.closeTo((yield* out["loss"]!.read).data[0]!, loss, 1e-5 * Math.max(1, loss))
          for (const [prefix, at] of [["grad.", 0], ["grad_step2.", 2]] as const) {
            if (at !== step) continue
            for (const slot of buffer.slots) {
              const want = expected.get(`${prefix}${slot.name}`)!.data as Float32Array
              const norm = Math.sqrt(want.reduce((sum, g) => sum + g * g, 0))
              assert.isBelow(
                distance(buffer.view("gradients", slot.name), want),
                Math.max(2e-5, 1e-4 * norm),
                slot.name
              )
            }
          }
          if (optimizer === undefined) return
          const learningRate = train.log[step].lr
          const before = buffer.flat("weights").slice()
          AdamW.apply(buffer, optimizer, step + 1, learningRate)
          if (decaysAll) {
            for (const slot of buffer.slots.filter((candidate) => candidate.offset >= buffer.decaying)) {
              buffer.view("weights", slot.name).forEach((_, i, all) => {
                all[i] = all[i]! - learningRate * train.weightDecay * before[slot.offset + i]!
              })
            }
          }
        }
        for (const slot of buffer.slots) {
          const want = expected.get(`after3.${slot.name}`)!.data as Float32Array
          assert.isBelow(distance(buffer.view("weights", slot.name), want), 5e-5, slot.name)
        }
      }).pipe(Effect.provide(layer)))
  }
})
