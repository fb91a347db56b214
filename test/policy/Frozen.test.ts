import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import { type CandidateGroup, PolicyModel } from "../../src/policy/PolicyModel.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { resident } from "../tensor/Backends.ts"
import { index, layerOn } from "./Fixture.ts"

const examples = [Int32Array.of(0, 4, 7), Int32Array.of(2, 3, 5, 6)].map((items, user) =>
  Prompt.everyPosition({ user, items })
)
const groups: ReadonlyArray<CandidateGroup> = [Int32Array.of(4), Int32Array.of(0, 8)].map((items) => ({
  prompt: Prompt.ofItems(items),
  leaves: Int32Array.from(new Set(index.leafOf))
}))

/** The policy's parameters, livelier than they begin, of which those that `frozen` chooses are not trained. */
const storeOf = (frozen: (name: string) => boolean) =>
  Effect.gen(function*() {
    const { parameters } = yield* PolicyModel
    return yield* ParameterStore.make(
      Object.fromEntries(
        Object.entries(parameters).map(([name, spec]) => [name, {
          ...spec,
          trainable: !frozen(name),
          initialize: (values: Float32Array) => {
            spec.initialize(values)
            if (spec.shape.length > 1) values.forEach((value, i) => (values[i] = value * 8))
          }
        }])
      )
    )
  })

const choices = {
  none: () => false,
  embedding: (name: string) => name.includes("embed_tokens"),
  "first block": (name: string) => name.includes("embed_tokens") || name.includes("layers.0"),
  "all but the last norm": (name: string) => name !== "model.norm.weight",
  all: () => true
} as const

/** What is compiled for a policy and how many nodes it has, and the names of what every run gave. */
const noted = () => {
  const nodes = new Map<string, Array<number>>()
  const outputs = new Set<string>()
  const layer = Layer.effect(
    TensorRuntime,
    Effect.map(TensorRuntime, (runtime) =>
      TensorRuntime.of({
        ...runtime,
        compile: (program) =>
          Effect.map(runtime.compile(program), (executable) => {
            nodes.set(program.name, [...nodes.get(program.name) ?? [], executable.nodes])
            return {
              ...executable,
              run: (feeds, into) =>
                Effect.tap(executable.run(feeds, into), (found) =>
                  Effect.sync(() => {
                    for (const name of Object.keys(found)) outputs.add(name)
                  }))
            }
          })
      }))
  )
  return { nodes, outputs, layer }
}

/** The gradients of both losses over a store, by parameter. */
const gradients = (store: ParameterStore.ParameterStore) =>
  Effect.gen(function*() {
    const policy = yield* PolicyModel
    const [batch] = yield* policy.plan(examples, 1, 0)
    const supervised = yield* policy.supervised
    const group = yield* policy.groupGradient(GroupRelative.make({ beta: 0.3 }))
    const scores = yield* policy.score(groups, yield* store.weights)
    const scored = groups.map((one, g) => ({
      ...one,
      advantages: Float32Array.from(one.leaves, (leaf) => Math.sin(leaf + g)),
      behaviour: Array.from(one.leaves, () => new Float32Array(8).fill(-1)),
      reference: { ...scores[g]!, logProbs: scores[g]!.logProbs.map((value) => value - 0.1) }
    }))
    const read = () =>
      new Map(
        store.buffer.slots.flatMap(({ name, trainable }) =>
          trainable ? [[name, store.buffer.view("gradients", name).slice()] as const] : []
        )
      )
    const step = { seed: 1, step: 0 }
    const first = yield* supervised.accumulate(store, [{ batch: batch! }], step)
    const ofSupervised = read()
    const second = yield* group.accumulate(store, [{ batch: scored }], step)
    return { losses: [first.loss, second.loss], supervised: ofSupervised, group: read() }
  }).pipe(Effect.scoped)

const onnx = OnnxRuntime.layerCpu({ threads: 2 })

