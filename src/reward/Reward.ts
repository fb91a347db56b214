/**
 * Rewards of candidate groups.
 *
 * A reward is a service, and each kind of reward is a layer that provides it. Its input is whole groups in rank order;
 * its result is one number per candidate, or null for a group to which it does not apply.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

/** Input of a reward: a prompt, its target (the item that followed), and its candidates in rank order. */
export interface RewardGroup {
  /** Number of the user. */
  readonly user: number
  /** Item numbers of the prompt, oldest first. */
  readonly history: Int32Array
  /** Item number, or -1 where no answer is known: rewards that compare with it answer null, "not applicable". */
  readonly target: number
  /**
   * Item number of each candidate, [G]: the first item with its SID that may be recommended; -1 for a candidate that is
   * no item, which only a policy without a trie generates.
   */
  readonly items: Int32Array
  /** Whether each candidate's SID is the target's, [G]; all false where the target itself is excluded. */
  readonly hits: ReadonlyArray<boolean>
}

/** A failure that the reward itself reported. */
export class RewardFailed extends Schema.TaggedError<RewardFailed>()("RewardFailed", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

/** A reward that exceeded its timeout. */
export class TooSlow extends Schema.TaggedError<TooSlow>()("TooSlow", { waited: Schema.String }) {
  override get message() {
    return `it did not answer within ${this.waited}; raise the timeout, or make the reward faster`
  }
}

/** A result whose length is not the number of candidates. */
export class WrongCount extends Schema.TaggedError<WrongCount>()("WrongCount", {
  group: Schema.Int,
  candidates: Schema.Int,
  answers: Schema.Int
}) {
  override get message() {
    return `group ${this.group} has ${this.candidates} candidates but received ${this.answers} rewards; ` +
      "return one number per candidate"
  }
}

/** A reward that returned results for more groups than it received. */
export class WrongGroups extends Schema.TaggedError<WrongGroups>()("WrongGroups", {
  groups: Schema.Int,
  answers: Schema.Int
}) {
  override get message() {
    return `it received ${this.groups} groups and returned results for ${this.answers}; return one result per group`
  }
}

/** A reward that is NaN or infinite. */
export class NotFinite extends Schema.TaggedError<NotFinite>()("NotFinite", {
  group: Schema.Int,
  candidate: Schema.Int,
  value: Schema.String
}) {
  override get message() {
    return `candidate ${this.candidate} of group ${this.group} received ${this.value}; rewards must be finite`
  }
}

/** A reward whose weight makes the total overflow in 32-bit floating point. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", {
  group: Schema.Int,
  candidate: Schema.Int,
  value: Schema.String,
  weight: Schema.Finite,
  total: Schema.String
}) {
  override get message() {
    return `with its weight ${this.weight} the total of candidate ${this.candidate} of group ${this.group} is ` +
      `${this.total} in 32-bit floating point (the reward is ${this.value}); lower the weight`
  }
}

/** Failure of a reward; `reason` says which. */
export class RewardError extends Schema.TaggedError<RewardError>()("RewardError", {
  reward: Schema.String,
  reason: Schema.Union([RewardFailed, TooSlow, WrongGroups, WrongCount, NotFinite, TooLarge])
}) {
  override get message() {
    return `the reward "${this.reward}" failed: ${this.reason.message}`
  }
}

/** Builds the error with which a reward reports its own failure. */
export const failed = (reward: string, detail: string): RewardError =>
  new RewardError({ reward, reason: new RewardFailed({ detail }) })

/** Rewards of one group, [G]; null where the reward does not apply to it. */
export type Scores = Float32Array | null

/** Rewards of a group, [G]: the weighted total, and each reward by name before weighting. */
export interface GroupRewards {
  /** Weighted sum of the rewards that apply, [G]. */
  readonly total: Float32Array
  /** Each reward before normalisation and weight, [G]; null where it does not apply or was given up. */
  readonly parts: Readonly<Record<string, Scores>>
}

/**
 * Result of a custom reward for a group, [G], or null where it does not apply. An `Int32Array` is not allowed:
 * `items.map` would make one, which rounds 0.5 to 0.
 */
export type Answer = ReadonlyArray<number> | Float32Array | Float64Array | null

const words = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/**
 * Named reward.
 *
 * Responsibilities: scores a batch of groups in their order; has no side effects, so that a batch may be scored again.
 * Every reward documents the value of a candidate that is no item.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import { Reward } from "sidereal/reward/Reward"
 *
 * const near = Reward.layer("near", ({ items, target }) => Array.from(items, (item) => 1 - Math.abs(item - target)))
 * const group = { user: 0, history: Int32Array.of(4), target: 2, items: Int32Array.of(3, 2), hits: [false, true] }
 * const [scores] = await Effect.runPromise(
 *   Effect.flatMap(Reward, (reward) => reward.score([group])).pipe(Effect.provide(near))
 * )
 * assert.deepEqual(Array.from(scores!), [0, 1])
 * ```
 */
export class Reward extends Context.Service<Reward, {
  readonly name: string
  /** Scores groups, [groups][G]. `supervise`, which the reward actor applies, checks counts and finiteness. */
  score(groups: ReadonlyArray<RewardGroup>): Effect.Effect<ReadonlyArray<Scores>, RewardError>
}>()("sidereal/reward/Reward") {
  /**
   * Makes a reward from a function of one group, which may return an Effect; at most 16 groups of a batch are scored
   * concurrently. A function that throws and an Effect that fails or dies become a `RewardError`.
   */
  static readonly layer = <R = never>(
    name: string,
    score: (group: RewardGroup) => Answer | Effect.Effect<Answer, unknown, R>
  ): Layer.Layer<Reward, never, R> =>
    Reward.layerBatch(name, (groups) =>
      Effect.forEach(groups, (group) =>
        Effect.suspend(() => {
          const answer = score(group)
          return Effect.isEffect(answer) ? answer : Effect.succeed(answer)
        }), { concurrency: 16 }))

  /** Makes a reward from a function of a whole batch, for services that score many groups in one request. */
  static readonly layerBatch = <R = never>(
    name: string,
    score: (groups: ReadonlyArray<RewardGroup>) => Effect.Effect<ReadonlyArray<Answer>, unknown, R>
  ): Layer.Layer<Reward, never, R> =>
    Layer.effect(
      Reward,
      Effect.map(Effect.context<R>(), (context) =>
        Reward.of({
          name,
          score: (groups) =>
            Effect.suspend(() => score(groups)).pipe(
              Effect.provideContext(context),
              Effect.map((answers) => answers.map((answer) => answer === null ? null : Float32Array.from(answer))),
              Effect.mapError((error) => error instanceof RewardError ? error : failed(name, words(error))),
              Effect.catchDefect((defect) => Effect.fail(failed(name, words(defect))))
            )
        }))
    )
}

/** Time limit and retries of a reward. */
export interface Bounds {
  /** Time limit of each attempt. A function that never returns cannot be interrupted. @default none */
  readonly timeout?: Duration.Input | undefined
  /** Schedule of retries after a failure, a late or a wrong result. @default none */
  readonly retries?: Schedule.Schedule<unknown, RewardError> | undefined
}

/**
 * Returns a reward whose results are valid or that fails with a typed error: an attempt that takes longer than
 * `timeout` is interrupted and its late result dropped; a result for the wrong number of groups or candidates, or with
 * a number that is not finite, is a failure. Failures are retried as `retries` schedules.
 */
export const supervise = (reward: Reward["Service"], { retries, timeout }: Bounds = {}): Reward["Service"] => {
  const inTime = timeout === undefined
    ? <A>(effect: Effect.Effect<A, RewardError>) => effect
    : Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(
          new RewardError({
            reward: reward.name,
            reason: new TooSlow({ waited: Duration.format(Duration.fromInputUnsafe(timeout)) })
          })
        )
    })
  return Reward.of({
    name: reward.name,
    score: (groups) => {
      const once = Effect.suspend(() => reward.score(groups)).pipe(
        inTime,
        Effect.flatMap((scores) => check(reward.name, groups, scores)),
        Effect.catchDefect((defect) => Effect.fail(failed(reward.name, words(defect))))
      )
      return retries === undefined ? once : Effect.retry(once, retries)
    }
  })
}

const check = (
  reward: string,
  groups: ReadonlyArray<RewardGroup>,
  scores: ReadonlyArray<Scores>
): Effect.Effect<ReadonlyArray<Scores>, RewardError> => {
  if (scores.length > groups.length) {
    return Effect.fail(
      new RewardError({ reward, reason: new WrongGroups({ groups: groups.length, answers: scores.length }) })
    )
  }
  for (const [g, group] of groups.entries()) {
    const answer = scores[g]
    if (answer === null) continue
    if (answer === undefined || answer.length !== group.items.length) {
      return Effect.fail(
        new RewardError({
          reward,
          reason: new WrongCount({ group: g, candidates: group.items.length, answers: answer?.length ?? 0 })
        })
      )
    }
    const bad = answer.findIndex((value) => !Number.isFinite(value))
    if (bad >= 0) {
      return Effect.fail(
        new RewardError({
          reward,
          reason: new NotFinite({ group: g, candidate: bad, value: String(answer[bad]) })
        })
      )
    }
  }
  return Effect.succeed(scores)
}
