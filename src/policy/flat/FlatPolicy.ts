/**
 * The flat family of policies: a decoder over one position per code, with the compact vocabulary.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as ParameterStore from "../../optimizer/ParameterStore.ts"
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Trie from "../../sid/trie/Trie.ts"
import * as Random from "../../statistics/Random.ts"
import { masked } from "../../tensor/Attention.ts"
import * as Dropout from "../../tensor/Dropout.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { hostBool, hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import { type TensorHandle, TensorRuntime } from "../../tensor/TensorRuntime.ts"
import {
  type CandidateGroup,
  type ChildScores,
  type Frontier,
  type GroupLogProbs,
  PolicyModel,
  type PolicyWeights,
  type PromptBatch,
  type ScoredGroup,
  type SupervisedBatch
} from "../PolicyModel.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import * as FlatLayout from "./FlatLayout.ts"
import * as FlatPrograms from "./FlatPrograms.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Weights of all blocks; with gradients and moments they take 10 GB. */
const mostWeights = 2 ** 29

/** Shape and training layout of the policy. */
export class FlatPolicyConfig extends Schema.Class<FlatPolicyConfig>("sidereal/policy/FlatPolicyConfig")(
  Schema.Struct({
    /** @default 128 */
    width: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(128))),
    /** @default 4 */
    layers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4))),
    /** @default 4 */
    heads: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4))),
    /** @default 2 */
    keyValueHeads: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
    /** @default 344 */
    feedForward: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(344))),
    /** Items of a history that are read, the latest ones, at most 10,000. @default 50 */
    historyItems: Count.check(Schema.isLessThanOrEqualTo(10_000)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(50))
    ),
    /** Positions of a training batch. @default 2048 */
    batchTokens: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2048))),
    /** Share of components dropped in training, 0 to 0.9. @default 0.2 */
    dropout: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(0.9)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(0.2))
    )
  }).check(Schema.makeFilter(({ feedForward, heads, keyValueHeads, layers, width }) => [
    ...(layers * width * (4 * width + 3 * feedForward) <= mostWeights
      ? []
      : [{ path: ["width"], issue: `Expected at most ${mostWeights} weights in ${layers} layers` }]),
    ...(width % (2 * heads) === 0
      ? []
      : [{ path: ["width"], issue: `Expected a multiple of ${2 * heads}, an even width for each of ${heads} heads` }]),
    ...Transformer.groupIssues({ heads, keyValueHeads })
  ]))
) {}

/** The decoder behind a policy for an index. */
export const decoderConfig = (config: FlatPolicyConfig, index: SidIndex): Transformer.DecoderConfig =>
  new Transformer.DecoderConfig({
    vocabulary: CompactVocabulary.make(index).size,
    width: config.width,
    layers: config.layers,
    heads: config.heads,
    keyValueHeads: config.keyValueHeads,
    headWidth: config.width / config.heads,
    feedForward: config.feedForward,
    maxPositions: Math.max(1024, 1 + (config.historyItems + 1) * index.levels),
    ropeTheta: 10_000,
    attentionBias: false,
    queryKeyNorm: false,
    tied: true,
    epsilon: 1e-6
  })

/** Cells of the attention of candidate trees that are computed together: 256 MB of float32. */
const widestAttention = 2 ** 26

const childScores = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  logits: Float32Array
): ChildScores => {
  const { trie } = index
  return {
    write: (row, node, target) => {
      const codes = Trie.children(trie, node)
      const count = codes.length
      if (count === 0) return 0
      const base = row * vocabulary.size + vocabulary.offsets[Trie.level(trie, node)]!
      let highest = -Infinity
      for (let i = 0; i < count; i++) {
        const value = logits[base + codes[i]!]!
        target[i] = value
        if (value > highest) highest = value
      }
      let sum = 0
      for (let i = 0; i < count; i++) sum += Math.exp(target[i]! - highest)
      const normaliser = highest + Math.log(sum)
      for (let i = 0; i < count; i++) target[i] = target[i]! - normaliser
      return count
    }
  }
}

