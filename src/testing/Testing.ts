/**
 * Working fakes for tests of programs that use Sidereal.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EmbeddingStore } from "../embedding/EmbeddingStore.ts"
import { type RolloutPrompt } from "../grpo/Prompts.ts"
import { type Rollout, rollout, RolloutActor } from "../grpo/RolloutActor.ts"
import { ActorFailed, RolloutError } from "../grpo/RolloutError.ts"
import * as Reward from "../reward/Reward.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { Progress } from "../run/Progress.ts"
import { RunLog } from "../run/RunLog.ts"
import * as SidIndex from "../sid/SidIndex.ts"
import { Sids } from "../sid/Sids.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import { BackendUnavailable, TensorError } from "../tensor/TensorError.ts"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"

/** Services of a run that keep all data in memory and print nothing. */
export const layerRun: Layer.Layer<Checkpointer | RunLog | Progress | EmbeddingStore> = Layer.mergeAll(
  Checkpointer.layerMemory,
  RunLog.layerMemory,
  Progress.layerSilent,
  EmbeddingStore.layerMemory
)

/** Runtime without a backend: parameters are in host memory, and compiling a program fails. */
export const layerNoTensors: Layer.Layer<TensorRuntime> = Layer.succeed(
  TensorRuntime,
  TensorRuntime.of({
    name: "none",
    resident: false,
    compile: ({ name }) =>
      Effect.fail(
        new TensorError({
          reason: new BackendUnavailable({ backend: "none", remedy: `a test compiled "${name}" without a runtime` })
        })
      ),
    place: () =>
      Effect.fail(
        new TensorError({ reason: new BackendUnavailable({ backend: "none", remedy: "a test placed tensors" }) })
      ),
    usage: Effect.succeed({ handles: 0, bytes: 0, executables: 0 })
  })
)

/** Builds an index of `items` items with distinct SIDs of `levels` codes each, 3 by default. */
export const index = (items: number, levels = 3): SidIndex.SidIndex => {
  const codes = Math.max(2, Math.ceil(items ** (1 / levels)))
  return SidIndex.make(
    Array.from(
      { length: items },
      (_, i) => Int32Array.from({ length: levels }, (_, level) => Math.floor(i / codes ** (levels - 1 - level)) % codes)
    ),
    Array.from({ length: levels }, () => codes),
    "none"
  )
}

/** Controls of a fake. */
export interface Faults<E> {
  /** Arguments of every call so far. */
  readonly calls: ReadonlyArray<ReadonlyArray<unknown>>
  /** Makes the next `count` calls fail, with `error` if it is set. */
  failNext(count: number, error?: E): void
  /** Delays every call by a duration; with `Duration.infinity` calls never return. */
  delay(duration: Duration.Input): void
}

const faults = <E>(usual: E) => {
  const calls: Array<ReadonlyArray<unknown>> = []
  const failures: Array<E> = []
  let wait: Duration.Input = 0
  const controls: Faults<E> = {
    calls,
    failNext: (count, error = usual) => {
      for (let i = 0; i < count; i++) failures.push(error)
    },
    delay: (duration) => {
      wait = duration
    }
  }
  const pass = (call: ReadonlyArray<unknown>): Effect.Effect<void, E> =>
    Effect.suspend(() => {
      calls.push(call)
      const duration = Duration.fromInputUnsafe(wait)
      const waited = Duration.isZero(duration)
        ? Effect.void
        : Duration.isFinite(duration)
        ? Effect.sleep(duration)
        : Effect.never
      const error = failures.shift()
      return error === undefined ? waited : Effect.andThen(waited, Effect.fail(error))
    })
  return { controls, pass }
}

/**
 * Makes a fake reward that returns a constant, or the result of a function of the group.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import { RewardActor } from "sidereal/reward/RewardActor"
 * import * as Testing from "sidereal/testing"
 *
 * const fake = Testing.reward("fake", ({ items }) => Array.from(items, (item) => item))
 * fake.failNext(1)
 * const group = { user: 0, history: Int32Array.of(4), target: 2, items: Int32Array.of(3, 2), hits: [false, true] }
 * const [earned] = await Effect.runPromise(
 *   Effect.flatMap(RewardActor, (actor) => actor.score([group])).pipe(
 *     Effect.provide(RewardActor.layer([{ reward: fake.reward, weight: 1, retries: 1 }]))
 *   )
 * )
 * assert.deepEqual(Array.from(earned!.total), [3, 2])
 * assert.equal(fake.calls.length, 2)
 * ```
 */
export const reward = (
  name: string,
  answer: number | ((group: Reward.RewardGroup) => Reward.Answer)
): Faults<Reward.RewardError> & { readonly reward: Layer.Layer<Reward.Reward> } => {
  const { controls, pass } = faults(Reward.failed(name, "it was told to"))
  return {
    ...controls,
    reward: Reward.Reward.layerBatch(
      name,
      (groups) =>
        Effect.map(
          pass([groups]),
          () =>
            groups.map((group) => typeof answer === "number" ? Array.from(group.items, () => answer) : answer(group))
        )
    )
  }
}

/** Makes a fake rollout actor that draws leaves by a function, by default the first 4 leaves, with uniform steps. */
export const rollouts = (
  leaves: (space: LeafSpace.LeafSpace, prompt: RolloutPrompt) => Int32Array = firstLeaves(4)
): Faults<RolloutError> & { readonly layer: Layer.Layer<RolloutActor, never, Sids> } => {
  const { controls, pass } = faults(
    new RolloutError({ reason: new ActorFailed({ step: 0, detail: "it was told to" }) })
  )
  const draw = (space: LeafSpace.LeafSpace, prompt: RolloutPrompt): Rollout => {
    const drawn = leaves(space, prompt)
    return rollout(space, prompt, {
      version: 0,
      leaves: drawn,
      behaviour: Array.from(drawn, (leaf) => evenSteps(space, leaf))
    })
  }
  return {
    ...controls,
    layer: Layer.effect(
      RolloutActor,
      Effect.map(Sids, ({ space }) =>
        RolloutActor.of({
          generate: (prompts, step) =>
            Effect.andThen(
              pass([prompts, step]),
              Effect.sync(() => prompts.map((prompt) => draw(space, prompt)))
            )
        }))
    )
  }
}

/** Returns a function that returns the first `count` leaves of a space, in the order of its nodes. */
export const firstLeaves = (count: number) => (space: LeafSpace.LeafSpace): Int32Array => {
  const found: Array<number> = []
  const visit = (node: number) => {
    if (found.length < count && space.ends(node)) found.push(node)
    for (const child of LeafSpace.childNodes(space, node)) if (found.length < count) visit(child)
  }
  visit(0)
  return Int32Array.from(found)
}

/**
 * Returns the log-probabilities of the steps to a leaf under uniform choice: one per code, and one for an explicit end.
 */
export const evenSteps = (space: LeafSpace.LeafSpace, leaf: number): Float32Array => {
  const choices = (node: number) => space.childCount(node) + (space.ends(node) ? 1 : 0)
  const steps = LeafSpace.path(space, leaf).map((node) => -Math.log(choices(space.parent(node))))
  return Float32Array.from(space.childCount(leaf) > 0 ? [...steps, -Math.log(choices(leaf))] : steps)
}
