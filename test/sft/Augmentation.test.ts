import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as Augmentation from "../../src/sft/Augmentation.ts"

const config = Schema.decodeSync(Augmentation.AugmentationConfig)

/** The event at place i is item 3 i + 2 at time 1,000 i, so that its place can be told from either. */
const historyOf = (length: number, user = 0) => ({
  user,
  items: Int32Array.from({ length }, (_, i) => 3 * i + 2),
  times: Float64Array.from({ length }, (_, i) => 1000 * i)
})

const placesOf = ({ prompt }: Prompt.TrainingExample): ReadonlyArray<number> => {
  assert(prompt._tag === "History")
  const { items, times } = prompt.history
  const places = Array.from(items, (item) => (item - 2) / 3)
  assert.strictEqual(times!.length, places.length)
  assert.isTrue(times!.every((time, i) => time === 1000 * places[i]!))
  return places
}

const draws = 20_000

/** Places that stay of sequences of `length` events, one for each draw. */
const drawn = (partial: typeof Augmentation.AugmentationConfig.Encoded, length: number, seed = 1, epoch = 0) =>
  Augmentation.apply(
    config(partial),
    Array.from({ length: draws }, (_, user) => Prompt.everyPosition(historyOf(length, user))),
    seed,
    epoch
  ).map(placesOf)

const share = (some: ReadonlyArray<unknown>) => some.length / draws

/** Five standard deviations of a share of the draws. */
const closeTo = (found: number, expected: number) =>
  assert.closeTo(found, expected, 5 * Math.sqrt(expected * (1 - expected) / draws) + 1e-9)

describe("augmentation", () => {
  it("leaves out every item with the probability given, but never all", () => {
    const [p, length] = [0.6, 4]
    const all = drawn({ itemDrop: p }, length)
    const counts = new Map<string, number>()
    for (const places of all) {
      assert.isAbove(places.length, 0)
      counts.set(places.join(), (counts.get(places.join()) ?? 0) + 1)
    }
    // Every subset has its probability; that of the empty one is divided among the single items.
    for (let subset = 1; subset < 2 ** length; subset++) {
      const places = [0, 1, 2, 3].filter((i) => (subset >> i & 1) === 1)
      const own = (1 - p) ** places.length * p ** (length - places.length) +
        (places.length === 1 ? p ** length / length : 0)
      closeTo((counts.get(places.join()) ?? 0) / draws, own)
    }
  })

  it("takes windows of every length from the least one and from every place", () => {
    const length = 7
    const all = drawn({ subSequence: 0.3, leastShare: 0.5 }, length)
    const counts = new Map<string, number>()
    for (const places of all) {
      const [from] = places
      assert.isTrue(places.every((place, i) => place === from! + i))
      counts.set(`${from} ${places.length}`, (counts.get(`${from} ${places.length}`) ?? 0) + 1)
    }
    // Half of 7 events are 4, rounded up.
    const windows = [4, 5, 6, 7].flatMap((size) =>
      Array.from({ length: length - size + 1 }, (_, from) => ({ key: `${from} ${size}`, size }))
    )
    assert.deepStrictEqual(new Set(counts.keys()), new Set(windows.map(({ key }) => key)))
    for (const { key, size } of windows) {
      closeTo((counts.get(key) ?? 0) / draws, 0.3 / 4 / (length - size + 1) + (size === length ? 0.7 : 0))
    }
    closeTo(share(drawn({ subSequence: 1, leastShare: 0 }, 3).filter(({ length }) => length === 1)), 1 / 3)
    assert.isTrue(drawn({ subSequence: 1, leastShare: 1 }, 3).every(({ length }) => length === 3))
  })

  it("drops items of windows", () => {
    const all = drawn({ subSequence: 1, leastShare: 0.5, itemDrop: 0.5 }, 2)
    // A window of both, of which one or both stay, or a window of one, which stays.
    closeTo(share(all.filter(({ length }) => length === 2)), 0.5 * 0.25)
    closeTo(share(all.filter((places) => places.join() === "0")), (1 - 0.5 * 0.25) / 2)
  })

  it("follows from the seed, the epoch and the number of the example", () => {
    const options = { subSequence: 0.5, itemDrop: 0.3 }
    const first = drawn(options, 9)
    assert.deepStrictEqual(drawn(options, 9), first)
    for (const [seed, epoch] of [[2, 0], [1, 1]] as const) {
      const other = drawn(options, 9, seed, epoch)
      assert.isAbove(share(other.filter((places, i) => places.join() !== first[i]!.join())), 0.9)
    }
    assert.isAbove(new Set(first.map((places) => places.join())).size, 300)
  })

  it("changes nothing but histories whose items are all targets", () => {
    const changing = config({ subSequence: 1, leastShare: 0, itemDrop: 0.9 })
    const others: ReadonlyArray<Prompt.TrainingExample> = [
      { prompt: Prompt.ofHistory(historyOf(9)), answer: [{ item: 1 }], weight: 2 },
      { prompt: { _tag: "Text", task: "title", segments: ["a"] }, answer: ["b"], weight: 1 }
    ]
    for (const [i, example] of Augmentation.apply(changing, others, 1, 0).entries()) {
      assert.strictEqual(example, others[i])
    }
    const [empty, timeless] = Augmentation.apply(
      changing,
      [
        Prompt.everyPosition({ user: 3, items: new Int32Array(0) }),
        { ...Prompt.everyPosition({ user: 4, items: Int32Array.of(7) }), weight: 3 }
      ],
      1,
      0
    )
    assert.deepStrictEqual(empty, Prompt.everyPosition({ user: 3, items: new Int32Array(0) }))
    assert.deepStrictEqual(timeless, { ...Prompt.everyPosition({ user: 4, items: Int32Array.of(7) }), weight: 3 })
    assert.strictEqual(Augmentation.apply(config({}), others, 1, 0), others)
  })
})