const make = (config: FlatPolicyConfig, index: SidIndex, seed: number, attention: number) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const scope = yield* Effect.scope
    const decoder = decoderConfig(config, index)
    const vocabulary = CompactVocabulary.make(index)
    const { trie } = index
    const parameters = yield* ParameterStore.make(Transformer.parameters(decoder, Random.normal(seed, 0x1417)))
    const { buffer } = parameters
    const promptPositions = 1 + config.historyItems * index.levels
    const dropout = Dropout.make(Transformer.dropoutSites(decoder))

    const compiled = new Map<string, Effect.Success<ReturnType<typeof runtime.compile<string, string>>>>()
    const program = Effect.fnUntraced(function*(key: string, make: () => Parameters<typeof runtime.compile>[0]) {
      const known = compiled.get(key)
      if (known !== undefined) return known
      const fresh = yield* runtime.compile(make()).pipe(Scope.provide(scope))
      compiled.set(key, fresh)
      return fresh
    })

    const open = Effect.fn("PolicyModel.open")(function*(
      histories: ReadonlyArray<Int32Array>,
      weights: PolicyWeights
    ) {
      const prompts = histories.map((history) => FlatLayout.prompt(index, vocabulary, history, promptPositions))
      const batch = prompts.length
      const length = Math.max(...prompts.map((tokens) => tokens.length))
      const tokens = new Int32Array(batch * length)
      const positions = new Int32Array(batch * length)
      const segments = new Int32Array(batch * length).fill(-1)
      for (const [b, prompt] of prompts.entries()) {
        tokens.set(prompt, b * length)
        for (let t = 0; t < prompt.length; t++) {
          positions[b * length + t] = t
          segments[b * length + t] = 0
        }
      }
      const prefill = yield* program("prefill", () => FlatPrograms.prefill(decoder, buffer))
      const opened = yield* prefill.run({
        ...weights,
        tokens: hostInt32(tokens, batch, length),
        positions: hostInt32(positions, batch, length),
        segments: hostInt32(segments, batch, length),
        last: hostInt32(Int32Array.from(prompts, (prompt, b) => b * length + prompt.length - 1), batch)
      })
      const rootLogits = (yield* opened["logits"]!.read).data as Float32Array
      const frontiers: Array<{ readonly frontier: Frontier; readonly cache: Readonly<Record<string, TensorHandle>> }> =
        []

      const extend = Effect.fnUntraced(function*(frontier: Frontier) {
        const { nodes, parents, width } = frontier
        const depth = frontiers.length
        const spans = [length, ...frontiers.map((earlier) => earlier.frontier.width), width]
        const columns = spans.reduce((a, b) => a + b, 0)
        const starts = spans.map((_, i) => spans.slice(0, i).reduce((a, b) => a + b, 0))
        const tokens = new Int32Array(batch * width)
        const positions = new Int32Array(batch * width)
        const mask = new Float32Array(batch * width * columns).fill(masked)
        for (let b = 0; b < batch; b++) {
          const prefix = prompts[b]!.length
          for (let w = 0; w < width; w++) {
            const cell = b * width + w
            const row = cell * columns
            mask[row + starts[depth + 1]! + w] = 0
            const node = nodes[cell]!
            if (node < 0) continue
            const level = Trie.level(trie, node)
            tokens[cell] = CompactVocabulary.token(vocabulary, level - 1, Trie.code(trie, node))
            positions[cell] = prefix + level - 1
            mask.fill(0, row, row + prefix)
            let column = parents[cell]!
            for (let up = depth - 1; up >= 0; up--) {
              mask[row + starts[up + 1]! + column] = 0
              column = frontiers[up]!.frontier.parents[b * frontiers[up]!.frontier.width + column]!
            }
          }
        }
        const executable = yield* program(`extend.${depth}`, () => FlatPrograms.extend(decoder, buffer, depth))
        const caches = Object.fromEntries(
          [opened, ...frontiers.map((earlier) => earlier.cache)].flatMap((cache, part) =>
            FlatPrograms.cacheNames(decoder, part).map(({ from, to }) => [to, cache[from]!])
          )
        )
        const result = yield* executable.run({
          ...weights,
          ...caches,
          tokens: hostInt32(tokens, batch, width),
          positions: hostInt32(positions, batch, width),
          mask: hostFloat32(mask, batch, 1, width, columns)
        })
        frontiers.push({ frontier, cache: result })
        return childScores(index, vocabulary, (yield* result["logits"]!.read).data as Float32Array)
      })
      const session: PromptBatch = { prompts: batch, root: childScores(index, vocabulary, rootLogits), extend }
      return session
    })

    const longest = (sequences: ReadonlyArray<Int32Array>) =>
      sequences.reduce((most, items) => {
        let size = 0
        for (const item of items.subarray(-config.historyItems)) size += index.sids[item]!.length
        return Math.max(most, size)
      }, 0)

    const plan = (
      sequences: ReadonlyArray<Int32Array>,
      seed: number,
      epoch: number
    ): ReadonlyArray<SupervisedBatch> => {
      const length = Math.min(256, Math.max(128, Math.ceil(longest(sequences) / 32) * 32))
      return FlatLayout.pack(index, vocabulary, sequences.map((items) => items.subarray(-config.historyItems)), {
        length,
        batchTokens: config.batchTokens,
        seed,
        epoch
      }).map((layout) => ({ targets: layout.losses, positions: layout.rows * layout.length, layout }))
    }

    let legal = new Uint8Array(0)
    const legalTable = (nodes: Int32Array) => {
      const size = nodes.length * vocabulary.size
      if (legal.length < size) legal = new Uint8Array(size)
      const table = legal.subarray(0, size)
      FlatLayout.legalTokens(index, vocabulary, nodes, table)
      return table
    }

    const supervise = Effect.fn("PolicyModel.supervise")(function*(batch: SupervisedBatch, seed: number, step: number) {
      const rows = batch.layout as FlatLayout.PackedRows
      const dropping = config.dropout > 0
      const shape = [rows.rows, rows.length] as const
      const executable = yield* program(
        `supervised.${rows.length}`,
        () => FlatPrograms.supervised(decoder, buffer, rows.length, dropping)
      )
      const masks = dropping
        ? dropout.draw(seed, step, rows.rows * rows.length * config.width, config.dropout)
        : []
      const feeds = {
        tokens: hostInt32(rows.tokens, ...shape),
        positions: hostInt32(rows.positions, ...shape),
        segments: hostInt32(rows.segments, ...shape),
        targets: hostInt32(rows.targets, ...shape),
        weights: hostFloat32(rows.weights, ...shape),
        legal: hostBool(legalTable(rows.nodes), ...shape, vocabulary.size),
        ...Object.fromEntries(masks.map((mask, site) => [
          `dropout.${site}`,
          hostFloat32(mask, ...shape, config.width)
        ]))
      }
      const [outputs] = yield* parameters.differentiate(executable, [{ feeds }])
      return (yield* outputs!["loss"]!.read).data[0]!
    }, Effect.scoped)

    const treeFeeds = (groups: ReadonlyArray<CandidateGroup>) => {
      const rows = FlatLayout.trees(index, vocabulary, groups, promptPositions, masked)
      const edges = Int32Array.from(rows.edgeRow, (row, e) => row * vocabulary.size + rows.edgeToken[e]!)
      // Of its own: parts of one step are fed one after another.
      const legal = new Uint8Array(rows.nodes.length * vocabulary.size)
      FlatLayout.legalTokens(index, vocabulary, rows.nodes, legal)
      return {
        rows,
        feeds: {
          tokens: hostInt32(rows.tokens, rows.rows, rows.length),
          positions: hostInt32(rows.positions, rows.rows, rows.length),
          mask: hostFloat32(rows.mask, rows.rows, 1, rows.length, rows.length),
          predictors: hostInt32(rows.predictors, rows.predictors.length),
          legal: hostBool(legal, rows.nodes.length, vocabulary.size),
          edges: hostInt32(edges, edges.length)
        }
      }
    }

    /** Groups in parts whose attention fits into memory, in order; usually one. */
    const partsOf = <Group extends CandidateGroup>(groups: ReadonlyArray<Group>) => {
      const parts: Array<Array<Group>> = []
      let longest = 0
      for (const group of groups) {
        const columns = Math.min(promptPositions, 1 + group.history.length * index.levels) +
          group.leaves.length * (index.levels - 1)
        longest = Math.max(longest, columns)
        const part = parts.at(-1)
        if (part !== undefined && (part.length + 1) * longest ** 2 <= attention) part.push(group)
        else {
          parts.push([group])
          longest = columns
        }
      }
      return parts
    }

    const scorePart = Effect.fnUntraced(function*(groups: ReadonlyArray<CandidateGroup>, weights: PolicyWeights) {
      const { feeds, rows } = treeFeeds(groups)
      const executable = yield* program("treeScores", () => FlatPrograms.treeScores(decoder, buffer))
      const outputs = yield* executable.run({ ...weights, ...feeds })
      const logProbs = (yield* outputs["logProbs"]!.read).data
      const result: GroupLogProbs = rows.paths.map((paths) =>
        paths.map((path) => Float32Array.from(path, (edge) => logProbs[edge]!))
      )
      return result
    }, Effect.scoped)

    const score = Effect.fn("PolicyModel.score")(
      (groups: ReadonlyArray<CandidateGroup>, weights: PolicyWeights) =>
        Effect.forEach(partsOf(groups), (part) => scorePart(part, weights)).pipe(Effect.map((scores) => scores.flat()))
    )

    const improve = Effect.fn("PolicyModel.improve")(function*(groups: ReadonlyArray<ScoredGroup>, beta: number) {
      const candidates = groups.reduce((sum, group) => sum + group.leaves.length, 0)
      const feedsOf = (part: ReadonlyArray<ScoredGroup>) => {
        const { feeds, rows } = treeFeeds(part)
        const edges = feeds.edges.data.length
        const gain = new Float32Array(edges)
        const share = new Float32Array(edges)
        const behaviour = new Float32Array(edges)
        const reference = new Float32Array(edges)
        for (const [g, group] of part.entries()) {
          for (const [c, path] of rows.paths[g]!.entries()) {
            const normaliser = 1 / (candidates * path.length)
            for (const [l, edge] of path.entries()) {
              gain[edge]! += group.advantages[c]! * normaliser
              share[edge]! += normaliser
              behaviour[edge] = group.behaviour[c]![l]!
              reference[edge] = group.reference[c]![l]!
            }
          }
        }
        return {
          ...feeds,
          gain: hostFloat32(gain, edges),
          share: hostFloat32(share, edges),
          behaviour: hostFloat32(behaviour, edges),
          reference: hostFloat32(reference, edges),
          beta: hostFloat32(Float32Array.of(beta))
        }
      }
      const executable = yield* program("policyGradient", () => FlatPrograms.policyGradient(decoder, buffer))
      const outputs = yield* parameters.differentiate(
        executable,
        partsOf(groups).map((part) => ({ feeds: feedsOf(part) }))
      )
      let [loss, kl] = [0, 0]
      for (const output of outputs) {
        loss += (yield* output["loss"]!.read).data[0]!
        kl += (yield* output["kl"]!.read).data[0]!
      }
      return { loss, kl }
    }, Effect.scoped)

    return PolicyModel.of({ family: "flat", index, parameters, open, plan, supervise, score, improve })
  })

/**
 * The flat policy for an index, its weights drawn from `seed`; trees of candidates are computed together up to
 * `attention` cells.
 */
export const layer = (
  config: FlatPolicyConfig,
  index: SidIndex,
  seed: number,
  attention: number = widestAttention
): Layer.Layer<PolicyModel, TensorError, TensorRuntime> =>
  Layer.effect(PolicyModel, make(config, index, seed, attention))