describe("frozen parameters of a flat policy", () => {
  it.effect("have no gradient and no time in the backward pass; the others have the gradients that they had", () => {
    const { layer, nodes, outputs } = noted()
    return Effect.gen(function*() {
      const counts: Record<string, Array<number>> = {}
      const whole = yield* gradients(yield* storeOf(choices.none))
      for (const [choice, frozen] of Object.entries(choices)) {
        const store = yield* storeOf(frozen)
        outputs.clear()
        const found = yield* gradients(store)
        assert.isBelow(distance(found.losses, whole.losses), 1e-6, choice)
        for (const loss of ["supervised", "group"] as const) {
          for (const [name, gradient] of found[loss]) {
            assert.isBelow(distance(gradient, whole[loss].get(name)!), 1e-6, `${loss} of ${name} with ${choice}`)
          }
        }
        const names = store.buffer.slots.map(({ name }) => name)
        assert.deepStrictEqual(
          names.filter((name) => outputs.has(name)),
          names.filter((name) => !frozen(name)),
          choice
        )
        // One policy for all stores: each set of frozen parameters has programs of its own.
        counts[choice] = [nodes.get("flat.supervised")!.at(-1)!, nodes.get("flat.grpo")!.at(-1)!]
      }
      for (const loss of [0, 1]) {
        const nodesOf = Object.values(counts).map((both) => both[loss]!)
        for (const [i, count] of nodesOf.entries()) {
          if (i > 0) assert.isBelow(count, nodesOf[i - 1]!, JSON.stringify(counts))
        }
        // The forward pass alone is less than half of a step.
        assert.isBelow(nodesOf.at(-1)!, nodesOf[0]! / 2)
      }
      assert.strictEqual(nodes.get("flat.supervised")!.length, Object.keys(choices).length)
    }).pipe(
      Effect.scoped,
      Effect.provide(layerOn().pipe(Layer.provideMerge(layer), Layer.orDie, Layer.provide(onnx)))
    )
  }, 240_000)

  for (const [name, runtime] of [["onnx-cpu", onnx], resident] as const) {
    it.effect(`have no slots and stay what they are (${name})`, () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* storeOf(choices["first block"])
        const before = new Map(
          store.buffer.slots.map((slot) => [slot.name, store.buffer.view("weights", slot.name).slice()])
        )
        const [batch] = yield* policy.plan(examples, 1, 0)
        const gradient = yield* policy.supervised
        const optimizer = Adam.adamW(
          new AdamW.AdamWConfig({
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weightDecay: 0.1,
            maxGradientNorm: 1,
            averaging: 0
          })
        )
        const losses: Array<number> = []
        for (let step = 0; step < 4; step++) {
          // In two parts from the second step on, so that sums of gradients are taken too.
          const parts = step === 0
            ? [{ batch: batch! }]
            : [{ batch: batch!, share: 0.5 }, { batch: batch!, share: 0.5 }]
          losses.push((yield* gradient.accumulate(store, parts, { seed: 1, step })).loss)
          yield* store.apply(optimizer, 0.01)
        }
        assert.isBelow(losses.at(-1)!, losses[0]!)
        yield* store.pull
        const { slots } = yield* store.save
        for (const { name, trainable } of store.buffer.slots) {
          const now = store.buffer.view("weights", name)
          assert.strictEqual(distance(now, before.get(name)!) === 0, !trainable, name)
          assert.strictEqual([...slots.keys()].some((slot) => slot.endsWith(`.${name}`)), trainable, name)
        }
      }).pipe(Effect.scoped, Effect.provide(layerOn().pipe(Layer.orDie, Layer.provideMerge(runtime)))))
  }

  it.effect("compile nothing twice, when fibers open sessions and take gradients at a time", () => {
    const { layer, nodes } = noted()
    return Effect.gen(function*() {
      const store = yield* storeOf(choices.none)
      const policy = yield* PolicyModel
      yield* Effect.forEach(
        [1, 2, 3, 4],
        () => policy.score(groups, { version: 0, feeds: store.buffer.tensors("weights") }),
        {
          concurrency: "unbounded"
        }
      )
      assert.deepStrictEqual([...nodes].map(([name, list]) => [name, list.length]), [["flat.treeScores", 1]])
    }).pipe(
      Effect.scoped,
      Effect.provide(layerOn().pipe(Layer.provideMerge(layer), Layer.orDie, Layer.provide(onnx)))
    )
  })
})
