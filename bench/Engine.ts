/**
 * The engine: one training step of a decoder, its compilation, and the machine's matrix product as the roof.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as Decoder from "../src/policy/Decoder.ts"
import * as AdamW from "../src/tensor/AdamW.ts"
import * as Attention from "../src/tensor/Attention.ts"
import * as Autodiff from "../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../src/tensor/LinearCrossEntropy.ts"
import * as ParameterBuffer from "../src/tensor/ParameterBuffer.ts"
import * as Random from "../src/tensor/Random.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Benchmark, type Prepared } from "./Benchmark.ts"
import * as Scoped from "./Scoped.ts"

/** Layers, heads and width of the gated unit by model width, as the peers have them. */
export const sizes: Readonly<Record<number, readonly [number, number, number]>> = {
  128: [4, 4, 344],
  256: [6, 4, 688],
  384: [8, 6, 1024]
}

const vocabulary = 1024

/** The decoder of a width. */
export const decoder = (width: number): Decoder.DecoderConfig => {
  const [layers, heads, feedForward] = sizes[width]!
  return new Decoder.DecoderConfig({
    vocabulary,
    width,
    layers,
    heads,
    keyValueHeads: heads,
    headWidth: width / heads,
    feedForward,
    maxPositions: 1024,
    ropeTheta: 10_000,
    attentionBias: false,
    queryKeyNorm: false,
    tied: true,
    epsilon: 1e-6
  })
}

/** Floating-point operations of a training step: blocks, head, causal half of attention. */
const flops = (width: number, batch: number, length: number): number => {
  const [layers, , feedForward] = sizes[width]!
  const tokens = batch * length
  return 6 * layers * (4 * width ** 2 + 3 * width * feedForward) * tokens + 6 * vocabulary * width * tokens +
    6 * layers * width * length * (length + 1) * batch
}

const trainProgram = (
  config: Decoder.DecoderConfig,
  buffer: ParameterBuffer.ParameterBuffer,
  length: number
) =>
  make({
    name: "bench.step",
    inputs: {
      ...Object.fromEntries(buffer.slots.map((slot) => [slot.name, float32(...slot.shape)])),
      tokens: int32("B", length),
      positions: int32("B", length),
      segments: int32("B", length),
      targets: int32("B", length),
      weights: float32("B", length)
    },
    body: (x: Readonly<Record<string, tf.Tensor>>) => {
      const parameters = Object.fromEntries(buffer.slots.map((slot) => [slot.name, x[slot.name]!]))
      const { gradients, value } = Autodiff.valueAndGradients((w) => {
        const { hidden } = Decoder.forward(config, w, {
          tokens: x["tokens"]!,
          positions: x["positions"]!,
          mask: Attention.packedMask(x["segments"]!, x["positions"]!),
          causalBlocks: Decoder.causalBlocks(length)
        })
        const rows = hidden.shape[0]!
        return LinearCrossEntropy.loss(hidden, w[Decoder.headName(config)]!, {
          targets: x["targets"]!.reshape([rows]),
          weights: x["weights"]!.reshape([rows])
        })
      }, parameters)
      return { loss: value, ...gradients }
    }
  })

/** A training step that can also be run under onnxruntime's profiler. */
export interface StepBenchmark extends Benchmark {
  readonly profiled: (profile: string) => Promise<Prepared>
}

const step = (suffix: string, width: number, batch: number, length: number): StepBenchmark => ({
  name: `engine.step.${suffix}`,
  repeats: 10,
  warmup: 3,
  peer: {
    script: "lm_train_step.py",
    environment: "current",
    args: ["--d", String(width), "--batch", String(batch), "--seq", String(length), "--repeats", "10"]
  },
  prepare: () => prepareStep(width, batch, length),
  profiled: (profile) => prepareStep(width, batch, length, profile)
})

