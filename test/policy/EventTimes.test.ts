import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as EventTimes from "../../src/policy/item/EventTimes.ts"
import * as ItemRows from "../../src/policy/item/ItemRows.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { distance } from "../Golden.ts"
import { enliven, itemFamilies, layer, timedFamilies, timesOf } from "./FamilyFixture.ts"

const second = 1000
const day = 86_400 * second

/** Scores of every item after histories, by the policy of the context. */
const scores = Effect.fnUntraced(function*(
  given: ReadonlyArray<{ readonly items: ReadonlyArray<number>; readonly times?: ReadonlyArray<number> | undefined }>
) {
  const policy = yield* PolicyModel
  const weights = yield* (yield* PolicyParameters).weights
  const { data } = yield* Option.getOrThrow(policy.scoreItems)(
    given.map(({ items, times }) =>
      Prompt.ofHistory({ user: -1, items: Int32Array.from(items), times: times && Float64Array.from(times) })
    ),
    weights
  )
  return given.map((_, p) => data.subarray(p * 9, (p + 1) * 9))
})

describe("EventTimes", () => {
  it("has a bucket for every power of 2, and own ones for ties and for times that are not known", () => {
    const bounds = [0, ...Array.from({ length: EventTimes.buckets - 3 }, (_, k) => 2 ** k)]
    for (const [i, bound] of bounds.entries()) {
      assert.strictEqual(EventTimes.bucketOf(bound), 2 + i)
      if (i > 0) assert.strictEqual(EventTimes.bucketOf(bound * (1 - 1e-9)), 1 + i)
    }
    for (const earlier of [-1, -day]) assert.strictEqual(EventTimes.bucketOf(earlier), EventTimes.bucketOf(0))
    assert.strictEqual(EventTimes.bucketOf(1e300), EventTimes.buckets - 1)
    assert.strictEqual(EventTimes.bucketOf(NaN), 1)
    // A thousand years are told from a century.
    assert.isBelow(EventTimes.bucketOf(36_500 * day), EventTimes.bucketOf(365_000 * day))
  })

  it("lays out the buckets of packed histories", () => {
    const histories: ReadonlyArray<EventTimes.Events> = [
      { items: Int32Array.of(0, 1, 0), times: Float64Array.of(5 * day, 5 * day, 6 * day) },
      { items: Int32Array.of(2, 3) },
      { items: new Int32Array(0), times: new Float64Array(0) },
      // The time of a later event is not read.
      { items: Int32Array.of(3, 1), times: Float64Array.of(7 * day, NaN, 8 * day) }
    ]
    const rows = ItemRows.pack(histories.map(({ items }) => items), 9)
    const first = Float64Array.of(4 * day, 5 * day, NaN, 9 * day)
    const read = (kind: EventTimes.TimeInputs, firstTimes?: Float64Array) => {
      const feeds = EventTimes.feeds(kind, rows, histories, firstTimes)
      const padded = Object.fromEntries(
        Object.entries(feeds).map(([name, { data }]) => [
          name,
          histories.map(({ items }, s) => Array.from(data).slice(rows.starts[s], rows.starts[s]! + 1 + items.length))
        ])
      )
      for (const { data } of Object.values(feeds)) {
        for (const [at, segment] of rows.segments.entries()) if (segment < 0) assert.strictEqual(data[at], 0)
      }
      return padded
    }
    // 86,400,000 ms lie between 2^26 and 2^27.
    const one = 3 + 26
    const gaps = [[0, 0, 2, one], [0, 1, 1], [0], [0, 0, 1]]
    assert.deepStrictEqual(read("none", first), {})
    assert.deepStrictEqual(read("gaps", first), { "times.gaps": gaps })
    assert.deepStrictEqual(read("gaps-and-ages", first), {
      "times.gaps": gaps,
      "times.ages": [[0, one, 2, one + 1], [0, 1, 1], [0], [0, 2, 1]]
    })
    assert.deepStrictEqual(read("gaps-and-ages")["times.ages"], [[0, 1, 1, 1], [0, 1, 1], [0], [0, 1, 1]])
  })
})

