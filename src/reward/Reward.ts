/**
 * Rewards of candidate groups, and how several are combined.
 *
 * A reward sees a whole group in rank order and answers one number per candidate.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/** A group as a reward sees it: items of the candidates best first, and what really came next. */
export interface RewardGroup {
  readonly user: number
  readonly history: Int32Array
  readonly target: number
  /** One item per candidate: the first with its SID that may be recommended. */
  readonly items: Int32Array
  /** Whether the candidate's SID is the target's; never where the target itself may not be recommended. */
  readonly hits: ReadonlyArray<boolean>
}

/** A reward that gave up, in its own words. */
export class RewardFailed extends Schema.TaggedError<RewardFailed>()("RewardFailed", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

/** A reward that did not answer in time. */
export class TooSlow extends Schema.TaggedError<TooSlow>()("TooSlow", { waited: Schema.String }) {
  override get message() {
    return `it had not answered after ${this.waited}; give it more time, or a timeout of its own`
  }
}

/** A reward that answered for another number of candidates. */
export class WrongCount extends Schema.TaggedError<WrongCount>()("WrongCount", {
  group: Schema.Int,
  candidates: Schema.Int,
  answers: Schema.Int
}) {
  override get message() {
    return `group ${this.group} has ${this.candidates} candidates but got ${this.answers} rewards`
  }
}

/** A reward that is NaN or infinite. */
export class NotFinite extends Schema.TaggedError<NotFinite>()("NotFinite", {
  group: Schema.Int,
  candidate: Schema.Int,
  value: Schema.String
}) {
  override get message() {
    return `candidate ${this.candidate} of group ${this.group} got ${this.value}; rewards must be finite`
  }
}

/** A reward whose weight makes the total infinite. */
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

/** Every way in which a reward fails. */
export class RewardError extends Schema.TaggedError<RewardError>()("RewardError", {
  reward: Schema.String,
  reason: Schema.Union([RewardFailed, TooSlow, WrongCount, NotFinite, TooLarge])
}) {
  override get message() {
    return `the reward "${this.reward}" failed: ${this.reason.message}`
  }
}

/** Makes the error of a reward that gives up. */
export const failed = (reward: string, detail: string): RewardError =>
  new RewardError({ reward, reason: new RewardFailed({ detail }) })

/** A named reward. */
export interface Reward {
  readonly name: string
  /** One number per candidate of every group. */
  readonly score: (groups: ReadonlyArray<RewardGroup>) => Effect.Effect<ReadonlyArray<Float32Array>, RewardError>
}

/** Makes a reward of a plain function of one group; one that throws has failed. */
export const make = (name: string, score: (group: RewardGroup) => ArrayLike<number>): Reward => ({
  name,
  score: (groups) =>
    Effect.try({
      try: () => groups.map((group) => Float32Array.from(score(group))),
      catch: (cause) => failed(name, cause instanceof Error ? cause.message : String(cause))
    })
})

/** Rewards and their weights: the score of a group is the weighted sum. */
export interface WeightedReward {
  readonly reward: Reward
  readonly weight: number
}

/** Returns whether every total is 0 whatever the rewards answer, so that nothing can be learned from them. */
export const areZero = (rewards: ReadonlyArray<WeightedReward>): boolean =>
  rewards.every(({ weight }) => Math.fround(weight) === 0)

/** What a group earned, in total and by reward. */
export interface GroupRewards {
  readonly total: Float32Array
  readonly parts: Readonly<Record<string, Float32Array>>
}

/**
 * The actor that rewards groups.
 *
 * Responsibilities: asks every reward once per batch of groups and combines the answers; holds no state.
 * Ordering: answers stand in the order of the groups. Back-pressure: the caller awaits the batch, nothing is queued.
 * Completion means that every candidate has a finite reward in each part and in total; a reward with a wrong count or a
 * value that is not finite, or a weight that makes the total not finite, fails the batch. A crash loses the batch in flight only, which the caller can send again: rewards change nothing.
 */
export class RewardActor extends Context.Service<RewardActor, {
  readonly names: ReadonlyArray<string>
  score(groups: ReadonlyArray<RewardGroup>): Effect.Effect<ReadonlyArray<GroupRewards>, RewardError>
}>()("sidereal/reward/RewardActor") {
  /** Combines rewards by their weights; each may take as long as `timeout` allows, by default as it likes. */
  static readonly layer = (
    rewards: ReadonlyArray<WeightedReward>,
    options: { readonly timeout?: Duration.Input | undefined } = {}
  ): Layer.Layer<RewardActor> =>
    Layer.succeed(
      RewardActor,
      RewardActor.of({ names: rewards.map(({ reward }) => reward.name), score: combine(rewards, options.timeout) })
    )
}

/** Fails when a reward takes too long. */
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
