/**
 * Decoding with the depth head: prompts are computed once, and a node of the trie costs one row of the head.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { float32, hostInt32, int32 } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as LevelHead from "../flat/LevelHead.ts"
import { ofTensor, PolicyError, UnscoredParent } from "../PolicyError.ts"
import { type OpenOptions, type PromptSession } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import * as NodeLogits from "../tree/NodeLogits.ts"
import * as DepthHead from "./DepthHead.ts"
import * as ItemModel from "./ItemModel.ts"
import * as ItemNetwork from "./ItemNetwork.ts"

/** Makes the function that opens sessions. */
export const make = Effect.fnUntraced(function*(given: ItemModel.ItemModel) {
  // A space may have an end where the index has none.
  const model = { ...given, shape: { ...given.shape, vocabulary: { ...given.shape.vocabulary, ends: true } } }
  const { shape } = model
  const weightInputs = Object.fromEntries(model.slots.map((slot) => [slot.name, float32(...slot.shape)]))
  const cache = yield* ProgramCache.make(model.runtime, (kind: "prompts" | "nodes") =>
    kind === "prompts"
      ? TensorProgram.make({
        name: `${model.family}.prompts`,
        inputs: { ...ItemModel.inputs(model), last: int32("P") },
        body: (inputs: ItemNetwork.Inputs) => ({
          states: tf.gather(ItemNetwork.states(shape, inputs, inputs), inputs["last"]!)
        })
      })
      : TensorProgram.make({
        name: `${model.family}.nodes`,
        inputs: { ...weightInputs, ...DepthHead.inputs(shape), states: float32("P", shape.config.width) },
        body: (inputs: ItemNetwork.Inputs) => ({
          logits: DepthHead.logits(shape, inputs, inputs, inputs["states"]!)
        })
      }))
  const columns = LevelHead.columns(shape.vocabulary)
  /** Returns the log-sum-exp of the codes of a node's level, and of the end. */
  const logSumOf = (logits: Float32Array, base: number, level: number): number => {
    const used = [...Array.from({ length: shape.vocabulary.sizes[level]! }, (_, code) => code), columns - 1]
    const most = used.reduce((high, column) => Math.max(high, logits[base + column]!), -Infinity)
    return most + Math.log(used.reduce((sum, column) => sum + Math.exp(logits[base + column]! - most), 0))
  }
  return Effect.fn("PolicyModel.open")(function*(prompts: ReadonlyArray<Prompt>, options: OpenOptions) {
    const weights = options.weights.feeds
    const spaces = Array.isArray(options.space)
      ? options.space as ReadonlyArray<LeafSpace>
      : prompts.map(() => options.space as LeafSpace)
    const { feeds, last } = ItemModel.promptFeeds(model, yield* ItemModel.histories(model, prompts))
    const executable = yield* cache("prompts")
    const { states } = yield* executable.run({ ...weights, ...feeds, last: hostInt32(last, last.length) })
    const known = prompts.map(() => new Set<number>())
    const score = Effect.fnUntraced(function*(nodes: ReadonlyArray<Int32Array>) {
      const asked: Array<number> = []
      const owners: Array<number> = []
      const rows = prompts.map(() => new Map<number, number>())
      for (const [p, list] of nodes.entries()) {
        for (const node of list) {
          const parent = spaces[p]!.parent(node)
          if (node > 0 && !known[p]!.has(parent)) {
            return yield* new PolicyError({ reason: new UnscoredParent({ prompt: p, node, parent }) })
          }
          // A leaf without children has nothing to predict, and no row.
          rows[p]!.set(node, asked.length)
          asked.push(spaces[p]!.level(node) < shape.levels ? node : -1)
          owners.push(p)
        }
      }
      for (const [p, list] of nodes.entries()) for (const node of list) known[p]!.add(node)
      const { feeds, tiles } = DepthHead.layout(shape, (row) => spaces[owners[row]!]!, {
        states: Int32Array.from(owners),
        nodes: Int32Array.from(asked)
      })
      const logits = yield* Effect.scoped(Effect.gen(function*() {
        const outputs = yield* (yield* cache("nodes")).run({ ...weights, ...feeds, states: states! })
        return (yield* outputs["logits"]!.read).data as Float32Array
      }))
      const logSums = options.normaliser === "children" ? undefined : Float32Array.from(
        asked,
        (node, r) => node < 0 ? 0 : logSumOf(logits, tiles.places[r]! * columns, spaces[owners[r]!]!.level(node))
      )
      const scored: NodeLogits.Scored = { logits, logSums }
      return NodeLogits.scores(spaces, columns, (prompt, node) => {
        const row = rows[prompt]!.get(node)!
        return { scored, base: tiles.places[row]! * columns, row }
      })
    })
    const session: PromptSession = {
      score: (nodes) => score(nodes).pipe(Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))
    }
    return session
  }, Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))
})
