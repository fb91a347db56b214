/**
 * Every family of policies on a tiny catalogue, with the numbers that its contract leaves to it.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import { ItemEmbeddings } from "../../src/embedding/ItemEmbeddings.ts"
import { type Matrix } from "../../src/matrix/Matrix.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import * as ItemPolicy from "../../src/policy/item/ItemPolicy.ts"
import { ItemPolicyConfig } from "../../src/policy/item/ItemPolicyConfig.ts"
import * as ParallelPolicy from "../../src/policy/parallel/ParallelPolicy.ts"
import { type PolicyModel, type PromptSession, type TreeLogProbs } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import { type TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { config as flatConfig, index as plain } from "./Fixture.ts"
import * as TextFixture from "./TextFixture.ts"

/** Nine items whose SIDs begin each other: one of one code, one of two, some that share one. */
export const prefixed = SidIndex.make(
  [[0], [0, 0, 1], [0, 1], [1, 0, 0], [0, 1], [1, 2, 1, 1], [1, 2], [2, 1, 2], [3]].map((codes) =>
    Int32Array.from(codes)
  ),
  [4, 4, 4, 2],
  "keep"
)

/** Catalogues by name. */
export const catalogues = [["SIDs of unequal length", plain], ["SIDs that begin others", prefixed]] as const

/** Settings of a few thousand weights, without dropout. */
export const settings = Schema.decodeSync(ItemPolicyConfig)({
  width: 16,
  layers: 2,
  heads: 2,
  feedForward: 24,
  historyItems: 4,
  batchItems: 128,
  digitWidth: 6,
  temperature: 0.3,
  dropout: { input: 0, residual: 0, head: 0 }
})

/** Returns embeddings of `items` items, [N, width]. */
export const content = (items: number, width = 5): Matrix => {
  const normal = Random.normal(items, 41)
  return { rows: items, width, data: Float32Array.from({ length: items * width }, normal) }
}

/** Services of a policy. */
export type Services = PolicyModel | PolicyParameters | Sids

/** A family on a catalogue. */
export interface Family {
  readonly name: string
  /** Returns the policy on the runtime of the context. */
  readonly layerOn: (index: SidIndex.SidIndex, own?: ItemPolicyConfig) => Layer.Layer<Services, never, TensorRuntime>
  /** Returns the latest items that the policy reads. */
  readonly read: (index: SidIndex.SidIndex, items: ReadonlyArray<number>) => ReadonlyArray<number>
  /** Whether probabilities are normalised at every node, rather than over all items. */
  readonly local: boolean
  /** Whether prompts and answers may be text. */
  readonly text: boolean
}

/** Times of events, each further from the one before it than the next: by the number of events that follow. */
export const timesOf = (count: number): Float64Array =>
  Float64Array.from({ length: count }, (_, t) => 1e12 - 5000 * 3 ** (count - t))

/** A prompt of items with their times. */
export const timed = (items: ReadonlyArray<number>): Prompt.Prompt =>
  Prompt.ofHistory({ user: -1, items: Int32Array.from(items), times: timesOf(items.length) })

/** Times of the first events of nine items, of which the last has none. */
export const firstTimes = Float64Array.from({ length: 9 }, (_, item) => item === 8 ? NaN : 1e12 - 2000 * 3 ** item)

const items = (
  policy: typeof ItemPolicy | typeof ParallelPolicy,
  { digitWidth = settings.digitWidth, repeats = settings.repeats, time = settings.time }: Partial<ItemPolicyConfig> = {}
): Family => ({
  name: policy.family,
  local: policy.family === "item",
  text: false,
  layerOn: (index, own = settings) =>
    PolicyParameters.layer.pipe(
      Layer.provideMerge(policy.layer(new ItemPolicyConfig({ ...own, digitWidth, repeats, time }), 11, firstTimes)),
      Layer.provide(ItemEmbeddings.layer(content(index.sids.length))),
      Layer.provideMerge(Sids.layer(index)),
      Layer.orDie
    ),
  read: (_, all) => all.slice(-settings.historyItems)
})

/** The families with one position per item. */
export const itemFamilies: ReadonlyArray<Family> = [
  items(ItemPolicy, { repeats: true }),
  items(ParallelPolicy),
  items(ParallelPolicy, { digitWidth: "tied", repeats: true })
]

