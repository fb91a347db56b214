/**
 * Rewards of candidate groups.
 *
 * A reward is a service, and each kind of reward a layer that provides it. It sees whole groups in rank order and answers
 * one number per candidate, or null for a group that it does not apply to.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

/** Input of a reward: a prompt, its target (the item that followed), and its candidates in rank order. */
export interface RewardGroup {
  readonly user: number
  readonly history: Int32Array
  /** Item number, or -1 where no answer is known: rewards that compare with it answer null, "not applicable". */
  readonly target: number
  /**
   * One item per candidate, [G]: the first with its SID that may be recommended; -1 for a candidate that is no item, which
   * only a policy without a trie writes.
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

/** An answer whose length is not the number of candidates. */
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

/** A reward that answered for more groups than it was asked for. */
export class WrongGroups extends Schema.TaggedError<WrongGroups>()("WrongGroups", {
  groups: Schema.Int,
  answers: Schema.Int
}) {
  override get message() {
    return `it was asked for ${this.groups} groups and answered for ${this.answers}`
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

/** A reward whose weight makes the total overflow. */
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

/** Returns the error with which a reward reports its own failure. */
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
 * What a custom reward may answer for a group. An `Int32Array` is none: `items.map` makes one, in which 0.5 would be 0.
 */
export type Answer = ReadonlyArray<number> | Float32Array | Float64Array | null

const words = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/**
 * A named reward.
 *
 * Responsibilities: answers a batch of groups in their order; changes nothing, so that a batch may be asked for again.
 * Every reward says in its description what a candidate without an item gets.
 */
export class Reward extends Context.Service<Reward, {
  readonly name: string
  /** Scores per group. Counts and finiteness are checked by `supervise`, which the reward actor applies. */
  score(groups: ReadonlyArray<RewardGroup>): Effect.Effect<ReadonlyArray<Scores>, RewardError>
}>()("sidereal/reward/Reward") {
  /**
   * Makes a reward of a function of one group, which may return an Effect; groups of a batch are asked for 16 at a time.
   * A function that throws, or an Effect that fails or dies, has failed.
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

  /** Makes a reward of an Effect over a whole batch, as a service that scores many groups at once has it. */
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

/** Bounds of a reward. */
export interface Bounds {
  /** Time for each try; as long as it takes by default. A function that never returns cannot be interrupted. */
  readonly timeout?: Duration.Input | undefined
  /** Schedule of further tries after a failure, a late or a wrong answer; none by default. */
  readonly retries?: Schedule.Schedule<unknown, RewardError> | undefined
}

/**
 * Makes a reward answer correctly or fail with a typed error: a try that takes longer than `timeout` is interrupted and
 * its late answer dropped, and an answer for the wrong number of groups or candidates, or with a number that is not
 * finite, is a failure.
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
