/**
 * Rewards of candidate groups, and their weighted combination.
 *
 * A reward reads a whole group in rank order and returns one number per candidate.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/** Input of a reward: a prompt, its target (the item that followed), and its candidates in rank order. */
export interface RewardGroup {
  readonly user: number
  readonly history: Int32Array
  readonly target: number
  /** Items of the candidates, [G]: the first allowed item with the candidate's SID. */
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

/** A reward value that is NaN or infinite. */
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
  reason: Schema.Union([RewardFailed, TooSlow, WrongCount, NotFinite, TooLarge])
}) {
  override get message() {
    return `the reward "${this.reward}" failed: ${this.reason.message}`
  }
}

/** Returns the error with which a reward reports its own failure. */
export const failed = (reward: string, detail: string): RewardError =>
  new RewardError({ reward, reason: new RewardFailed({ detail }) })

/** A named reward. */
export interface Reward {
  readonly name: string
  /** Returns one number per candidate, [G], for every group, in order. */
  readonly score: (groups: ReadonlyArray<RewardGroup>) => Effect.Effect<ReadonlyArray<Float32Array>, RewardError>
}

/** Makes a reward from a plain function of one group; an exception becomes a `RewardError`. */
export const make = (name: string, score: (group: RewardGroup) => ArrayLike<number>): Reward => ({
  name,
  score: (groups) =>
    Effect.try({
      try: () => groups.map((group) => Float32Array.from(score(group))),
      catch: (cause) => failed(name, cause instanceof Error ? cause.message : String(cause))
    })
})

/** A reward with its weight in the weighted sum. */
export interface WeightedReward {
  readonly reward: Reward
  readonly weight: number
}

/** Returns whether every weight is 0 in float32, so that every total is 0 and the policy cannot learn. */
export const areZero = (rewards: ReadonlyArray<WeightedReward>): boolean =>
  rewards.every(({ weight }) => Math.fround(weight) === 0)

/** Rewards of a group, [G]: the weighted total, and each reward by name before weighting. */
export interface GroupRewards {
  readonly total: Float32Array
  readonly parts: Readonly<Record<string, Float32Array>>
}

/**
 * The actor that rewards groups.
 *
 * Responsibilities: calls every reward once per batch of groups and combines the answers; holds no state.
 * Ordering: answers stand in the order of the groups. Back-pressure: the caller awaits the batch, nothing is queued.
 * Completion means that every candidate has a finite reward in each part and in total; a wrong number of values, a
 * value that is not finite, or a weight that makes the total not finite fails the batch. A crash loses only the batch
 * in flight, which the caller can send again because rewards have no side effects.
 */
export class RewardActor extends Context.Service<RewardActor, {
  readonly names: ReadonlyArray<string>
  score(groups: ReadonlyArray<RewardGroup>): Effect.Effect<ReadonlyArray<GroupRewards>, RewardError>
}>()("sidereal/reward/RewardActor") {
  /** Combines rewards by their weights; `timeout` bounds the time of each reward per batch (default: no bound). */
  static readonly layer = (
    rewards: ReadonlyArray<WeightedReward>,
    options: { readonly timeout?: Duration.Input | undefined } = {}
  ): Layer.Layer<RewardActor> =>
    Layer.succeed(
      RewardActor,
      RewardActor.of({ names: rewards.map(({ reward }) => reward.name), score: combine(rewards, options.timeout) })
    )
}

/** Fails with `TooSlow` when a reward exceeds the timeout. */
const inTime = (reward: string, timeout: Duration.Input | undefined) =>
  timeout === undefined ? <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | RewardError> => effect : (
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(
          new RewardError({
            reward,
            reason: new TooSlow({ waited: Duration.format(Duration.fromInputUnsafe(timeout)) })
          })
        )
    })
  )

const combine = (rewards: ReadonlyArray<WeightedReward>, timeout: Duration.Input | undefined) =>
  Effect.fn("RewardActor.score")(function*(groups: ReadonlyArray<RewardGroup>) {
    const answers = yield* Effect.forEach(rewards, ({ reward, weight }) =>
      reward.score(groups).pipe(
        inTime(reward.name, timeout),
        Effect.flatMap((scores) => check(reward.name, groups, scores)),
        Effect.map((scores) => ({ name: reward.name, weight, scores }))
      ), { concurrency: "unbounded" })
    const combined: Array<GroupRewards> = []
    for (const [g, group] of groups.entries()) {
      const total = new Float32Array(group.items.length)
      for (const { scores, weight } of answers) {
        for (let c = 0; c < total.length; c++) total[c] = total[c]! + weight * scores[g]![c]!
      }
      const bad = total.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) {
        const part = ({ scores, weight }: (typeof answers)[number]) => weight * scores[g]![bad]!
        const { name, weight, ...most } = answers.reduce((a, b) => Math.abs(part(b)) > Math.abs(part(a)) ? b : a)
        return yield* new RewardError({
          reward: name,
          reason: new TooLarge({
            group: g,
            candidate: bad,
            value: String(most.scores[g]![bad]),
            weight,
            total: String(total[bad])
          })
        })
      }
      combined.push({ total, parts: Object.fromEntries(answers.map(({ name, scores }) => [name, scores[g]!])) })
    }
    return combined
  })

const check = (
  reward: string,
  groups: ReadonlyArray<RewardGroup>,
  scores: ReadonlyArray<Float32Array>
): Effect.Effect<ReadonlyArray<Float32Array>, RewardError> => {
  for (const [g, group] of groups.entries()) {
    const answer = scores[g]
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
