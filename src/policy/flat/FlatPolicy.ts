/**
 * The flat family of policies: a decoder over one position per code, with the compact vocabulary.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { type GroupObjective } from "../../objective/Objective.ts"
import { type Feeds, type ParameterStore } from "../../optimizer/ParameterStore.ts"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { Sids } from "../../sid/Sids.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as Random from "../../statistics/Random.ts"
import { masked } from "../../tensor/Attention.ts"
import * as Dropout from "../../tensor/Dropout.ts"
import { hostBool, hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import { type Executable, type TensorHandle, TensorRuntime } from "../../tensor/TensorRuntime.ts"
import { ofTensor, PolicyError, UnscoredParent, Unsupported } from "../PolicyError.ts"
import {
  type CandidateGroup,
  type Gradient,
  type NodeScores,
  type OpenOptions,
  PolicyModel,
  type PromptSession,
  type ScoredGroup,
  type SupervisedBatch,
  type TreeLogProbs,
  type Weights
} from "../PolicyModel.ts"
import { type Prompt, type Segment, type TrainingExample } from "../Prompt.ts"
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

const family = "flat"

/** Cells of the attention of candidate trees that are computed together: 256 MB of float32. */
const widestAttention = 2 ** 26

/** The items of a history; a task in words is none. */
const itemsOf = (prompt: Prompt): Effect.Effect<Int32Array, PolicyError> =>
  prompt._tag === "History" ? Effect.succeed(prompt.history.items) : Effect.fail(
    new PolicyError({
      reason: new Unsupported({
        family,
        what: `the task "${prompt.task}" in words`,
        remedy: "give it a history, or use a policy that reads text"
      })
    })
  )

/** The items of an answer. */
const answered = (segments: ReadonlyArray<Segment>): Effect.Effect<ReadonlyArray<number>, PolicyError> =>
  Effect.forEach(segments, (segment) =>
    typeof segment === "object" ? Effect.succeed(segment.item) : Effect.fail(
      new PolicyError({
        reason: new Unsupported({
          family,
          what: `the words "${segment}" as an answer`,
          remedy: "let it answer with items, or use a policy that writes text"
        })
      })
    ))

/** Reads scores off logits [rows, V]; `rowOf` finds the row of a scored node, -1 for none. */
const nodeScores = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  spaces: ReadonlyArray<LeafSpace>,
  normaliser: OpenOptions["normaliser"],
  logits: (prompt: number, node: number) => { readonly values: Float32Array; readonly row: number }
): NodeScores => {
  const buffer = new Int32Array(Math.max(...spaces.map(({ width }) => width)))
  /** Writes the logits of the children and returns their number and the logarithm of what all are divided by. */
  const write = (prompt: number, node: number, into: Float32Array) => {
    const space = spaces[prompt]!
    const count = space.children(node, buffer)
    const { row, values } = logits(prompt, node)
    const base = row * vocabulary.size
    const offset = count === 0 ? 0 : base + vocabulary.offsets[space.level(node)]!
    const end = count > 0 && space.ends(node) ? values[base + CompactVocabulary.end]! : -Infinity
    let highest = end
    for (let i = 0; i < count; i++) {
      const value = values[offset + space.code(buffer[i]!)]!
      into[i] = value
      if (value > highest) highest = value
    }
    let sum = 0
    if (normaliser === "children") {
      for (let i = 0; i < count; i++) sum += Math.exp(into[i]! - highest)
      if (end > -Infinity) sum += Math.exp(end - highest)
    } else {
      highest = values.subarray(base, base + vocabulary.size).reduce((most, value) => Math.max(most, value), -Infinity)
      for (let token = 0; token < vocabulary.size; token++) sum += Math.exp(values[base + token]! - highest)
    }
    return { count, end, logSum: highest + Math.log(sum) }
  }
  const spare = new Float32Array(buffer.length)
  return {
    children: (prompt, node, into) => {
      const { count, logSum } = write(prompt, node, into)
      for (let i = 0; i < count; i++) into[i] = into[i]! - logSum
      return count
    },
    end: (prompt, node) => {
      const space = spaces[prompt]!
      if (!space.ends(node)) return -Infinity
      if (space.childCount(node) === 0) return 0
      const { end, logSum } = write(prompt, node, spare)
      return end - logSum
    }
  }
}