const prepareStep = async (width: number, batch: number, length: number, profile?: string): Promise<Prepared> => {
  const engine = await Scoped.open(OnnxRuntime.layerCpu({ threads: 2, profile }))
  const config = decoder(width)
  const buffer = ParameterBuffer.make(Decoder.parameters(config, Random.normal(1)))
  const executable = await engine.run(
    Effect.flatMap(TensorRuntime, (runtime) => runtime.compile(trainProgram(config, buffer, length)))
  )
  const next = Random.uniform(2)
  const ids = Int32Array.from({ length: batch * length }, () => Math.floor(next() * vocabulary))
  const optimizer = new AdamW.AdamWConfig({
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradientNorm: 1e9,
    averaging: 0
  })
  const feeds = {
    ...buffer.tensors("weights"),
    tokens: hostInt32(ids, batch, length),
    positions: hostInt32(Int32Array.from(ids, (_, i) => i % length), batch, length),
    segments: hostInt32(new Int32Array(ids.length), batch, length),
    targets: hostInt32(ids.map((id) => (id * 7 + 3) % vocabulary), batch, length),
    weights: hostFloat32(new Float32Array(ids.length).fill(1 / ids.length), batch, length)
  }
  const into = buffer.views("gradients")
  let steps = 0
  return {
    work: {
      d: width,
      layers: config.layers,
      batch,
      seq: length,
      vocab: vocabulary,
      nodes: executable.nodes,
      threads: 2
    },
    amount: batch * length,
    unit: "tokens/s",
    flops: flops(width, batch, length),
    run: async () => {
      await engine.run(Effect.scoped(executable.run(feeds, into).pipe(Effect.flatMap((out) => out["loss"]!.read))))
      AdamW.apply(buffer, optimizer, ++steps, 1e-3)
    },
    close: engine.close
  }
}

/** The training steps. */
export const steps: ReadonlyArray<StepBenchmark> = [
  step("d128", 128, 32, 64),
  step("d256", 256, 32, 64),
  step("d384", 384, 32, 64),
  step("d256-long", 256, 8, 256)
]

const compile: Benchmark = {
  name: "engine.compile.d256",
  repeats: 3,
  warmup: 1,
  prepare: async () => {
    const config = decoder(256)
    const buffer = ParameterBuffer.make(Decoder.parameters(config, Random.normal(1)))
    let nodes = 0
    return {
      work: {
        d: 256,
        layers: config.layers,
        get nodes() {
          return nodes
        }
      },
      amount: 1,
      unit: "graphs/s",
      run: async () => {
        const engine = await Scoped.open(OnnxRuntime.layerCpu({ threads: 2 }))
        const { nodes: count } = await engine.run(
          Effect.flatMap(TensorRuntime, (runtime) => runtime.compile(trainProgram(config, buffer, 64)))
        )
        nodes = count
        await engine.close()
      },
      close: async () => {}
    }
  }
}

const roof: Benchmark = {
  name: "engine.roof",
  repeats: 20,
  warmup: 5,
  prepare: async () => {
    const engine = await Scoped.open(OnnxRuntime.layerCpu({ threads: 2 }))
    const [m, k, n] = [2048, 2048, 2048]
    const executable = await engine.run(Effect.flatMap(TensorRuntime, (runtime) =>
      runtime.compile(make({
        name: "bench.roof",
        inputs: { a: float32(m, k), b: float32(k, n) },
        body: ({ a, b }) => ({ c: tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D) })
      }))))
    const next = Random.normal(1)
    const feeds = {
      a: hostFloat32(Float32Array.from({ length: m * k }, next), m, k),
      b: hostFloat32(Float32Array.from({ length: k * n }, next), k, n)
    }
    const into = { c: new Float32Array(m * n) }
    return {
      work: { m, k, n, threads: 2 },
      amount: 2 * m * k * n / 1e9,
      unit: "GFLOP/s",
      flops: 2 * m * k * n,
      run: async () => void await engine.run(Effect.scoped(executable.run(feeds, into))),
      close: engine.close
    }
  }
}

/** Every benchmark of the engine. */
export const benchmarks: ReadonlyArray<Benchmark> = [
  roof,
  ...steps,
  compile
]
