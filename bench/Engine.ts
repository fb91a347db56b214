/**
 * Benchmarks of the engine: one training step of a decoder, its compilation, and the matrix product as the roof.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as TensorFlow from "../layers/tfjs/TensorFlow.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import * as AdamW from "../src/optimizer/AdamW.ts"
import * as ParameterStore from "../src/optimizer/ParameterStore.ts"
import * as Transformer from "../src/policy/transformer/Transformer.ts"
import * as Random from "../src/statistics/Random.ts"
import * as Attention from "../src/tensor/Attention.ts"
import * as Autodiff from "../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../src/tensor/LinearCrossEntropy.ts"
import * as ParameterBuffer from "../src/tensor/ParameterBuffer.ts"
import { type TensorError } from "../src/tensor/TensorError.ts"
import { float32, hostFloat32, hostInt32, int32, make } from "../src/tensor/TensorProgram.ts"
import { type Feed, TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Benchmark, type Prepared } from "./Benchmark.ts"
import * as Scoped from "./Scoped.ts"

/** Size of a training step: the decoder's shape, and `batch` rows of `length` tokens. */
export interface StepShape {
  readonly width: number
  readonly layers: number
  readonly heads: number
  readonly feedForward: number
  readonly vocabulary: number
  readonly batch: number
  readonly length: number
}

/** Layers, heads and feed-forward width by model width, as in the peers. */
const sizes: Readonly<Record<number, readonly [number, number, number]>> = {
  128: [4, 4, 344],
  256: [6, 4, 688],
  384: [8, 6, 1024]
}

/** Returns the peers' shape of a width, with 32 rows of 64 tokens by default. */
export const shapeOf = (width: number, batch = 32, length = 64): StepShape => {
  const [layers, heads, feedForward] = sizes[width]!
  return { width, layers, heads, feedForward, vocabulary: 1024, batch, length }
}

