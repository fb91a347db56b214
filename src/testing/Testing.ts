/**
 * Working stand-ins for tests of programs that use Sidereal.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EmbeddingStore } from "../embedding/EmbeddingStore.ts"
import { type Prompt, type Rollout, RolloutActor } from "../grpo/RolloutActor.ts"
import * as Reward from "../reward/Reward.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { Progress } from "../run/Progress.ts"
import { RunLog } from "../run/RunLog.ts"
import * as SidIndex from "../sid/SidIndex.ts"

/** Run services that keep everything in memory and print nothing. */
export const layerRun: Layer.Layer<Checkpointer | RunLog | Progress | EmbeddingStore> = Layer.mergeAll(
  Checkpointer.layerMemory,
  RunLog.layerMemory,
  Progress.layerSilent,
  EmbeddingStore.layerMemory
)

/** An index of `items` items with three codes each, all distinct. */
export const index = (items: number): SidIndex.SidIndex => {
  const codes = Math.max(2, Math.ceil(Math.cbrt(items)))
  return SidIndex.make(
    Array.from(
      { length: items },
      (_, i) => Int32Array.of(Math.floor(i / codes / codes) % codes, Math.floor(i / codes) % codes, i % codes)
    ),
    [codes, codes, codes],
    "none"
  )
}

/** A reward that always answers the same and remembers what it was asked. */
export const reward = (name: string, value: number) => {
  const asked: Array<Reward.RewardGroup> = []
  return {
    asked,
    reward: Reward.make(name, (group) => {
      asked.push(group)
      return Array.from(group.items, () => value)
    })
  }
}

/** Rollouts from a function instead of a policy. */
export const layerRollouts = (leaves: (prompt: Prompt) => Int32Array): Layer.Layer<RolloutActor> =>
  Layer.succeed(
    RolloutActor,
    RolloutActor.of({
      generate: (prompts) =>
        Effect.succeed(prompts.map((prompt): Rollout => {
          const drawn = leaves(prompt)
          return { prompt, leaves: drawn, behaviour: Array.from(drawn, () => new Float32Array(3)) }
        }))
    })
  )