for (const [f, family] of timedFamilies.entries()) {
  describe(`the ${family.name} policy that reads times`, () => {
    const without = itemFamilies[f]!
    const given = [{ items: [3, 7, 1], times: Array.from(timesOf(3)) }, { items: [4], times: [1e12] }, { items: [] }]

    it.effect("begins as the policy that reads none", () =>
      Effect.gen(function*() {
        const [own, other] = [
          yield* scores(given).pipe(Effect.provide(layer(family))),
          yield* scores(given).pipe(Effect.provide(layer(without)))
        ]
        assert.deepStrictEqual(own, other)
      }))

    it.effect("tells histories apart by the gaps and the ages of their events", () =>
      Effect.gen(function*() {
        yield* enliven
        const items = [3, 7, 1]
        const times = timesOf(3)
        const [whole, unknown, closer, later, last] = yield* scores([
          { items, times: Array.from(times) },
          { items },
          { items, times: Array.from(times, (time, t) => t === 1 ? times[2]! - 1 : time) },
          // All gaps are the same, and all items older.
          { items, times: Array.from(times, (time) => time + 1000 * day) },
          { items: [3, 7], times: Array.from(times.subarray(0, 2)) }
        ])
        const apart = (a: Float32Array | undefined, b: Float32Array | undefined) =>
          assert.isAbove(distance(a!, b!), 1e-2)
        for (const other of [unknown, closer, later, last]) apart(whole, other)
        // A history without times is an ordinary prompt.
        assert.closeTo(unknown!.reduce((sum, value) => sum + Math.exp(value), 0), 1, 1e-5)
      }).pipe(Effect.provide(layer(family))))

    it.effect("is trained on inputs that hold nothing of the time of a target", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const items = Int32Array.of(3, 7, 1, 5)
        const planned = (times: Float64Array) => policy.plan([Prompt.everyPosition({ user: 0, items, times })], 1, 0)
        const [batch] = yield* planned(timesOf(4))
        for (let t = 0; t < 4; t++) {
          const [other] = yield* planned(timesOf(4).map((time, at) => at >= t ? time + 77 * day : time))
          const [gaps, moved] = [batch!, other!].map(({ feeds }) => Array.from(feeds["times.gaps"]!.data))
          const [ages, aged] = [batch!, other!].map(({ feeds }) => Array.from(feeds["times.ages"]!.data))
          // The target at position t is event t; its time, and later ones, change later positions alone.
          assert.deepStrictEqual(moved!.slice(0, t + 1), gaps!.slice(0, t + 1))
          assert.deepStrictEqual(aged!.slice(0, t + 1), ages!.slice(0, t + 1))
          if (t < 3) assert.notStrictEqual(aged![t + 1], ages![t + 1])
          else assert.deepStrictEqual([moved, aged], [gaps, ages])
        }
        const answered = Effect.fnUntraced(function*(answer: ReadonlyArray<number>) {
          const prompt = Prompt.ofHistory({ user: 0, items, times: timesOf(4) })
          const [one] = yield* policy.plan([{ prompt, answer: answer.map((item) => ({ item })), weight: 1 }], 1, 0)
          return Array.from(one!.feeds["times.gaps"]!.data).slice(0, 6)
        })
        const [begin, none, ...gaps] = yield* answered([8])
        assert.deepStrictEqual([begin, none], [0, 0])
        assert.isTrue(gaps.slice(0, 3).every((bucket) => bucket > 2))
        // Of two answers, the first one is read, at a time that is not known; the oldest event is forgotten.
        assert.deepStrictEqual((yield* answered([8, 2])).slice(0, 5), [begin, none, gaps[1], gaps[2], 1])
      }).pipe(Effect.provide(layer(family))))
  })
}
