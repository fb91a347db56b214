/**
 * RQ-VAE beside MiniOneRec's module, on every backend.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import * as Adagrad from "../../src/optimizer/Adagrad.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as Optimizer from "../../src/optimizer/Optimizer.ts"
import * as RmsProp from "../../src/optimizer/RmsProp.ts"
import * as KMeans from "../../src/sid/clustering/KMeans.ts"
import * as RqVaeModel from "../../src/sid/rqvae/RqVaeModel.ts"
import * as Network from "../../src/sid/rqvae/RqVaeNetwork.ts"
import * as RqVaeTrainer from "../../src/sid/rqvae/RqVaeTrainer.ts"
import { type StoredTensor } from "../../src/storage/Safetensors.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { hostFloat32, hostInt32, make, type TensorSpec } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"
import { backends } from "../tensor/Backends.ts"

/** Where the cases are. */
export const folder = join(golden, "sid")
/** The folder of a kind of cases. */
export const kindOf = (suffix: string) => list(folder).find((name) => name.endsWith(suffix)) ?? ""
const casesOf = (suffix: string) =>
  kindOf(suffix) === ""
    ? []
    : list(folder, kindOf(suffix)).flatMap((file) => file.endsWith(".json") ? [file.slice(0, -5)] : [])

/** Values of a tensor. */
export const numbers = (tensor: StoredTensor | undefined): ArrayLike<number> => tensor!.data as Float32Array

/** The learners of MiniOneRec: decay on every parameter, coupled but for AdamW. */
const learner = (name: string, decay: number): Optimizer.Optimizer => {
  const coupled = Optimizer.decayWeights(decay, () => true)
  const clip = Optimizer.clipByGlobalNorm(1)
  const chains: Record<string, ReadonlyArray<Optimizer.Transform>> = {
    AdamW: [Adam.scaleByAdam(0.9, 0.999, 1e-8), coupled],
    Adam: [coupled, Adam.scaleByAdam(0.9, 0.999, 1e-8)],
    SGD: [coupled],
    Adagrad: [coupled, Adagrad.scaleByAdagrad()],
    RMSprop: [coupled, RmsProp.scaleByRms()]
  }
  return Optimizer.of(Optimizer.chain(clip, ...chains[name]!, Optimizer.scaleByRate()))
}

