/**
 * Groups of candidates as dense host tensors, and objectives over them through compiled programs and in float64.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Objective from "../../src/objective/Objective.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import { hostFloat32, hostInt32, type HostTensor, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as Float64 from "../tensor/Float64.ts"

/** Inputs of an objective by name. */
export type Dense = Readonly<Record<string, HostTensor>>

type Tensors = Readonly<Record<string, tf.Tensor>>

/** Shows named tensors as an objective sees them. */
export const groupTensors = (x: Tensors): Objective.GroupTensors => ({
  logProbs: x["logProbs"]!,
  behaviour: x["behaviour"]!,
  reference: x["reference"]!,
  mask: x["mask"]!,
  node: x["node"]!,
  advantages: x["advantages"]!,
  answer: x["answer"]!,
  members: { candidates: x["members"]!, mask: x["memberMask"]! },
  total: { candidates: x["candidates"]!, steps: x["steps"]!, groups: x["groups"]! },
  nodes: { logProbs: x["nodeLogProbs"]!, reference: x["nodeReference"]!, legal: x["legal"]!, visits: x["visits"]! }
})

const scalarsOf = (objective: Objective.GroupObjective, x: Tensors) =>
  Object.fromEntries(Object.keys(objective.scalars).map((name) => [name, x[`scalar.${name}`]!]))

const scalarFeeds = (objective: Objective.GroupObjective): Dense =>
  Object.fromEntries(
    Object.entries(objective.scalars).map(([name, value]) => [`scalar.${name}`, hostFloat32(Float32Array.of(value))])
  )

/** The sizes of groups as members [P, G] and totals. */
export const membership = (sizes: ReadonlyArray<number>, steps: number): Dense => {
  const largest = Math.max(...sizes)
  const [members, memberMask] = [new Int32Array(sizes.length * largest), new Float32Array(sizes.length * largest)]
  let c = 0
  for (const [g, size] of sizes.entries()) {
    for (let i = 0; i < size; i++) {
      members[g * largest + i] = c++
      memberMask[g * largest + i] = 1
    }
  }
  const scalar = (value: number) => hostFloat32(Float32Array.of(value))
  return {
    members: hostInt32(members, sizes.length, largest),
    memberMask: hostFloat32(memberMask, sizes.length, largest),
    candidates: scalar(c),
    steps: scalar(steps),
    groups: scalar(sizes.length)
  }
}

/** Evaluates the loss, its terms and its gradients by `logProbs` and `nodeLogProbs` through the runtime of the context. */
export const run = Effect.fnUntraced(function*(objective: Objective.GroupObjective, dense: Dense) {
  const runtime = yield* TensorRuntime
  const feeds = { ...dense, ...scalarFeeds(objective) }
  const program = yield* runtime.compile(make({
    name: objective.name,
    inputs: Object.fromEntries(Object.entries(feeds).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    body: (x: Tensors) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary((free) => {
        const { loss, terms } = Objective.evaluate(objective, groupTensors({ ...x, ...free }), scalarsOf(objective, x))
        const touched = free["logProbs"]!.sum().add(free["nodeLogProbs"]!.sum()).mul(0)
        return { loss: loss.add(touched), auxiliary: terms }
      }, { logProbs: x["logProbs"]!, nodeLogProbs: x["nodeLogProbs"]! } as Tensors)
      return {
        loss: value,
        byStep: gradients["logProbs"]!,
        byEdge: gradients["nodeLogProbs"]!,
        ...Object.fromEntries(Object.entries(auxiliary).map(([name, term]) => [`term.${name}`, term]))
      }
    }
  }))
  const outputs = yield* program.run(feeds)
  const read = (name: string) => Effect.map(outputs[name as keyof typeof outputs]!.read, ({ data }) => Array.from(data))
  const terms: Record<string, number> = {}
  for (const name of Object.keys(outputs)) {
    if (name.startsWith("term.")) terms[name.slice(5)] = (yield* read(name))[0]!
  }
  return { loss: (yield* read("loss"))[0]!, terms, byStep: yield* read("byStep"), byEdge: yield* read("byEdge") }
}, Effect.scoped)

