/**
 * Decoding from scores of all items: prompts are scored once, and every node's probability is a sum over items.
 */
import * as Effect from "effect/Effect"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { ofTensor, PolicyError, UnscoredParent } from "../PolicyError.ts"
import { type NodeScores, type OpenOptions, type PromptSession, type Weights } from "../PolicyModel.ts"
import { type Prompt } from "../Prompt.ts"
import { type Scored } from "./DigitScores.ts"
import * as LeafMasses from "./LeafMasses.ts"

/** Function that scores all items after prompts. */
export type ScoreAll = (
  prompts: ReadonlyArray<Prompt>,
  weights: Weights
) => Effect.Effect<Scored, TensorError | PolicyError>

/**
 * Makes the function that opens sessions. All probability is on items of the space, so that both normalisers are the
 * same.
 */
export const make = (scoreAll: ScoreAll) =>
  Effect.fn("PolicyModel.open")(function*(prompts: ReadonlyArray<Prompt>, options: OpenOptions) {
    const spaces = Array.isArray(options.space)
      ? options.space as ReadonlyArray<LeafSpace>
      : prompts.map(() => options.space as LeafSpace)
    const scored = yield* scoreAll(prompts, options.weights)
    const masses = spaces.map((space, p) => LeafMasses.of(space, scored.of(p)))
    const buffer = new Int32Array(spaces.reduce((most, { width }) => Math.max(most, width), 1))
    const known = prompts.map(() => new Set<number>())
    const scores: NodeScores = {
      children: (prompt, node, into) => {
        const count = spaces[prompt]!.children(node, buffer)
        for (let i = 0; i < count; i++) into[i] = LeafMasses.toChild(masses[prompt]!, node, buffer[i]!)
        return count
      },
      end: (prompt, node) => {
        const space = spaces[prompt]!
        if (!space.ends(node)) return -Infinity
        return space.childCount(node) === 0 ? 0 : LeafMasses.toEnd(masses[prompt]!, node)
      }
    }
    const session: PromptSession = {
      score: (nodes) =>
        Effect.suspend(() => {
          for (const [prompt, list] of nodes.entries()) {
            for (const node of list) {
              const parent = spaces[prompt]!.parent(node)
              if (node > 0 && !known[prompt]!.has(parent)) {
                return Effect.fail(new PolicyError({ reason: new UnscoredParent({ prompt, node, parent }) }))
              }
            }
          }
          for (const [prompt, list] of nodes.entries()) for (const node of list) known[prompt]!.add(node)
          return Effect.succeed(scores)
        })
    }
    return session
  }, Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error))))