/** The cases that are wanted, by their number and that of the backend. */
export const agrees = (isTried: (number: number, backend: number) => boolean): void => {
  describe("RQ-VAE against MiniOneRec's module", () => {
    const cases = ["-rqvae", "-rqkmeans-plus"].flatMap((suffix) =>
      casesOf(suffix).filter((name) => list(folder, kindOf(suffix)).includes(`${name}.safetensors`)).map((name) =>
        [kindOf(suffix), name] as const
      )
    )
    if (cases.length === 0) it.skipIf(true)("no RQ-VAE case is here", () => {})
    for (const [n, [kind, name]] of cases.entries()) {
      const info = json(folder, kind, `${name}.json`)
      const all = tensors(folder, kind, `${name}.safetensors`)
      // RQ-KMeans+ is the same network with an encoder that adds to its input, and MiniOneRec's settings.
      const c = {
        steps: info.steps.length,
        learner: "AdamW",
        weight_decay: 0,
        lr_scheduler_type: "constant",
        bn: false,
        loss_type: "mse",
        quant_loss_weight: 1,
        sk_epsilons: [],
        sk_iters: 50,
        kmeans_init: false,
        ...info.config
      }
      const config = Schema.decodeSync(RqVaeModel.RqVaeConfig)({
        network: {
          layers: c.layers,
          width: c.e_dim,
          codes: c.num_emb_list,
          batchNorm: c.bn,
          reconstruction: c.loss_type,
          beta: c.beta,
          quantWeight: c.quant_loss_weight,
          skip: kind.endsWith("-plus") ? "encoder" : "none"
        },
        learningRate: c.lr,
        weightDecay: c.weight_decay,
        decay: c.lr_scheduler_type,
        sinkhorn: c.sk_epsilons,
        sinkhornIterations: c.sk_iters
      })
      const { network } = config
      const batchAt = (step: number): Matrix => {
        const size = c.batch * c.in_dim
        const x = all.get("x")!.data as Float32Array
        return { rows: c.batch, width: c.in_dim, data: x.slice(step * size, (step + 1) * size) }
      }
      const put = (rqVae: RqVaeModel.RqVae, prefix: string) => {
        for (const slot of rqVae.store.buffer.slots) {
          rqVae.store.buffer.view("weights", slot.name).set(numbers(all.get(`${prefix}.${slot.name}`)))
        }
        for (const [norm, { mean, variance }] of rqVae.statistics) {
          mean.set(numbers(all.get(`${prefix}.${norm}.running_mean`)))
          variance.set(numbers(all.get(`${prefix}.${norm}.running_var`)))
        }
        return rqVae.store.push
      }
      const cluster: RqVaeModel.Cluster = (residual, level) =>
        Effect.scoped(Effect.gen(function*() {
          const { data, shape } = all.get(`kmeans${level}.init`)!
          const start = { rows: shape[0]!, width: shape[1]!, data: Float32Array.from(data as Float32Array) }
          const options = { maximumIterations: c.kmeans_iters, tolerance: 1e-4 }
          return (yield* KMeans.lloyd(yield* KMeans.assigner, residual, start, options)).centres
        })).pipe(Effect.provide(backends[0]![1]))
      // Fresh centres have gradients of rounding noise, which the optimizer's first steps make large.
      const looser = c.kmeans_init ? 20 : 1

      for (const [b, [backend, layer]] of backends.entries()) {
        if (!isTried(n, b)) continue
        it.effect(`${name}: forward, losses, gradients on ${backend}`, () =>
          Effect.gen(function*() {
            const runtime = yield* TensorRuntime
            const rqVae = yield* RqVaeModel.make(config, c.in_dim, 1)
            yield* put(rqVae, "before")
            if (c.kmeans_init) yield* rqVae.begin(batchAt(0), cluster)
            const { buffer } = rqVae.store
            const codes = all.get("codes")!.data as Int32Array
            const L = network.codes.length
            const program = yield* runtime.compile(make({
              name: "rqvae.golden",
              inputs: {
                ...Object.fromEntries(buffer.slots.map((slot): [string, TensorSpec] => [
                  slot.name,
                  { dtype: "float32", shape: slot.shape }
                ])),
                "(x)": { dtype: "float32", shape: ["B", c.in_dim] },
                ...Object.fromEntries(network.codes.map((_, l): [string, TensorSpec] => [
                  `(given)${l}`,
                  { dtype: "int32", shape: ["B"] }
                ]))
              },
              body: (x: Readonly<Record<string, tf.Tensor>>) => {
                const weights = Object.fromEntries(buffer.slots.map((slot) => [slot.name, x[slot.name]!]))
                const given = Object.fromEntries(
                  network.codes.flatMap((_, l) => (c.sk_epsilons[l] > 0 ? [[l, x[`(given)${l}`]!]] : []))
                )
                const { auxiliary, gradients } = Autodiff.withAuxiliary((weights) => {
                  const out = Network.forward(network, weights, x["(x)"]!, { given })
                  return {
                    loss: out.loss,
                    auxiliary: {
                      encoder_out: out.encoded,
                      z_q: out.latent,
                      recon: out.decoded,
                      loss_total: out.loss,
                      loss_recon: out.reconstructionLoss,
                      loss_quant: out.quantLoss,
                      ...Object.fromEntries(out.levels.flatMap((level, l) => [
                        [`level${l}.residual`, level.residual],
                        [`level${l}.distances`, level.distances],
                        [`level${l}.quantized`, level.quantized],
                        [`level${l}.straight_through`, level.straightThrough],
                        [`level${l}.loss`, level.loss],
                        [`(codes)${l}`, level.codes]
                      ]))
                    }
                  }
                }, weights)
                return {
                  ...auxiliary,
                  ...Object.fromEntries(Object.entries(gradients).map(([key, value]) => [`grad.${key}`, value]))
                }
              }
            }))
            const first = batchAt(0)
            const outputs = yield* program.run({
              ...buffer.tensors("weights"),
              "(x)": hostFloat32(first.data, first.rows, first.width),
              ...Object.fromEntries(network.codes.map((_, l) => [
                `(given)${l}`,
                hostInt32(Int32Array.from({ length: c.batch }, (_, r) => codes[r * L + l]!), c.batch)
              ]))
            })
            for (const [key, handle] of Object.entries(outputs)) {
              const found = (yield* handle.read).data
              if (key.startsWith("(codes)")) {
                const l = Number(key.slice(7))
                assert.deepStrictEqual([...found], Array.from({ length: c.batch }, (_, r) => codes[r * L + l]!), key)
                continue
              }
              if (!all.has(key)) continue
              const expected = numbers(all.get(key))
              const scale = Math.max(1, ...Array.from(expected, Math.abs))
              const limit = key.startsWith("grad.") ? 1e-6 : 2e-5 * scale
              assert.isBelow(distance(found, expected), limit * looser, key)
            }
          }).pipe(Effect.scoped, Effect.provide(layer)))
      }

      for (const [b, [backend, layer]] of backends.slice(0, 2).entries()) {
        if (!isTried(n, b)) continue
        it.effect(`${name}: ${c.steps} steps of ${c.learner} on ${backend}`, () =>
          Effect.gen(function*() {
            const rqVae = yield* RqVaeModel.make(config, c.in_dim, 1)
            yield* put(rqVae, "before")
            if (all.has("before_eval_codes") && !c.kmeans_init) {
              const { codes } = yield* rqVae.encode(batchAt(0))
              assert.deepStrictEqual([...codes], [...all.get("before_eval_codes")!.data as Int32Array])
            }
            if (c.kmeans_init) yield* rqVae.begin(batchAt(0), cluster)
            const optimizer = learner(c.learner, c.weight_decay)
            const [warmup, total] = [c.warmup_epochs * c.batches_per_epoch, c.epochs * c.batches_per_epoch]
            for (const [step, expected] of info.steps.entries()) {
              const rate = c.warmup_epochs === undefined
                ? expected.lr
                : RqVaeTrainer.rateAt(config, step, warmup, total)
              if (c.warmup_epochs !== undefined) assert.approximately(rate, expected.lr, 1e-12)
              const report = yield* rqVae.step(batchAt(step), optimizer, rate)
              assert.approximately(report.loss, expected.loss_total, 2e-5 * looser)
              assert.approximately(report.reconstructionLoss, expected.loss_recon, 2e-5 * looser)
              if (expected.grad_norm_before_clip !== undefined) {
                assert.approximately(report.gradientNorm, expected.grad_norm_before_clip, 2e-5 * looser)
              }
              const codes = all.get(`step${step}.codes`) ?? (step === 0 ? all.get("codes") : undefined)
              if (codes === undefined) continue
              assert.deepStrictEqual([...report.codes.codes], [...codes.data as Int32Array], `codes of step ${step}`)
            }
            const noise = info.parameters_whose_update_is_rounding_noise ?? {}
            for (const slot of rqVae.store.buffer.slots) {
              if (slot.name in noise) continue
              assert.isBelow(
                distance(rqVae.store.buffer.view("weights", slot.name), numbers(all.get(`after.${slot.name}`))),
                3e-6 * looser,
                slot.name
              )
            }
            for (const [norm, { mean, variance }] of rqVae.statistics) {
              if (!(`${norm}.running_mean` in noise)) {
                assert.isBelow(distance(mean, numbers(all.get(`after.${norm}.running_mean`))), 1e-5, norm)
              }
              assert.isBelow(distance(variance, numbers(all.get(`after.${norm}.running_var`))), 1e-5, norm)
            }
            if (all.has("after_eval_codes") && Object.keys(noise).length === 0) {
              const { codes } = yield* rqVae.encode(batchAt(0))
              assert.deepStrictEqual([...codes], [...all.get("after_eval_codes")!.data as Int32Array])
              const decoded = yield* rqVae.decode({ codes, levels: network.codes.length })
              if (all.has("after_eval_recon")) {
                assert.isBelow(distance(decoded.data, numbers(all.get("after_eval_recon"))), 2e-5)
              }
            }
          }).pipe(Effect.scoped, Effect.provide(layer)))
      }
    }
  })
}
