import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as Lora from "../../src/policy/lora/Lora.ts"
import * as LoraConfig from "../../src/policy/lora/LoraConfig.ts"
import * as PeftFolder from "../../src/policy/lora/PeftFolder.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"
import { forward, type Inputs, inputsOf, load, maskOf, models, positionsOf } from "./GoldenModel.ts"

const cases = join(golden, "lm", "lora")

const tensorsOf = (
  slots: ReadonlyArray<{ readonly name: string }>,
  weights: Readonly<Record<string, { readonly shape: ReadonlyArray<number>; readonly data: unknown }>>
): Lora.Tensors =>
  new Map(slots.map(({ name }) => {
    const { data, shape } = weights[name]!
    return [name, { dtype: "F32", shape, data: data as Float32Array }]
  }))

/** A case: its adapter read for its base, the rows it was computed on, and a store of all weights. */
const open = Effect.fnUntraced(function*(name: string) {
  const about = json(cases, name, "case.json")
  const { buffer, config } = load(dirname(about.base).split("/").at(-1)!)
  const base = tensorsOf(buffer.slots, buffer.tensors("weights"))
  const adapter = yield* PeftFolder.read(join(cases, name, "adapter"), Object.fromEntries(base))
  const specs = Lora.startingFrom(
    Lora.parameters(adapter.config, Transformer.parameters(config, () => 0), () => 0),
    new Map([...base, ...adapter.tensors])
  )
  const [file, rows] = (about.inputs as string).split(": ") as [string, string]
  const kind = rows.replace(".*", "")
  const inputs = tensors(join(models, ".."), file)
  const ids = (inputs.get(`${kind}.ids`) ?? inputs.get(`${kind}.input_ids`))!
  const present = (inputs.get(`${kind}.attention_mask`) ?? inputs.get(`${kind}.mask`))!.data as Int32Array
  const [batch, length] = ids.shape as [number, number]
  return {
    about,
    adapter,
    base,
    config: new Transformer.DecoderConfig({ ...config, lora: adapter.config }),
    plain: config,
    store: yield* ParameterStore.make(specs),
    expected: tensors(cases, name, "expected.safetensors"),
    labels: inputs.get(`${kind}.labels`)!.data as Int32Array,
    present,
    batch,
    length,
    feeds: {
      tokens: hostInt32(Int32Array.from(ids.data as Int32Array), batch, length),
      positions: positionsOf(batch, length),
      mask: maskOf(present, batch, length)
    }
  }
})

/** The largest difference of logits at the positions that are not padding. */
const logitsApart = (
  { batch, expected, length, present }: {
    readonly batch: number
    readonly length: number
    readonly present: Int32Array
    readonly expected: ReturnType<typeof tensors>
  },
  logits: Float32Array
): number => {
  const want = expected.get("logits")!.data as Float32Array
  const width = want.length / (batch * length)
  let worst = 0
  for (let row = 0; row < batch * length; row++) {
    if (present[row] !== 1) continue
    const [from, to] = [row * width, (row + 1) * width]
    worst = Math.max(worst, distance(logits.subarray(from, to), want.subarray(from, to)))
  }
  return worst
}

const logitsProgram = (config: Transformer.DecoderConfig, inputs: ReturnType<typeof inputsOf>) =>
  make({
    name: "logits",
    inputs,
    body: (x: Inputs) => {
      const { hidden } = forward(config, x, x)
      const head = x[Transformer.headName(config)] as tf.Tensor2D
      return { logits: tf.matMul(hidden as tf.Tensor2D, head, false, true) }
    }
  })

const layer = OnnxRuntime.layerCpu({ threads: 2 })