const wide = (objective: Objective.GroupObjective, dense: Dense) =>
  Object.fromEntries(
    Object.entries({ ...dense, ...scalarFeeds(objective) }).map(([name, tensor]) => [name, Float64.widen(tensor)])
  )

const lossOf = (objective: Objective.GroupObjective) => (x: Tensors) =>
  Objective.evaluate(objective, groupTensors(x), scalarsOf(objective, x)).loss

/** Evaluates the loss in float64 and its derivatives by finite differences. */
export const oracle = (objective: Objective.GroupObjective, dense: Dense) => {
  const inputs = wide(objective, dense)
  return {
    loss: Float64.evaluate(inputs, (x) => ({ loss: lossOf(objective)(x) })).loss.data[0]!,
    byStep: Float64.finiteDifferences(inputs, "logProbs", lossOf(objective)),
    byEdge: Float64.finiteDifferences(inputs, "nodeLogProbs", lossOf(objective))
  }
}

/**
 * Draws groups of the given sizes, with candidates of 1 to L steps, nodes of 1 to K children, and ratios, advantages and
 * divergences of every sign.
 */
export const random = (sizes: ReadonlyArray<number>, seed: number): Dense => {
  const [length, nodes, widest] = [4, 6, 5]
  const [uniform, normal] = [Random.uniform(seed, 1), Random.normal(seed, 2)]
  const candidates = sizes.reduce((a, b) => a + b, 0)
  const lengths = Array.from({ length: candidates }, () => 1 + Math.floor(uniform() * length))
  const inside = (i: number) => i % length < lengths[Math.floor(i / length)]!
  const grid = (value: (i: number) => number) =>
    hostFloat32(
      Float32Array.from({ length: candidates * length }, (_, i) => inside(i) ? value(i) : 0),
      candidates,
      length
    )
  const logProbs = grid(() => -0.1 - 2 * uniform())
  const near = (tensor: HostTensor, deviation: number) => grid((i) => tensor.data[i]! + deviation * normal())
  const counts = Array.from({ length: nodes }, () => 1 + Math.floor(uniform() * widest))
  const legal = Float32Array.from(
    { length: nodes * widest },
    (_, i) => i % widest < counts[Math.floor(i / widest)]! ? 1 : 0
  )
  const edges = () => {
    const logits = legal.map(() => normal())
    return hostFloat32(
      legal.map((one, i) => {
        const from = i - i % widest
        let sum = 0
        for (let e = from; e < from + widest; e++) sum += legal[e]! * Math.exp(logits[e]!)
        return one * (logits[i]! - Math.log(sum))
      }),
      nodes,
      widest
    )
  }
  const answers = new Set(
    sizes.map((_, g) => sizes.slice(0, g).reduce((a, b) => a + b, 0)).filter((_, g) => g % 2 === 0)
  )
  return {
    logProbs,
    behaviour: near(logProbs, 0.35),
    reference: near(logProbs, 0.5),
    mask: grid(() => 1),
    node: hostInt32(
      Int32Array.from({ length: candidates * length }, () => Math.floor(uniform() * nodes)),
      candidates,
      length
    ),
    advantages: hostFloat32(Float32Array.from({ length: candidates }, () => normal()), candidates),
    answer: hostFloat32(Float32Array.from({ length: candidates }, (_, c) => answers.has(c) ? 1 : 0), candidates),
    nodeLogProbs: edges(),
    nodeReference: edges(),
    legal: hostFloat32(legal, nodes, widest),
    visits: hostFloat32(new Float32Array(nodes).fill(1), nodes),
    ...membership(sizes, lengths.reduce((a, b) => a + b, 0))
  }
}
