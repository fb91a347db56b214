/**
 * Losses, gradients and advantages against MiniOneRec's trainer and TRL's.
 */
import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Advantage from "../../src/grpo/Advantage.ts"
import * as Bnpo from "../../src/objective/loss/Bnpo.ts"
import * as Cispo from "../../src/objective/loss/Cispo.ts"
import * as Dapo from "../../src/objective/loss/Dapo.ts"
import * as DrGrpo from "../../src/objective/loss/DrGrpo.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Gspo from "../../src/objective/loss/Gspo.ts"
import * as Objective from "../../src/objective/Objective.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import { type StoredTensor } from "../../src/storage/Safetensors.ts"
import { masked } from "../../src/tensor/Attention.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { float32, hostFloat32, hostInt32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"
import * as Dense from "./Dense.ts"

const layer = OnnxRuntime.layerCpu({ threads: 2 })

const lm = join(golden, "lm")
/** Every case of every folder of the format: its tensors, and its settings. */
const cases = list(lm).filter((name) => name.startsWith("grpo")).flatMap((folder) => {
  const files = list(lm, folder)
  return files.filter((file) => file.endsWith(".json") && files.includes(file.replace(/\.json$/, ".safetensors")))
    .map((file) => file.replace(/\.json$/, ""))
    .filter((name) => !name.endsWith(".trl"))
    .map((name) => ({ folder: join(lm, folder), name }))
})

const floats = ({ data }: StoredTensor) => Float32Array.from(data as Float32Array)

/** The candidates of a case, drawn as `behaviour` says. */
const denseOf = (stored: ReadonlyMap<string, StoredTensor>, groupSize: number, behaviour: string): Dense.Dense => {
  const { data, shape } = stored.get("completion_mask")!
  const mask = Float32Array.from(data as Int32Array)
  const [count, length] = shape as [number, number]
  const grid = (values: Float32Array) => hostFloat32(values, count, length)
  const nothing = () => hostFloat32(Float32Array.of(0), 1, 1)
  return {
    logProbs: grid(floats(stored.get("policy_logps")!)),
    behaviour: grid(floats(stored.get(behaviour)!)),
    reference: grid(floats(stored.get("reference_logps")!)),
    mask: grid(mask),
    node: hostInt32(new Int32Array(count * length), count, length),
    advantages: hostFloat32(floats(stored.get("advantages")!), count),
    answer: hostFloat32(new Float32Array(count), count),
    nodeLogProbs: nothing(),
    nodeReference: nothing(),
    legal: hostFloat32(Float32Array.of(1), 1, 1),
    visits: hostFloat32(Float32Array.of(count), 1),
    ...Dense.membership(
      Array.from({ length: count / groupSize }, () => groupSize),
      mask.reduce((sum, one) => sum + one, 0)
    )
  }
}

const unclipped = { epsilonLow: Infinity, epsilonHigh: Infinity }

const miniOneRec: Readonly<Record<string, (beta: number) => Objective.GroupObjective>> = {
  grpo: (beta) => GroupRelative.make({ beta, ...unclipped }),
  dapo: (beta) => Dapo.make({ beta, ...unclipped }),
  gspo: (beta) => Gspo.make({ beta, ...unclipped })
}

interface TrlVariant {
  readonly lossType: string
  readonly importanceSamplingLevel: string
  readonly epsilon: number
  readonly epsilonHigh: number
  readonly useBiasCorrectionKl: boolean
  readonly loss: number
  readonly logged: Readonly<Record<string, number>>
}

/** Our objective for a variant of TRL. */
const trl = (variant: TrlVariant, beta: number, maxCompletionLength: number): Objective.GroupObjective => {
  const options = {
    beta,
    weighDivergence: variant.useBiasCorrectionKl,
    epsilonLow: variant.epsilon,
    epsilonHigh: variant.epsilonHigh
  }
  const key = variant.importanceSamplingLevel === "sequence" ? `${variant.lossType}/sequence` : variant.lossType
  switch (key) {
    case "grpo":
      return GroupRelative.make(options)
    case "grpo/sequence":
      return Gspo.make(options)
    case "bnpo":
      return Bnpo.make(options)
    case "dapo":
      return Dapo.make(options)
    case "dr_grpo":
      return DrGrpo.make({ ...options, divisor: maxCompletionLength })
    case "cispo":
      return Cispo.make({ beta, weighDivergence: variant.useBiasCorrectionKl, cap: variant.epsilonHigh })
    default:
      throw new Error(`no objective stands for TRL's ${key}`)
  }
}