/** Returns the configuration of the decoder of a shape. */
export const decoder = ({ feedForward, heads, layers, vocabulary, width }: StepShape): Transformer.DecoderConfig =>
  new Transformer.DecoderConfig({
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

/** Returns the floating-point operations of a training step: blocks, head, causal half of attention. */
export const flops = ({ batch, feedForward, layers, length, vocabulary, width }: StepShape): number => {
  const tokens = batch * length
  return 6 * layers * (4 * width ** 2 + 3 * width * feedForward) * tokens + 6 * vocabulary * width * tokens +
    6 * layers * width * length * (length + 1) * batch
}

const trainProgram = (
  config: Transformer.DecoderConfig,
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
        const { hidden } = Transformer.forward(config, w, {
          tokens: x["tokens"]!,
          positions: x["positions"]!,
          mask: Attention.packedMask(x["segments"]!, x["positions"]!),
          causalBlocks: Transformer.causalBlocks(length)
        })
        const rows = hidden.shape[0]!
        return LinearCrossEntropy.loss(hidden, w[Transformer.headName(config)]!, {
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

const step = (suffix: string, shape: StepShape, mode?: "compile"): StepBenchmark => ({
  name: `engine.step.${suffix}`,
  repeats: 10,
  warmup: 3,
  peer: {
    script: "lm_train_step.py",
    environment: "current",
    args: [
      "--d",
      String(shape.width),
      "--batch",
      String(shape.batch),
      "--seq",
      String(shape.length),
      "--repeats",
      "10",
      ...(mode === undefined ? [] : ["--mode", mode])
    ]
  },
  prepare: () => prepareStep(shape),
  profiled: (profile) => prepareStep(shape, OnnxRuntime.layerCpu({ threads: 2, profile }))
})

/** Prepares the step of a shape on a runtime: forward, backward, AdamW. */
export const prepareStep = async (
  shape: StepShape,
  layer: Layer.Layer<TensorRuntime, TensorError> = OnnxRuntime.layerCpu({ threads: 2 })
): Promise<Prepared & { readonly compileMillis: number; readonly nodes: number }> => {
  const engine = await Scoped.open(layer)
  const config = decoder(shape)
  const { batch, length, vocabulary } = shape
  const store = await engine.run(ParameterStore.make(Transformer.parameters(config, Random.normal(1))))
  const executable = await engine.run(
    Effect.flatMap(TensorRuntime, (runtime) => runtime.compile(trainProgram(config, store.buffer, length)))
  )
  const next = Random.uniform(2)
  const ids = Int32Array.from({ length: batch * length }, () => Math.floor(next() * vocabulary))
  const optimizer = Adam.adamW(
    new AdamW.AdamWConfig({
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradientNorm: 1e9,
      averaging: 0
    })
  )
  const feeds = {
    tokens: hostInt32(ids, batch, length),
    positions: hostInt32(Int32Array.from(ids, (_, i) => i % length), batch, length),
    segments: hostInt32(new Int32Array(ids.length), batch, length),
    targets: hostInt32(ids.map((id) => (id * 7 + 3) % vocabulary), batch, length),
    weights: hostFloat32(new Float32Array(ids.length).fill(1 / ids.length), batch, length)
  }
  return {
    work: {
      d: shape.width,
      layers: shape.layers,
      batch,
      seq: length,
      vocab: vocabulary,
      nodes: executable.nodes,
      threads: 2
    },
    compileMillis: executable.compileMillis,
    nodes: executable.nodes,
    amount: batch * length,
    unit: "tokens/s",
    flops: flops(shape),
    run: () =>
      engine.run(Effect.scoped(Effect.gen(function*() {
        const [outputs] = yield* store.differentiate(executable, [{ feeds }])
        yield* outputs!["loss"]!.read
        yield* store.apply(optimizer, 1e-3)
      }))),
    close: engine.close
  }
}

/** Benchmarks of training steps. */
export const steps: ReadonlyArray<StepBenchmark> = [
  step("d128", shapeOf(128)),
  step("d256", shapeOf(256)),
  step("d384", shapeOf(384)),
  step("d256-long", shapeOf(256, 8, 256))
]

const compiledPeer: Benchmark = { ...step("d256", shapeOf(256), "compile"), name: "engine.compiled-peer.d256" }

/** The same step on TensorFlow's eager kernels in this process, where the package is installed. */
const eager: Benchmark = {
  name: "engine.eager.d256",
  repeats: 5,
  warmup: 2,
  rival: { name: "tfjs-node, eager", prepare: () => prepareStep(shapeOf(256), TensorFlow.layer) },
  prepare: () => prepareStep(shapeOf(256))
}

/** Prepares the scoring of eight tokens on a worker thread with a frozen model of 5 million weights. */
const prepareFrozen = async (
  weightsOf: (
    store: ParameterStore.ParameterStore
  ) => Effect.Effect<Readonly<Record<string, Feed>>, TensorError, Scope.Scope>
) => {
  const shape = shapeOf(256)
  const config = decoder(shape)
  const engine = await Scoped.open(OnnxRuntime.layerCpu({ threads: 2, worker: true }))
  const store = await engine.run(ParameterStore.make(Transformer.parameters(config, Random.normal(1))))
  const weights = await engine.run(weightsOf(store))
  const executable = await engine.run(Effect.flatMap(TensorRuntime, (runtime) =>
    runtime.compile(make({
      name: "bench.frozen",
      inputs: {
        ...Object.fromEntries(store.buffer.slots.map((slot) => [slot.name, float32(...slot.shape)])),
        tokens: int32("B", "T"),
        positions: int32("B", "T"),
        mask: float32("B", 1, "T", "T")
      },
      body: (x: Readonly<Record<string, tf.Tensor>>) => ({
        hidden: Transformer.forward(config, x, { tokens: x["tokens"]!, positions: x["positions"]!, mask: x["mask"]! })
          .hidden
      })
    }))))
  const tokens = hostInt32(Int32Array.from({ length: 8 }, (_, i) => i), 1, 8)
  const mask = hostFloat32(new Float32Array(64), 1, 1, 8, 8)
  return {
    work: { d: shape.width, layers: shape.layers, tokens: 8, weights: store.buffer.count },
    amount: 1,
    unit: "runs/s",
    run: () =>
      engine.run(Effect.scoped(Effect.asVoid(executable.run({ ...weights, tokens, positions: tokens, mask })))),
    close: engine.close
  }
}

const frozen: Benchmark = {
  name: "engine.worker.frozen",
  repeats: 20,
  warmup: 5,
  rival: {
    name: "weights that are sent with every run",
    prepare: () =>
      prepareFrozen((store) =>
        Effect.sync(() =>
          Object.fromEntries(
            store.buffer.slots.map(({ name, shape }) => [
              name,
              hostFloat32(store.buffer.view("weights", name).slice(), ...shape)
            ])
          )
        )
      )
  },
  prepare: () => prepareFrozen((store) => Effect.map(store.snapshot("weights"), ({ feeds }) => feeds))
}

const compile: Benchmark = {
  name: "engine.compile.d256",
  repeats: 3,
  warmup: 1,
  prepare: async () => {
    const shape = shapeOf(256)
    const config = decoder(shape)
    const buffer = ParameterBuffer.make(Transformer.parameters(config, Random.normal(1)))
    const engine = await Scoped.open(OnnxRuntime.layerCpu({ threads: 2 }))
    const work: Record<string, unknown> = { d: shape.width, layers: shape.layers }
    let graphs = 0
    return {
      work,
      amount: 1,
      unit: "graphs/s",
      run: async () => {
        // Sessions are reused for equal graphs; another row length makes another graph.
        const program = trainProgram(config, buffer, 64 + graphs++)
        const { nodes } = await engine.run(
          Effect.scoped(Effect.flatMap(TensorRuntime, (runtime) => runtime.compile(program)))
        )
        work["nodes"] = nodes
      },
      close: engine.close
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

/** Benchmarks of the engine. */
export const benchmarks: ReadonlyArray<Benchmark> = [
  roof,
  ...steps,
  compiledPeer,
  eager,
  frozen,
  compile
]
