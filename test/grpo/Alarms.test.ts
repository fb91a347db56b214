import { assert, describe, it } from "@effect/vitest"
import { type RankedExample } from "../../src/evaluation/PolicyRanking.ts"
import * as Rank from "../../src/evaluation/Rank.ts"
import * as Alarms from "../../src/grpo/monitoring/Alarms.ts"
import * as Validation from "../../src/grpo/monitoring/Validation.ts"
import { type RunEvent } from "../../src/run/RunLog.ts"

const users = Array.from({ length: 40 }, (_, user) => ({ user, history: Int32Array.of(0), target: user % 8 }))
const popularity = Float64Array.from({ length: 8 }, (_, item) => 100 * item)

/** Lists that begin with `first(user)` and hold the target at place `place(user)`, -1 for nowhere. */
const rankings = (first: (user: number) => number, place: (user: number) => number): ReadonlyArray<RankedExample> =>
  users.map(({ user }) => {
    const item = place(user) < 0 ? Rank.unlisted : { better: place(user), tied: 0 }
    return {
      space: undefined as never,
      ranked: {
        leaves: Int32Array.of(first(user)),
        logProbs: Float32Array.of(0),
        scores: Float32Array.of(0),
        steps: [Float32Array.of(0)]
      },
      item,
      sid: item
    }
  })

const measure = (ranked: ReadonlyArray<RankedExample>, start: ReadonlyArray<RankedExample>) =>
  Validation.of(users, ranked, start, popularity, 1)

const steps = (rewards: ReadonlyArray<number>, usable = 1): ReadonlyArray<RunEvent> =>
  rewards.map((reward, i) => ({ kind: "grpo.step", step: i + 1, fields: { reward, usableGroupShare: usable } }))

const alarms = (...args: Parameters<typeof Alarms.of>) => Alarms.of(...args).map(({ name }) => name)

describe("Validation", () => {
  const start = rankings((user) => user, (user) => user % 2 === 0 ? 0 : -1)

  it("measures the users, and pairs them with the start", () => {
    const same = measure(start, start)
    assert.strictEqual(same.ndcg, 0.5)
    assert.strictEqual(same.hitRate, 0.5)
    assert.deepStrictEqual([same.difference, same.interval, same.coldDifference], [0, [0, 0], 0])
    assert.strictEqual(same.topShare, 1 / 40)
    const better = measure(rankings((user) => user, () => 0), start)
    assert.strictEqual(better.difference, 0.5)
    assert.isAbove(better.interval[0], 0)
  })

  it("takes the quarter of the users with the coldest targets", () => {
    // Targets 0 and 1 are the coldest: ten of the forty users. Their hits go, all others stay.
    const { coldDifference, coldInterval, difference } = measure(
      rankings((user) => user, (user) => user % 8 < 2 ? -1 : user % 2 === 0 ? 0 : -1),
      start
    )
    assert.strictEqual(coldDifference, -0.5)
    assert.isBelow(coldInterval[1], 0)
    assert.closeTo(difference, -5 / 40, 1e-12)
  })
})

describe("Alarms", () => {
  const start = rankings((user) => user, (user) => user % 2 === 0 ? 0 : -1)
  const rising = steps([1, 2, 3, 4])
  const first = measure(start, start)

  it("are silent while nothing goes wrong", () => {
    assert.deepStrictEqual(alarms(4, rising, first, first), [])
    assert.deepStrictEqual(alarms(0, [], first, first), [])
  })

  it("tell that the reward rises while validation falls, and not when both fall", () => {
    const worse = measure(rankings((user) => user, () => -1), start)
    assert.include(alarms(4, rising, worse, first), "reward-hacking")
    assert.notInclude(alarms(4, steps([4, 3, 2, 1]), worse, first), "reward-hacking")
  })

  it("tell that one item stands first for many users, if it did not at the start", () => {
    const one = measure(rankings((user) => user < 10 ? 3 : user, (user) => user % 2 === 0 ? 0 : -1), start)
    assert.deepStrictEqual(alarms(4, rising, one, first), ["concentration"])
    assert.deepStrictEqual(alarms(4, rising, one, one), [])
  })

  it("tell that cold items are lost", () => {
    const lost = measure(
      rankings((user) => user, (user) => user % 8 < 2 ? -1 : 0),
      start
    )
    assert.deepStrictEqual(alarms(4, rising, lost, first), ["cold-items"])
  })

  it("tell that targets leave the lists while the first places stay", () => {
    // Ranks 10 to 12 count in no other measure.
    const deep = measure(rankings((user) => user, (user) => user % 2 === 0 ? 0 : 12), start)
    const lost = measure(start, start)
    assert.strictEqual(deep.breadth, 1)
    assert.strictEqual(deep.breadthDifference, 0.5)
    assert.deepStrictEqual(alarms(4, rising, deep, first), [])
    const narrow = Validation.of(
      users,
      start,
      rankings((user) => user, (user) => user % 2 === 0 ? 0 : 12),
      popularity,
      1
    )
    assert.deepStrictEqual(alarms(4, rising, narrow, lost), ["breadth"])
  })

  it("tell that no group can teach anything", () => {
    const [alarm] = Alarms.of(4, steps([1, 1, 1, 1], 0.01), first, first)
    assert.strictEqual(alarm!.name, "no-variance")
    assert.include(alarm!.message, "1.0 %")
    assert.deepStrictEqual(Alarms.event(alarm!).fields["name"], "no-variance")
  })
})