/** The same, reading times. */
export const timedFamilies: ReadonlyArray<Family> = [
  items(ItemPolicy, { time: "gaps-and-ages" }),
  items(ParallelPolicy, { time: "gaps-and-ages", repeats: true })
]

/** All families. */
export const families: ReadonlyArray<Family> = [
  {
    name: "flat",
    local: true,
    text: false,
    layerOn: (index) =>
      PolicyParameters.layer.pipe(
        Layer.provideMerge(FlatPolicy.layer(flatConfig, 11)),
        Layer.provideMerge(Sids.layer(index)),
        Layer.orDie
      ),
    read: (index, all) => {
      const space = LeafSpace.ofTrie(index.trie)
      let room = flatConfig.historyItems * index.levels
      let from = all.length
      for (; from > 0; from--) {
        const item = all[from - 1]!
        room -= index.sids[item]!.length + (space.childCount(space.leaf(item)) > 0 ? 1 : 0)
        if (room < 0) break
      }
      return all.slice(from)
    }
  },
  ...itemFamilies,
  {
    name: "text",
    local: true,
    text: true,
    layerOn: (index) =>
      PolicyParameters.layer.pipe(
        Layer.provideMerge(TextFixture.layer(index)),
        Layer.provideMerge(Sids.layer(index)),
        Layer.provide(NodeServices.layer),
        Layer.orDie
      ),
    read: (_, all) => all.slice(-TextFixture.historyItems)
  }
]

/** The runtime that compiles. */
export const onnx = Layer.orDie(OnnxRuntime.layerCpu({ threads: 1 }))

/** A family with its runtime. */
export const layer = (
  { layerOn }: Family,
  index: SidIndex.SidIndex = plain,
  own?: ItemPolicyConfig
): Layer.Layer<Services> => layerOn(index, own).pipe(Layer.provide(onnx))

/** Makes every weight count: matrices are scaled up, and nothing is left at the value at which it begins. */
export const enliven = Effect.map(PolicyParameters, ({ buffer }) => {
  const normal = Random.normal(5, 8)
  for (const { name, shape } of buffer.slots) {
    const scale = shape.length > 1 ? 6 : 1
    buffer.view("weights", name).forEach((w, i, all) => (all[i] = w * scale + 0.1 * normal()))
  }
  return { version: 0, feeds: buffer.tensors("weights") }
})

/** Log-probabilities after a node: of its children, and of the end. */
export interface Row {
  readonly children: Float32Array
  readonly end: number
}

/** Scores all nodes of spaces level by level; returns the row of every node that an allowed SID passes, by prompt. */
export const walk = Effect.fnUntraced(function*(session: PromptSession, spaces: ReadonlyArray<LeafSpace.LeafSpace>) {
  const rows = spaces.map(() => new Map<number, Row>())
  let nodes = spaces.map(() => Int32Array.of(0))
  while (nodes.some(({ length }) => length > 0)) {
    const scores = yield* session.score(nodes)
    nodes = nodes.map((list, p) =>
      Int32Array.from(
        Array.from(list).flatMap((node) => {
          const into = new Float32Array(spaces[p]!.width)
          const count = scores.children(p, node, into)
          rows[p]!.set(node, { children: into.slice(0, count), end: scores.end(p, node) })
          return Array.from(LeafSpace.childNodes(spaces[p]!, node))
        })
      )
    )
  }
  return rows
})

/** Returns the log-probability of every leaf of a space, by node. */
export const leavesOf = (space: LeafSpace.LeafSpace, rows: ReadonlyMap<number, Row>): Map<number, number> => {
  const found = new Map<number, number>()
  const below = (node: number, logProb: number) => {
    const { children, end } = rows.get(node)!
    if (space.ends(node)) found.set(node, logProb + end)
    for (const [i, child] of LeafSpace.childNodes(space, node).entries()) below(child, logProb + children[i]!)
  }
  below(0, 0)
  return found
}

/** Returns the rows of a tree as those of a session: the last entry is the end where a SID ends. */
export const rowsOf = (space: LeafSpace.LeafSpace, { logProbs, nodes, starts }: TreeLogProbs): Map<number, Row> =>
  new Map(Array.from(nodes, (node, r) => {
    const row = logProbs.slice(starts[r], starts[r + 1])
    const count = space.childCount(node)
    return [node, { children: row.slice(0, count), end: space.ends(node) ? row[count]! : -Infinity }]
  }))
