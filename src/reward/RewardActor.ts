/**
 * Rewards with their weights, and the actors that compute and combine them.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Reward from "./Reward.ts"

/** Reward with its weight, time limit, retries and treatment of failures. */
export interface WeightedReward<E = never, R = never> {
  /** Factor of the reward in the total; a penalty is a negative reward with a weight above 0. */
  readonly weight: number
  readonly reward: Layer.Layer<Reward.Reward, E, R>
  /** Time limit of each attempt. @default that of `RewardActorOptions` */
  readonly timeout?: Duration.Input | undefined
  /** Retries: a schedule, or a number of them, after 0.1 s, 0.2 s, 0.4 s ..., at most 10 s. @default 0 */
  readonly retries?: Schedule.Schedule<unknown, Reward.RewardError> | number | undefined
  /**
   * Treatment of a batch whose reward still fails after its retries: `fail` fails the batch; `notApplicable` logs a
   * warning and continues as if the reward applied to none of its groups. @default fail
   */
  readonly onFailure?: "fail" | "notApplicable" | undefined
}

/** List of rewards with any errors and required services. */
// oxlint-disable-next-line typescript/no-explicit-any -- a bound: both are inferred from the rewards
export type Weighted = ReadonlyArray<WeightedReward<any, any>>

/** Options of all rewards together. */
export interface RewardActorOptions {
  /** Time limit of each attempt of a reward without one of its own. @default none */
  readonly timeout?: Duration.Input | undefined
  /**
   * Set over which each reward is standardised before it is weighted, `(r - mean) / (std + 1e-4)` with the sample
   * deviation (n - 1): the candidates of each group, or all of the batch. It makes weights comparable between rewards
   * of different scales; `parts` stay unstandardised. Over the group it is the first half of TRL's
   * `normalize_then_sum`. @default none
   */
  readonly normalise?: "none" | "group" | "batch" | undefined
}

/** Returns whether all weights are 0 in 32-bit floating point, so that every total is 0 and nothing can be learned. */
export const areZero = (rewards: Weighted): boolean => rewards.every(({ weight }) => Math.fround(weight) === 0)

/** Returns a schedule of `times` retries after 0.1 s, 0.2 s, 0.4 s ..., at most 10 s apart. */
export const backoff = (times: number): Schedule.Schedule<unknown> =>
  Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")]).pipe(Schedule.upTo({ times }))

/**
 * Actors that score groups, one per reward.
 *
 * Responsibilities: sends each batch of groups to all rewards concurrently and combines the results; holds no state.
 * Ordering: results are in the order of the groups, and a reward receives one batch at a time, in the order of arrival.
 * Back-pressure: the caller awaits its batch, and later callers wait for the earlier ones. Completion means that every
 * candidate has a finite total, and a finite number in each part that applies. A reward that fails, is late, or returns
 * a wrong count or a number that is not finite is retried as its `retries` schedule, and then treated as its
 * `onFailure` states; a weight that makes the total not finite fails the batch. A crash loses only the batch in flight,
 * which the caller can send again, because rewards have no side effects.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import { Reward } from "sidereal/reward/Reward"
 * import { RewardActor } from "sidereal/reward/RewardActor"
 * import * as RuleReward from "sidereal/reward/RuleReward"
 *
 * const slow = Reward.layer("slow", () => Effect.never)
 * const rewards = RewardActor.layer([
 *   { reward: RuleReward.layer, weight: 2 },
 *   { reward: slow, weight: 1, timeout: "10 millis", retries: 1, onFailure: "notApplicable" }
 * ])
 * const group = { user: 0, history: Int32Array.of(4), target: 2, items: Int32Array.of(3, 2), hits: [false, true] }
 * const [earned] = await Effect.runPromise(
 *   Effect.flatMap(RewardActor, (actor) => actor.score([group])).pipe(Effect.provide(rewards))
 * )
 * assert.deepEqual(Array.from(earned!.total), [0, 2])
 * assert.equal(earned!.parts["slow"], null)
 * ```
 */
