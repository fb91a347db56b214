/**
 * Rewards with their weights, and the actors that ask them.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Reward from "./Reward.ts"

/** A reward with its weight, and what it may do wrong. */
export interface WeightedReward<E = never, R = never> {
  readonly weight: number
  readonly reward: Layer.Layer<Reward.Reward, E, R>
  /** Time for each try; that of the actors by default. */
  readonly timeout?: Duration.Input | undefined
  /** Further tries: their schedule, or their number, 0.1 s, 0.2 s, 0.4 s ... apart. @default 0 */
  readonly retries?: Schedule.Schedule<unknown, Reward.RewardError> | number | undefined
  /**
   * What a reward that still fails does to its batch: `fail` it, or go on as though the reward applied to none of its
   * groups, with a warning in the log. @default fail
   */
  readonly onFailure?: "fail" | "notApplicable" | undefined
}

/** Rewards with any errors and needs. */
// oxlint-disable-next-line typescript/no-explicit-any -- a bound: both are taken from the rewards that are given
export type Weighted = ReadonlyArray<WeightedReward<any, any>>

/** Choices for all rewards together. */
export interface RewardActorOptions {
  /** Time for each try of a reward that names none; as long as it takes by default. */
  readonly timeout?: Duration.Input | undefined
  /**
   * Standardises each reward before it is weighted, `(r - mean) / (std + 1e-4)` with the sample deviation (n - 1), over
   * the candidates of each group or over all of the batch, so that weights compare rewards of any scale; the parts stay
   * as the rewards gave them. Over the group it is the first half of TRL's `normalize_then_sum`. @default none
   */
  readonly normalise?: "none" | "group" | "batch" | undefined
}

/** Returns whether every total is 0 whatever the rewards answer, so that nothing can be learned from them. */
export const areZero = (rewards: Weighted): boolean => rewards.every(({ weight }) => Math.fround(weight) === 0)

/** Retries `times` times after 0.1 s, 0.2 s, 0.4 s ..., at most 10 s apart. */
export const backoff = (times: number): Schedule.Schedule<unknown> =>
  Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")]).pipe(Schedule.upTo({ times }))

/**
 * The actors that reward groups, one for each reward.
 *
 * Responsibilities: asks every reward once per batch of groups, all of them at the same time, and combines the answers;
 * holds no state. Ordering: answers stand in the order of the groups, and a reward gets one batch at a time, in the order
 * of arrival. Back-pressure: the caller awaits the batch, and so does whoever comes next. Completion means that every
 * candidate has a finite total, and a finite number in each part that applies; a reward that fails, is late, answers with
 * a wrong count or a number that is not finite is asked again as its `retries` say, and then does what its `onFailure`
 * says; a weight that makes the total not finite fails the batch. A crash loses the batch in flight only, which the
 * caller can send again: rewards change nothing.
 */
export class RewardActor extends Context.Service<RewardActor, {
  /** Names of the parts; of several rewards with one name the later ones get a number: "rule", "rule-2". */
  readonly names: ReadonlyArray<string>
  score(
    groups: ReadonlyArray<Reward.RewardGroup>
  ): Effect.Effect<ReadonlyArray<Reward.GroupRewards>, Reward.RewardError>
}>()("sidereal/reward/RewardActor") {
  /** Builds every reward; they close with the layer. */
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

/** One reward as the combination sees it. */
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
        Effect.logWarning(`${error.message}; ${groups.length} groups go on without it`),
        groups.map(() => null)
      ))
  }
})

/** Standardises numbers by their common mean and deviation. */
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
