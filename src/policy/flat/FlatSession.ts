/**
 * Decoding with one position per code: prompts are computed once, and the nodes of each score extend their key-value cache.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type Feeds } from "../../optimizer/ParameterStore.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { masked } from "../../tensor/Attention.ts"
import { hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import { type Executable, type TensorHandle } from "../../tensor/TensorRuntime.ts"
import { ofTensor, PolicyError, UnscoredParent } from "../PolicyError.ts"
import { type OpenOptions, type PromptSession } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import * as NodeLogits from "../tree/NodeLogits.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import { type FlatDecoder } from "./FlatDecoder.ts"
import * as FlatPrograms from "./FlatPrograms.ts"
import * as LevelHead from "./LevelHead.ts"

/** Lays out prompts as [B, T], padded on the right. */
const promptFeeds = (prompts: ReadonlyArray<Int32Array>, length: number): Feeds => {
  const batch = prompts.length
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
  return {
    tokens: hostInt32(tokens, batch, length),
    positions: hostInt32(positions, batch, length),
    segments: hostInt32(segments, batch, length),
    last: hostInt32(Int32Array.from(prompts, (prompt, b) => b * length + prompt.length - 1), batch)
  }
}

/** Outputs of a program, kept until they are replaced or the session ends. */
interface Kept {
  /** Number of cached nodes per prompt. */
  readonly columns: number
  readonly outputs: Readonly<Record<string, TensorHandle>>
  readonly scope: Scope.Closeable
}

/** Opens a session: computes the prompts and keeps their key-value cache until the Scope closes. */
export const open = Effect.fn("PolicyModel.open")(function*(
  decoder: FlatDecoder,
  given: ReadonlyArray<Prompt>,
  options: OpenOptions
) {
  const { base, network: { config }, open: vocabulary, program } = decoder
  const { normaliser } = options
  const columns = LevelHead.columns(vocabulary)
  const sessionScope = yield* Effect.scope
  const weights = options.weights.feeds
  const spaces = Array.isArray(options.space)
    ? options.space as ReadonlyArray<LeafSpace>
    : given.map(() => options.space as LeafSpace)
  const prompts = yield* Effect.forEach(given, decoder.prompt)
  const batch = prompts.length
  const length = Math.max(...prompts.map((tokens) => tokens.length))
  const prefill = yield* program({ kind: "prefill", normaliser })
  const roots = LevelHead.tiles(new Int32Array(batch))
  const opened = yield* prefill.run({
    ...weights,
    ...promptFeeds(prompts, length),
    ...LevelHead.feeds(vocabulary, roots, batch)
  })
  const read = Effect.fnUntraced(function*(outputs: Readonly<Record<string, TensorHandle>>) {
    const logits = (yield* outputs["logits"]!.read).data as Float32Array
    const logSums = normaliser === "vocabulary" ? (yield* outputs["logSums"]!.read).data as Float32Array : undefined
    return { logits, logSums } satisfies NodeLogits.Scored
  })
  const rootScores = yield* read(opened)

  /** Cache column of each scored node of each prompt, counted after the prompt's columns. */
  const columnOf = prompts.map(() => new Map<number, number>())
  /** Cache of the nodes scored before the last score; `last` is the cache of the last score. */
  let tree: Kept | undefined
  let last: Kept | undefined

  const run = Effect.fnUntraced(function*(executable: Executable<string, string>, feeds: Feeds, columns: number) {
    const scope = yield* Scope.fork(sessionScope)
    return { columns, outputs: yield* executable.run(feeds).pipe(Scope.provide(scope)), scope } satisfies Kept
  })
  const treeCache = FlatPrograms.cacheNames(config, "tree")
  const promptCache = Object.fromEntries(
    FlatPrograms.cacheNames(config, "prompt").map(({ from, to }) => [to, opened[from]!])
  )
  const treeFeeds = ({ outputs }: Kept) => Object.fromEntries(treeCache.map(({ from, to }) => [to, outputs[from]!]))

  /** Appends the columns of the last score to the tree's cache. */
  const settle = Effect.gen(function*() {
    if (last === undefined) return
    if (tree === undefined) tree = last
    else {
      const { outputs } = last
      const executable = yield* program({ kind: "grow" })
      const own = Object.fromEntries(treeCache.map(({ from }) => [from, outputs[from]!]))
      const grown = yield* run(executable, { ...treeFeeds(tree), ...own }, tree.columns + last.columns)
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
    const scores = (scored: NodeLogits.Scored, places: Int32Array) =>
      NodeLogits.scores(spaces, columns, (prompt, node) => {
        if (node === 0) return { scored: rootScores, base: roots.places[prompt]! * columns, row: prompt }
        const row = rows[prompt]!.get(node)!
        return { scored, base: places[row]! * columns, row }
      })
    if (width === 0) return scores(rootScores, roots.places)
    yield* settle
    const before = length + (tree?.columns ?? 0)
    const seen = before + width
    const levels = new Int32Array(batch * width).fill(-1)
    const tokens = new Int32Array(batch * width)
    const positions = new Int32Array(batch * width)
    const mask = new Float32Array(batch * width * seen).fill(masked)
    for (let b = 0; b < batch; b++) {
      const prefix = prompts[b]!.length
      const space = spaces[b]!
      const known = columnOf[b]!
      for (let w = 0; w < width; w++) {
        const cell = b * width + w
        const row = cell * seen
        mask[row + before + w] = 0
        const node = asked[b]![w]
        if (node === undefined) continue
        const level = space.level(node)
        tokens[cell] = base + CompactVocabulary.token(vocabulary, level - 1, space.code(node))
        positions[cell] = prefix + level - 1
        levels[cell] = level
        /** First position that the node sees. */
        const first = Math.max(0, positions[cell]! - (config.slidingWindow ?? Infinity) + 1)
        if (first < prefix) mask.fill(0, row + first, row + prefix)
        for (let up = space.parent(node); up > 0; up = space.parent(up)) {
          const column = known.get(up)
          if (column === undefined) {
            return yield* new PolicyError({ reason: new UnscoredParent({ prompt: b, node, parent: up }) })
          }
          if (prefix + space.level(up) - 1 >= first) mask[row + length + column] = 0
        }
        rows[b]!.set(node, cell)
      }
    }
    for (const [b, list] of asked.entries()) {
      for (const [w, node] of list.entries()) columnOf[b]!.set(node, before - length + w)
    }
    const executable = yield* program({ kind: "extend", tree: tree !== undefined, normaliser })
    const tiles = LevelHead.tiles(levels)
    last = yield* run(executable, {
      ...weights,
      ...promptCache,
      ...(tree === undefined ? {} : treeFeeds(tree)),
      tokens: hostInt32(tokens, batch, width),
      positions: hostInt32(positions, batch, width),
      mask: hostFloat32(mask, batch, 1, width, seen),
      ...LevelHead.feeds(vocabulary, tiles, batch, width)
    }, width)
    return scores(yield* read(last.outputs), tiles.places)
  })
  const session: PromptSession = {
    score: (nodes) => score(nodes).pipe(Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))
  }
  return session
}, Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))