describe("LoRA against peft", () => {
  if (list(cases).length === 0) it.skipIf(true)("no LoRA case is here", () => {})

  for (const name of list(cases)) {
    it.effect(`computes the scale and the logits: ${name}`, () =>
      Effect.gen(function*() {
        const found = yield* open(name)
        assert.closeTo(LoraConfig.scale(found.adapter.config), found.about.scale, 1e-12)
        const runtime = yield* TensorRuntime
        const program = yield* runtime.compile(logitsProgram(found.config, inputsOf(found.store.buffer)))
        const out = yield* program.run({ ...found.store.buffer.tensors("weights"), ...found.feeds })
        assert.isBelow(logitsApart(found, (yield* out.logits.read).data as Float32Array), 1e-4)
      }).pipe(Effect.scoped, Effect.provide([layer, NodeServices.layer])))

    it.effect(`has the loss and the gradients of A and B, and of nothing else: ${name}`, () =>
      Effect.gen(function*() {
        const { about, batch, config, expected, feeds, labels, length, store } = yield* open(name)
        const runtime = yield* TensorRuntime
        const targets = new Int32Array(batch * length)
        const weights = new Float32Array(batch * length)
        const labelled = Array.from(labels).filter((label, at) => at % length > 0 && label >= 0).length
        for (let b = 0; b < batch; b++) {
          for (let t = 0; t + 1 < length; t++) {
            const label = labels[b * length + t + 1]!
            if (label < 0) continue
            targets[b * length + t] = label
            weights[b * length + t] = 1 / labelled
          }
        }
        const trainable = store.buffer.slots.flatMap((slot) => slot.trainable ? [slot.name] : [])
        const program = yield* runtime.compile(make({
          name: "train",
          inputs: { ...inputsOf(store.buffer), targets: int32("B", "T"), weights: float32("B", "T") },
          body: (x: Inputs) => {
            const { gradients, value } = Autodiff.valueAndGradients((own) => {
              const { hidden } = forward(config, { ...x, ...own }, x)
              const rows = hidden.shape[0]!
              return LinearCrossEntropy.loss(hidden, x[Transformer.headName(config)]!, {
                targets: x["targets"]!.reshape([rows]),
                weights: x["weights"]!.reshape([rows])
              })
            }, Object.fromEntries(trainable.map((key) => [key, x[key]!])))
            return { loss: value, ...gradients }
          }
        }))
        const [out] = yield* store.differentiate(program, [{
          feeds: {
            ...feeds,
            targets: hostInt32(targets, batch, length),
            weights: hostFloat32(weights, batch, length)
          }
        }])
        assert.closeTo((yield* out!["loss"]!.read).data[0]!, about.loss, 1e-5 * Math.max(1, about.loss))
        const wanted = [...expected].filter(([key]) => key.startsWith("grad."))
        assert.sameMembers(trainable, wanted.map(([key]) => key.slice("grad.".length)))
        assert.sameMembers(Object.keys(out!), ["loss", ...trainable])
        for (const [key, { data }] of wanted) {
          const want = data as Float32Array
          const norm = Math.sqrt(want.reduce((sum, g) => sum + g * g, 0))
          const gradient = store.buffer.view("gradients", key.slice("grad.".length))
          assert.isBelow(distance(gradient, want), Math.max(2e-5, 1e-4 * norm), key)
        }
      }).pipe(Effect.scoped, Effect.provide([layer, NodeServices.layer])))

    it.effect(`merges into the base, and out of it again: ${name}`, () =>
      Effect.gen(function*() {
        const found = yield* open(name)
        const { adapter, base, expected, plain, store } = found
        const merged = yield* Lora.merge(adapter.config, base, adapter.tensors)
        const wanted = [...expected].filter(([key]) => key.startsWith("merged."))
        assert.isAbove(wanted.length, 0)
        const changed = new Set(wanted.map(([key]) => key.slice("merged.".length)))
        for (const [key, { data }] of merged) {
          if (changed.has(key)) {
            assert.isBelow(distance(data, expected.get(`merged.${key}`)!.data as Float32Array), 2e-6, key)
            assert.isAbove(distance(data, base.get(key)!.data), 1e-3, key)
          } else assert.strictEqual(distance(data, base.get(key)!.data), 0, key)
        }
        assert.deepStrictEqual([...merged.keys()], [...base.keys()])

        // All weights of a store contain both, and the merged weights alone are a model without adapters.
        const { weights } = yield* store.save
        const again = yield* Lora.merge(adapter.config, weights, weights)
        for (const [key, { data }] of merged) assert.strictEqual(distance(again.get(key)!.data, data), 0, key)
        const runtime = yield* TensorRuntime
        const buffer = yield* ParameterStore.make(Lora.startingFrom(Transformer.parameters(plain, () => 0), merged))
        const program = yield* runtime.compile(logitsProgram(plain, inputsOf(buffer.buffer)))
        const out = yield* program.run({ ...buffer.buffer.tensors("weights"), ...found.feeds })
        assert.isBelow(logitsApart(found, (yield* out.logits.read).data as Float32Array), 1e-4)

        const restored = yield* Lora.unmerge(adapter.config, merged, adapter.tensors)
        for (const [key, { data }] of base) assert.isBelow(distance(restored.get(key)!.data, data), 1e-6, key)
      }).pipe(Effect.scoped, Effect.provide([layer, NodeServices.layer])))

    it.effect(`writes the folder that peft wrote: ${name}`, () =>
      Effect.gen(function*() {
        const { adapter, base } = yield* open(name)
        const fs = yield* FileSystem.FileSystem
        const folder = join(yield* fs.makeTempDirectoryScoped(), "new", "adapter")
        const shapes = Object.fromEntries(base)
        yield* PeftFolder.write(folder, adapter, shapes)
        assert.deepStrictEqual(list(folder), ["adapter_config.json", "adapter_model.safetensors"])
        assert.deepStrictEqual(yield* PeftFolder.read(folder, shapes), adapter)
        const [ours, theirs] = [
          json(folder, "adapter_config.json"),
          json(cases, name, "adapter", "adapter_config.json")
        ]
        for (const [key, value] of Object.entries(ours)) assert.deepStrictEqual(value, theirs[key], key)
        // Their file of float32 has the same bytes: names, order, metadata and values.
        const file = "adapter_model.safetensors"
        if ([...tensors(cases, name, "adapter", file).values()].every(({ dtype }) => dtype === "F32")) {
          const bytes = readFileSync(join(cases, name, "adapter", file))
          assert.isTrue(readFileSync(join(folder, file)).equals(bytes))
        }
      }).pipe(Effect.scoped, Effect.provide([layer, NodeServices.layer])))
  }
})