/** The decoder behind the policy of a folder, with its weights. */
const policyOf = (folder: string) => {
  const hf = json(folder, "policy", "config.json")
  const config = new Transformer.DecoderConfig({
    vocabulary: hf.vocab_size,
    width: hf.hidden_size,
    layers: hf.num_hidden_layers,
    heads: hf.num_attention_heads,
    keyValueHeads: hf.num_key_value_heads,
    headWidth: hf.head_dim ?? hf.hidden_size / hf.num_attention_heads,
    feedForward: hf.intermediate_size,
    maxPositions: 128,
    ropeTheta: hf.rope_theta ?? hf.rope_parameters.rope_theta,
    attentionBias: hf.model_type === "qwen2",
    queryKeyNorm: hf.model_type === "qwen3",
    tied: hf.tie_word_embeddings === true,
    epsilon: hf.rms_norm_eps
  })
  const buffer = ParameterBuffer.make(Transformer.parameters(config, () => 0))
  const stored = new Map(
    [...tensors(folder, "policy", "model.safetensors")].map(([key, { data, shape }]) =>
      [key, { shape, data: data as Float32Array }] as const
    )
  )
  assert.isUndefined(ParameterBuffer.load(buffer, "weights", stored))
  return { config, buffer }
}

/** The gradient of an objective by the parameters of the policy, through its forward pass over prompts and completions. */
const parameterGradients = Effect.fnUntraced(function*(
  folder: string,
  stored: ReadonlyMap<string, StoredTensor>,
  objective: Objective.GroupObjective,
  dense: Dense.Dense
) {
  const { buffer, config } = policyOf(folder)
  const runtime = yield* TensorRuntime
  const part = (name: string) => ({ of: stored.get(name)!.data as Int32Array, width: stored.get(name)!.shape[1]! })
  const [prompt, completion] = [part("prompt_ids"), part("completion_ids")]
  const [promptMask, completionMask] = [part("prompt_mask"), part("completion_mask")]
  const rows = stored.get("prompt_ids")!.shape[0]!
  const [before, length] = [prompt.width, prompt.width + completion.width]
  const tokens = new Int32Array(rows * length)
  const present = new Int32Array(rows * length)
  const mask = new Float32Array(rows * length * length).fill(masked)
  const steps = new Int32Array(rows * completion.width)
  for (let b = 0; b < rows; b++) {
    for (let t = 0; t < length; t++) {
      const [ids, ones, at] = t < before
        ? [prompt, promptMask, b * before + t]
        : [completion, completionMask, b * completion.width + t - before]
      tokens[b * length + t] = ids.of[at]!
      present[b * length + t] = ones.of[at]!
      for (let s = 0; s <= t; s++) {
        if (present[b * length + s] === 1 || s === t) mask[(b * length + t) * length + s] = 0
      }
    }
    for (let l = 0; l < completion.width; l++) {
      const row = b * completion.width + l
      steps[row] = row * config.vocabulary + completion.of[row]!
    }
  }
  const feeds = {
    ...dense,
    ...Object.fromEntries(
      Object.entries(objective.scalars).map(([name, value]) => [`scalar.${name}`, hostFloat32(Float32Array.of(value))])
    ),
    tokens: hostInt32(tokens, rows, length),
    positions: hostInt32(Int32Array.from({ length: rows * length }, (_, i) => i % length), rows, length),
    attention: hostFloat32(mask, rows, 1, length, length),
    predictors: hostInt32(
      Int32Array.from(
        { length: rows * completion.width },
        (_, i) => Math.floor(i / completion.width) * length + before - 1 + i % completion.width
      ),
      rows * completion.width
    ),
    taken: hostInt32(steps, rows * completion.width)
  }
  const program = yield* runtime.compile(make({
    name: "parameters",
    inputs: {
      ...Object.fromEntries(Object.entries(feeds).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
      ...Object.fromEntries(buffer.slots.map((slot) => [slot.name, float32(...slot.shape)]))
    },
    body: (x: Readonly<Record<string, tf.Tensor>>) => {
      const { gradients, value } = Autodiff.valueAndGradients((weights) => {
        const { hidden } = Transformer.forward(config, weights, {
          tokens: x["tokens"]!,
          positions: x["positions"]!,
          mask: x["attention"]!
        })
        const predicting = tf.gather(hidden, x["predictors"]!) as tf.Tensor2D
        const head = weights[Transformer.headName(config)] as tf.Tensor2D
        const table = tf.logSoftmax(tf.matMul(predicting, head, false, true)).reshape([-1])
        const logProbs = tf.gather(table, x["taken"]!).reshape([rows, completion.width]).mul(x["mask"]!)
        return Objective.evaluate(
          objective,
          Dense.groupTensors({ ...x, logProbs }),
          Object.fromEntries(Object.keys(objective.scalars).map((name) => [name, x[`scalar.${name}`]!]))
        ).loss
      }, Object.fromEntries(buffer.slots.map((slot) => [slot.name, x[slot.name]!])))
      return { loss: value, ...Object.fromEntries(Object.entries(gradients).map(([name, g]) => [`d.${name}`, g])) }
    }
  }))
  const outputs = yield* program.run({ ...feeds, ...buffer.tensors("weights") })
  const found = new Map<string, Float32Array>()
  for (const { name } of buffer.slots) {
    found.set(name, (yield* outputs[`d.${name}` as keyof typeof outputs]!.read).data as Float32Array)
  }
  return { loss: (yield* outputs.loss.read).data[0]!, gradients: found }
}, Effect.scoped)

const checkParameters = Effect.fnUntraced(function*(
  folder: string,
  file: string,
  stored: ReadonlyMap<string, StoredTensor>,
  objective: Objective.GroupObjective,
  dense: Dense.Dense,
  loss: number
) {
  if (!list(folder).includes(file)) return
  const found = yield* parameterGradients(folder, stored, objective, dense)
  assert.closeTo(found.loss, loss, 1e-5)
  for (const [name, want] of tensors(folder, file)) {
    const data = want.data as Float32Array
    const norm = Math.sqrt(data.reduce((sum, g) => sum + g * g, 0))
    assert.isBelow(distance(found.gradients.get(name)!, data), Math.max(2e-5, 1e-4 * norm), name)
  }
})

describe("objectives against MiniOneRec and TRL", () => {
  if (cases.length === 0) it.skipIf(true)("no case of the losses is here", () => {})

  for (const { folder, name } of cases) {
    const settings = json(folder, `${name}.json`)
    const stored = tensors(folder, `${name}.safetensors`)
    const count = stored.get("rewards")!.shape[0]!
    const size: number = settings.numGenerations

    for (const [variant, loss] of Object.entries<number>(settings.minionerec.losses)) {
      it.effect(`MiniOneRec's ${variant}: ${name}`, () =>
        Effect.gen(function*() {
          const objective = miniOneRec[variant]!(settings.beta)
          const dense = denseOf(stored, size, "policy_logps")
          const found = yield* Dense.run(objective, dense)
          assert.closeTo(found.loss, loss, 1e-5)
          assert.isBelow(distance(found.byStep, floats(stored.get(`minionerec.${variant}.dloss_dlogp`)!)), 2e-6)
          assert.strictEqual(found.terms["clipped"], 0)
          yield* checkParameters(
            folder,
            `${name}.grad-minionerec-${variant}.safetensors`,
            stored,
            objective,
            dense,
            loss
          )
        }).pipe(Effect.provide(layer)), 240_000)
    }

    if (list(folder).includes(`${name}.trl.json`)) {
      const { beta, maxCompletionLength, variants } = json(folder, `${name}.trl.json`)
      const derived = tensors(folder, `${name}.trl.safetensors`)
      for (const [variant, expected] of Object.entries<TrlVariant>(variants)) {
        it.effect(`TRL's ${variant}: ${name}`, () =>
          Effect.gen(function*() {
            const objective = trl(expected, beta, maxCompletionLength)
            const dense = denseOf(stored, size, "old_logps")
            const found = yield* Dense.run(objective, dense)
            assert.closeTo(found.loss, expected.loss, 1e-5)
            assert.isBelow(distance(found.byStep, floats(derived.get(`trl.${variant}.dloss_dlogp`)!)), 2e-6)
            const { logged } = expected
            assert.closeTo(found.terms["kl"]!, logged["kl"]!, 1e-5)
            assert.closeTo(
              found.terms["clipped"]!,
              logged["clip_ratio/region_mean"] ?? logged["cispo_clip_ratio"]!,
              1e-5
            )
            yield* checkParameters(
              folder,
              `${name}.grad-trl-${variant}.safetensors`,
              stored,
              objective,
              dense,
              expected.loss
            )
          }).pipe(Effect.provide(layer)), 240_000)
      }
    }

    it(`advantages: ${name}`, () => {
      const perFunction = floats(stored.get("rewards_per_function")!)
      const functions = perFunction.length / count
      const totals = floats(stored.get("rewards")!)
      const groups = Array.from({ length: count / size }, (_, g) => ({
        total: totals.subarray(g * size, (g + 1) * size),
        parts: Object.fromEntries(Array.from({ length: functions }, (_, f) => [
          `reward${f}`,
          Float32Array.from({ length: size }, (_, c) => perFunction[(g * size + c) * functions + f]!)
        ]))
      }))
      const modes = { group: "group", batch: "batch", none: "centred", normalize_then_sum: "per-reward" } as const
      for (const [theirs, mode] of Object.entries(modes)) {
        const found = Advantage.ofRewards(groups, { mode }).flatMap((group) => [...group])
        assert.isBelow(distance(found, floats(stored.get(`advantages.${theirs}`)!)), 2e-5, theirs)
      }
    })
  }
})