export class RewardActor extends Context.Service<RewardActor, {
  /** Names of the parts, in the order of the rewards; repeated names are numbered: "rule", "rule-2". */
  readonly names: ReadonlyArray<string>
  /** Scores groups; results are in their order. */
  score(
    groups: ReadonlyArray<Reward.RewardGroup>
  ): Effect.Effect<ReadonlyArray<Reward.GroupRewards>, Reward.RewardError>
}>()("sidereal/reward/RewardActor") {
  /** Builds the rewards and provides their actors; the rewards are released with the layer. */
  static readonly layer = <const Rewards extends Weighted>(
    rewards: Rewards,
    options: RewardActorOptions = {}
  ): Layer.Layer<
    RewardActor,
    Layer.Error<Rewards[number]["reward"]>,
    Layer.Services<Rewards[number]["reward"]>
  > =>
    Layer.effect(
      RewardActor,
      Effect.gen(function*() {
        const actors: Array<Actor> = []
        const names = new Set<string>()
        for (const weighted of rewards) {
          const reward = Context.get(yield* Layer.build(weighted.reward), Reward.Reward)
          let name = reward.name
          for (let count = 2; names.has(name); count++) name = `${reward.name}-${count}`
          names.add(name)
          actors.push({ name, weight: weighted.weight, ask: yield* asking(name, reward, weighted, options) })
        }
        return RewardActor.of({ names: [...names], score: combine(actors, options.normalise) })
      })
    )
}

/** Actor of one reward. */
interface Actor {
  readonly name: string
  readonly weight: number
  readonly ask: Reward.Reward["Service"]["score"]
}

const asking = Effect.fnUntraced(function*(
  name: string,
  reward: Reward.Reward["Service"],
  { onFailure, retries, timeout }: WeightedReward<unknown, unknown>,
  options: RewardActorOptions
) {
  const { score } = Reward.supervise({ name, score: (groups) => reward.score(groups) }, {
    timeout: timeout ?? options.timeout,
    retries: typeof retries === "number" ? backoff(retries) : retries
  })
  const mailbox = yield* Semaphore.make(1)
  return (groups: ReadonlyArray<Reward.RewardGroup>) => {
    const answers = mailbox.withPermits(1)(score(groups))
    return onFailure !== "notApplicable" ? answers : Effect.catch(answers, (error) =>
      Effect.as(
        Effect.logWarning(`${error.message}; ${groups.length} groups continue without this reward`),
        groups.map(() => null)
      ))
  }
})

/** Standardises rewards by the mean and sample deviation of all of them. */
const standardised = (scores: ReadonlyArray<Reward.Scores>): ReadonlyArray<Reward.Scores> => {
  let count = 0
  let sum = 0
  for (const some of scores) {
    count += some?.length ?? 0
    for (const value of some ?? []) sum += value
  }
  const mean = sum / count
  let squares = 0
  for (const some of scores) for (const value of some ?? []) squares += (value - mean) ** 2
  const deviation = count < 2 ? 0 : Math.sqrt(squares / (count - 1))
  return scores.map((some) => some?.map((value) => (value - mean) / (deviation + 1e-4)) ?? null)
}

const normalised = (
  scores: ReadonlyArray<Reward.Scores>,
  normalise: RewardActorOptions["normalise"] = "none"
): ReadonlyArray<Reward.Scores> =>
  normalise === "none"
    ? scores
    : normalise === "batch"
    ? standardised(scores)
    : scores.flatMap((some) => standardised([some]))

const combine = (actors: ReadonlyArray<Actor>, normalise: RewardActorOptions["normalise"]) =>
  Effect.fn("RewardActor.score")(function*(groups: ReadonlyArray<Reward.RewardGroup>) {
    const answers = yield* Effect.forEach(
      actors,
      ({ ask, name, weight }) =>
        Effect.map(ask(groups), (scores) => ({ name, weight, scores, terms: normalised(scores, normalise) })),
      { concurrency: "unbounded" }
    )
    const combined: Array<Reward.GroupRewards> = []
    for (const [g, group] of groups.entries()) {
      const total = new Float32Array(group.items.length)
      for (const { terms, weight } of answers) {
        for (const [c, term] of (terms[g] ?? []).entries()) total[c] = total[c]! + weight * term
      }
      const bad = total.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) {
        const part = ({ terms, weight }: (typeof answers)[number]) => weight * (terms[g]?.[bad] ?? 0)
        const { name, terms, weight } = answers.reduce((a, b) => Math.abs(part(b)) > Math.abs(part(a)) ? b : a)
        return yield* new Reward.RewardError({
          reward: name,
          reason: new Reward.TooLarge({
            group: g,
            candidate: bad,
            value: String(terms[g]?.[bad]),
            weight,
            total: String(total[bad])
          })
        })
      }
      combined.push({ total, parts: Object.fromEntries(answers.map(({ name, scores }) => [name, scores[g]!])) })
    }
    return combined
  })