const make = (config: FlatPolicyConfig, seed: number, attention: number) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const { index, space } = yield* Sids
    const scope = yield* Effect.scope
    const decoder = decoderConfig(config, index)
    const vocabulary = CompactVocabulary.make(index)
    const specs = () => Transformer.parameters(decoder, Random.normal(seed, 0x1417))
    const slots = Object.entries(specs()).map(([name, { shape }]) => ({ name, shape }))
    const promptPositions = 1 + config.historyItems * index.levels
    const dropout = Dropout.make(Transformer.dropoutSites(decoder))

    const compiled = new Map<string, Executable<string, string>>()
    const program = Effect.fnUntraced(function*(key: string, make: () => Parameters<typeof runtime.compile>[0]) {
      const known = compiled.get(key)
      if (known !== undefined) return known
      const fresh = yield* runtime.compile(make()).pipe(Scope.provide(scope))
      compiled.set(key, fresh)
      return fresh
    })

    const open = Effect.fn("PolicyModel.open")(function*(
      given: ReadonlyArray<Prompt>,
      options: OpenOptions
    ) {
      const sessionScope = yield* Effect.scope
      const weights = options.weights.feeds
      const spaces = Array.isArray(options.space)
        ? options.space as ReadonlyArray<LeafSpace>
        : given.map(() => options.space as LeafSpace)
      const prompts = (yield* Effect.forEach(given, itemsOf)).map((items) =>
        FlatLayout.prompt(index, vocabulary, items, promptPositions)
      )
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
      const prefill = yield* program("prefill", () => FlatPrograms.prefill(decoder, slots))
      const opened = yield* prefill.run({
        ...weights,
        tokens: hostInt32(tokens, batch, length),
        positions: hostInt32(positions, batch, length),
        segments: hostInt32(segments, batch, length),
        last: hostInt32(Int32Array.from(prompts, (prompt, b) => b * length + prompt.length - 1), batch)
      })
      const rootLogits = (yield* opened["logits"]!.read).data as Float32Array

      /** Columns of the nodes that were scored, after the prompt's. */
      const columnOf = prompts.map(() => new Map<number, number>())
      type Cache = {
        readonly columns: number
        readonly outputs: Readonly<Record<string, TensorHandle>>
        readonly scope: Scope.Closeable
      }
      /** All columns but those of the last score, and those. */
      let tree: Cache | undefined
      let last: Cache | undefined

      /** Runs a program whose outputs live until they are replaced, or the session ends. */
      const run = Effect.fnUntraced(function*(
        executable: Executable<string, string>,
        feeds: Feeds,
        columns: number
      ) {
        const own = yield* Scope.fork(sessionScope)
        return { columns, outputs: yield* executable.run(feeds).pipe(Scope.provide(own)), scope: own } satisfies Cache
      })
      const parts = ({ outputs }: Cache) =>
        Object.fromEntries(FlatPrograms.cacheNames(decoder, "tree").map(({ from, to }) => [to, outputs[from]!]))

      /** Makes the columns of the last score part of the tree. */
      const settle = Effect.gen(function*() {
        if (last === undefined) return
        if (tree === undefined) tree = last
        else {
          const executable = yield* program("grow", () => FlatPrograms.grow(decoder))
          const own = Object.fromEntries(
            FlatPrograms.cacheNames(decoder, "tree").map(({ from }) => [from, last!.outputs[from]!])
          )
          const grown = yield* run(executable, { ...parts(tree), ...own }, tree.columns + last.columns)
          yield* Scope.close(tree.scope, Exit.void)
          yield* Scope.close(last.scope, Exit.void)
          tree = grown
        }
        last = undefined
      })

      const score = Effect.fnUntraced(function*(nodes: ReadonlyArray<Int32Array>) {
        const asked = nodes.map((list) => list.filter((node) => node !== 0))
        const width = Math.max(...asked.map((list) => list.length))
        const rows = prompts.map(() => new Map<number, number>())
        const scores = (values: Float32Array) =>
          nodeScores(
            vocabulary,
            spaces,
            options.normaliser,
            (prompt, node) =>
              node === 0 ? { values: rootLogits, row: prompt } : { values, row: rows[prompt]!.get(node)! }
          )
        if (width === 0) return scores(rootLogits)
        yield* settle
        const before = length + (tree?.columns ?? 0)
        const columns = before + width
        const tokens = new Int32Array(batch * width)
        const positions = new Int32Array(batch * width)
        const mask = new Float32Array(batch * width * columns).fill(masked)
        for (let b = 0; b < batch; b++) {
          const prefix = prompts[b]!.length
          const space = spaces[b]!
          const known = columnOf[b]!
          for (let w = 0; w < width; w++) {
            const cell = b * width + w
            const row = cell * columns
            mask[row + before + w] = 0
            const node = asked[b]![w]
            if (node === undefined) continue
            const level = space.level(node)
            tokens[cell] = CompactVocabulary.token(vocabulary, level - 1, space.code(node))
            positions[cell] = prefix + level - 1
            mask.fill(0, row, row + prefix)
            for (let up = space.parent(node); up > 0; up = space.parent(up)) {
              const column = known.get(up)
              if (column === undefined) {
                return yield* new PolicyError({ reason: new UnscoredParent({ prompt: b, node, parent: up }) })
              }
              mask[row + length + column] = 0
            }
            rows[b]!.set(node, cell)
          }
        }
        for (const [b, list] of asked.entries()) {
          for (const [w, node] of list.entries()) columnOf[b]!.set(node, before - length + w)
        }
        const executable = yield* program(
          tree === undefined ? "extendPrompt" : "extend",
          () => FlatPrograms.extend(decoder, slots, tree !== undefined)
        )
        last = yield* run(executable, {
          ...weights,
          ...Object.fromEntries(FlatPrograms.cacheNames(decoder, "prompt").map(({ from, to }) => [to, opened[from]!])),
          ...(tree === undefined ? {} : parts(tree)),
          tokens: hostInt32(tokens, batch, width),
          positions: hostInt32(positions, batch, width),
          mask: hostFloat32(mask, batch, 1, width, columns)
        }, width)
        return scores((yield* last.outputs["logits"]!.read).data as Float32Array)
      })
      const session: PromptSession = {
        score: (nodes) => score(nodes).pipe(Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))
      }
      return session
    }, Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))

    const longest = (sequences: ReadonlyArray<FlatLayout.Sequence>) =>
      sequences.reduce((most, { items }) => {
        let size = 0
        for (const item of items) size += FlatLayout.itemLength(index, item)
        return Math.max(most, size)
      }, 0)

    const sequenceOf = Effect.fnUntraced(function*({ answer, prompt, weight }: TrainingExample) {
      const items = yield* itemsOf(prompt)
      const own = answer === "every-position" ? [] : yield* answered(answer)
      const all = own.length === 0 ? items : Int32Array.from([...items, ...own])
      const kept = all.subarray(-config.historyItems)
      const given = own.length === 0 ? 0 : Math.max(0, items.length - (all.length - kept.length))
      return { items: kept, given, weight } satisfies FlatLayout.Sequence
    })

    const plan = Effect.fnUntraced(function*(
      examples: ReadonlyArray<TrainingExample>,
      seed: number,
      epoch: number
    ) {
      const sequences = yield* Effect.forEach(examples, sequenceOf)
      const length = Math.min(256, Math.max(128, Math.ceil(longest(sequences) / 32) * 32))
      const options = { length, batchTokens: config.batchTokens, seed, epoch }
      return FlatLayout.pack(index, vocabulary, sequences, options).map((rows): SupervisedBatch => {
        const shape = [rows.rows, rows.length] as const
        return {
          program: `supervised.${length}`,
          targets: rows.losses,
          feeds: {
            tokens: hostInt32(rows.tokens, ...shape),
            positions: hostInt32(rows.positions, ...shape),
            segments: hostInt32(rows.segments, ...shape),
            targets: hostInt32(rows.targets, ...shape),
            weights: hostFloat32(rows.weights, ...shape),
            nodes: hostInt32(rows.nodes, ...shape)
          }
        }
      })
    })

    let legal = new Uint8Array(0)
    const legalTable = (nodes: Int32Array) => {
      const size = nodes.length * vocabulary.size
      if (legal.length < size) legal = new Uint8Array(size)
      const table = legal.subarray(0, size)
      FlatLayout.legalTokens(index, vocabulary, nodes, table)
      return table
    }

    /** Runs one program over the parts of a step, one after the other, and sums what it says. */
    const accumulate = Effect.fnUntraced(
      function*(
        store: ParameterStore,
        executable: Executable<string, string>,
        parts: ReadonlyArray<{ readonly feeds: Feeds; readonly share: number }>
      ) {
        const outputs = yield* store.differentiate(executable, parts)
        const sums: Record<string, number> = {}
        for (const [i, output] of outputs.entries()) {
          for (const [name, term] of [["loss", output["loss"]!] as const, ...FlatPrograms.termsOf(output)]) {
            sums[name] = (sums[name] ?? 0) + parts[i]!.share * (yield* term.read).data[0]!
          }
        }
        return { loss: 0, ...sums }
      },
      Effect.scoped,
      Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
    )

    const supervised = Effect.sync((): Gradient<SupervisedBatch> => ({
      accumulate: Effect.fn("PolicyModel.supervised")(function*(store, parts, { seed, step }) {
        const dropping = config.dropout > 0
        const [rows, length] = parts[0]!.batch.feeds["tokens"]!.shape as [number, number]
        const executable = yield* program(
          `supervised.${length}`,
          () => FlatPrograms.supervised(decoder, slots, length, dropping)
        ).pipe(Effect.mapError(ofTensor))
        const feedsOf = ({ feeds: { nodes, ...feeds } }: SupervisedBatch, part: number) => {
          const shape = feeds["tokens"]!.shape
          const masks = dropping
            ? dropout.draw(seed + part * 0x1_0000, step, rows * length * config.width, config.dropout)
            : []
          return {
            ...feeds,
            legal: hostBool(legalTable(nodes!.data as Int32Array), ...shape, vocabulary.size),
            ...Object.fromEntries(masks.map((mask, site) => [
              `dropout.${site}`,
              hostFloat32(mask, ...shape, config.width)
            ]))
          }
        }
        return yield* accumulate(
          store,
          executable,
          parts.map(({ batch, share = 1 }, part) => ({
            share,
            get feeds() {
              return feedsOf(batch, part)
            }
          }))
        )
      })
    }))

    const historiesOf = (groups: ReadonlyArray<CandidateGroup>) =>
      Effect.forEach(groups, ({ prompt }) => itemsOf(prompt))

    const treeFeeds = (groups: ReadonlyArray<CandidateGroup>, histories: ReadonlyArray<Int32Array>) => {
      const rows = FlatLayout.trees(
        index,
        space,
        vocabulary,
        groups.map(({ leaves }, g) => ({ history: histories[g]!, leaves })),
        promptPositions,
        masked
      )
      const count = rows.nodes.length
      const edges = new Int32Array(count * rows.widest)
      for (let r = 0; r < count; r++) {
        edges.fill(r * vocabulary.size, r * rows.widest, (r + 1) * rows.widest)
        for (let e = rows.starts[r]!; e < rows.starts[r + 1]!; e++) {
          edges[r * rows.widest + e - rows.starts[r]!]! += rows.edges[e]!
        }
      }
      return {
        rows,
        feeds: {
          tokens: hostInt32(rows.tokens, rows.rows, rows.length),
          positions: hostInt32(rows.positions, rows.rows, rows.length),
          mask: hostFloat32(rows.mask, rows.rows, 1, rows.length, rows.length),
          predictors: hostInt32(rows.predictors, count),
          legal: hostBool(legalTable(rows.nodes), count, vocabulary.size),
          edges: hostInt32(edges, count, rows.widest)
        }
      }
    }

    const candidatesOf = (groups: ReadonlyArray<CandidateGroup>): number =>
      groups.reduce((sum, { leaves }) => sum + leaves.length, 0)

    /** Groups with their histories in parts whose attention fits into memory, in order; usually one. */
    const partsOf = <Group extends CandidateGroup>(
      groups: ReadonlyArray<Group>,
      histories: ReadonlyArray<Int32Array>
    ) => {
      const parts: Array<{ readonly groups: Array<Group>; readonly histories: Array<Int32Array> }> = []
      let longest = 0
      for (const [g, group] of groups.entries()) {
        const history = histories[g]!
        const columns = Math.min(promptPositions, 1 + history.length * index.levels) +
          group.leaves.length * (index.levels - 1)
        longest = Math.max(longest, columns)
        const part = parts.at(-1)
        if (part !== undefined && (part.groups.length + 1) * longest ** 2 <= attention) {
          part.groups.push(group)
          part.histories.push(history)
        } else {
          parts.push({ groups: [group], histories: [history] })
          longest = columns
        }
      }
      return parts
    }

    const scorePart = Effect.fnUntraced(
      function*(groups: ReadonlyArray<CandidateGroup>, histories: ReadonlyArray<Int32Array>, weights: Weights) {
        const { feeds, rows } = treeFeeds(groups, histories)
        const executable = yield* program("treeScores", () => FlatPrograms.treeScores(decoder, slots))
        const outputs = yield* executable.run({ ...weights.feeds, ...feeds })
        const table = (yield* outputs["logProbs"]!.read).data
        return groups.map((_, g): TreeLogProbs => {
          const [from, to] = [rows.first[g]!, rows.first[g + 1]!]
          const starts = rows.starts.slice(from, to + 1).map((start) => start - rows.starts[from]!)
          const logProbs = new Float32Array(starts.at(-1)!)
          for (let r = from; r < to; r++) {
            const start = starts[r - from]!
            for (let e = start; e < starts[r - from + 1]!; e++) logProbs[e] = table[r * rows.widest + e - start]!
          }
          return { nodes: rows.nodes.slice(from, to), starts, logProbs }
        })
      },
      Effect.scoped,
      Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
    )

    const score = Effect.fn("PolicyModel.score")(
      function*(groups: ReadonlyArray<CandidateGroup>, weights: Weights) {
        const parts = partsOf(groups, yield* historiesOf(groups))
        return (yield* Effect.forEach(parts, (part) => scorePart(part.groups, part.histories, weights))).flat()
      }
    )

    const groupFeeds = (
      groups: ReadonlyArray<ScoredGroup>,
      histories: ReadonlyArray<Int32Array>,
      objective: GroupObjective
    ): Feeds => {
      const { feeds, rows } = treeFeeds(groups, histories)
      const [count, widest] = [rows.nodes.length, rows.widest]
      const candidates = groups.reduce((sum, { leaves }) => sum + leaves.length, 0)
      const longestPath = Math.max(1, ...rows.paths.flatMap((paths) => paths.map((path) => path.length)))
      const table = () => new Float32Array(candidates * longestPath)
      const [stepMask, behaviour, reference] = [table(), table(), table()]
      const steps = new Int32Array(candidates * longestPath)
      const [advantages, group] = [new Float32Array(candidates), new Int32Array(candidates)]
      const [nodeReference, edgeMask] = [new Float32Array(count * widest), new Float32Array(count * widest)]
      const visits = new Float32Array(count)
      const rowOf = new Int32Array(rows.edges.length)
      for (let r = 0; r < count; r++) {
        const [from, to] = [rows.starts[r]!, rows.starts[r + 1]!]
        rowOf.fill(r, from, to)
        edgeMask.fill(1, r * widest, r * widest + to - from)
      }
      let c = 0
      for (const [g, scored] of groups.entries()) {
        const { logProbs, nodes, starts } = scored.reference
        const known = new Map(Array.from(nodes, (node, i) => [node, starts[i]!]))
        for (let r = rows.first[g]!; r < rows.first[g + 1]!; r++) {
          const [from, length] = [known.get(rows.nodes[r]!)!, rows.starts[r + 1]! - rows.starts[r]!]
          nodeReference.set(logProbs.subarray(from, from + length), r * widest)
        }
        for (const [i, path] of rows.paths[g]!.entries()) {
          advantages[c] = scored.advantages[i]!
          group[c] = g
          for (const [l, edge] of path.entries()) {
            const [at, r] = [c * longestPath + l, rowOf[edge]!]
            steps[at] = r * vocabulary.size + rows.edges[edge]!
            stepMask[at] = 1
            behaviour[at] = scored.behaviour[i]![l]!
            reference[at] = nodeReference[r * widest + edge - rows.starts[r]!]!
            visits[r]!++
          }
          c++
        }
      }
      return {
        ...feeds,
        steps: hostInt32(steps, candidates, longestPath),
        stepMask: hostFloat32(stepMask, candidates, longestPath),
        behaviour: hostFloat32(behaviour, candidates, longestPath),
        reference: hostFloat32(reference, candidates, longestPath),
        advantages: hostFloat32(advantages, candidates),
        group: hostInt32(group, candidates),
        nodeReference: hostFloat32(nodeReference, count, widest),
        edgeMask: hostFloat32(edgeMask, count, widest),
        visits: hostFloat32(visits, count),
        ...Object.fromEntries(
          Object.entries(objective.scalars).map(([name, value]) => [
            FlatPrograms.scalarName(name),
            hostFloat32(Float32Array.of(value))
          ])
        )
      }
    }

    const groupGradient = Effect.fn("PolicyModel.groupGradient")(function*(objective: GroupObjective) {
      const executable = yield* runtime.compile(FlatPrograms.groupGradient(decoder, slots, objective)).pipe(
        Effect.mapError(ofTensor)
      )
      const gradient: Gradient<ReadonlyArray<ScoredGroup>> = {
        accumulate: Effect.fn("PolicyModel.groupGradient.accumulate")(function*(store, parts) {
          const histories = yield* Effect.forEach(parts, ({ batch }) => historiesOf(batch))
          return yield* accumulate(
            store,
            executable,
            // A loss is a mean over candidates, so that of a part counts by its candidates.
            parts.flatMap(({ batch, share = 1 }, part) =>
              partsOf(batch, histories[part]!).map(({ groups, histories: own }) => ({
                share: share * candidatesOf(groups) / candidatesOf(batch),
                get feeds() {
                  return groupFeeds(groups, own, objective)
                }
              }))
            )
          )
        })
      }
      return gradient
    })

    return PolicyModel.of({
      family,
      get parameters() {
        return specs()
      },
      open,
      plan,
      score,
      scoreItems: Option.none(),
      supervised,
      groupGradient
    })
  })

/**
 * The flat policy for the catalogue of the context, its weights drawn from `seed`; trees of candidates are computed
 * together up to `attention` cells.
 */
export const layer = (
  config: FlatPolicyConfig,
  seed: number,
  attention: number = widestAttention
): Layer.Layer<PolicyModel, never, TensorRuntime | Sids> => Layer.effect(PolicyModel, make(config, seed, attention))
