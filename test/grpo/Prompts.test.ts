import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Prompts from "../../src/grpo/Prompts.ts"
import * as Random from "../../src/statistics/Random.ts"

/** Users with 0 to 6 events; items and times tell the user and the position. */
const sequences = [4, 0, 1, 6, 2, 1, 3].map((length, user) => Int32Array.from({ length }, (_, at) => 10 * user + at))
const times = sequences.map((items) => Float64Array.from({ length: items.length + 2 }, (_, at) => 1000 + at))
const every = sequences.flatMap((items, user) => Array.from(items, (_, at) => [user, at] as const)).filter(([, at]) =>
  at >= 1
)

const make = (config: typeof Prompts.PromptsConfig.Encoded, seed = 5) =>
  Prompts.make({ sequences, times }, Schema.decodeSync(Prompts.PromptsConfig)(config), seed)

const name = ({ history, target }: Prompts.RolloutPrompt) => `${history.user}: ${history.items.join()} -> ${target}`

const nameOf = ([user, at]: readonly [number, number]) =>
  `${user}: ${sequences[user]!.subarray(0, at).join()} -> ${sequences[user]![at]}`

describe("Prompts.make", () => {
  it("asks every training position once in an epoch, in another order each time, wherever steps end", () => {
    for (const count of [1, 4, 5, 11, 30]) {
      const prompts = make({})
      assert.strictEqual(prompts.positions, every.length)
      const asked = Array.from({ length: Math.ceil(3 * every.length / count) }, (_, i) => prompts.draw(i + 1, count))
      const names = asked.flat().map(name)
      const epochs = [0, 1, 2].map((epoch) => names.slice(epoch * every.length, (epoch + 1) * every.length))
      for (const epoch of epochs) assert.deepStrictEqual(epoch.toSorted(), every.map(nameOf).toSorted())
      assert.notDeepEqual(epochs[0], epochs[1])
      for (const list of asked) assert.deepStrictEqual(list.map(({ ordinal }) => ordinal), [...list.keys()])
    }
  })

  it("asks the same in a step that is drawn alone, and something else with another seed", () => {
    for (const order of ["epochs", "random"] as const) {
      const prompts = make({ order })
      const all = [1, 2, 3, 4].map((step) => prompts.draw(step, 5))
      for (const step of [4, 2, 3, 1]) assert.deepStrictEqual(make({ order }).draw(step, 5), all[step - 1])
      assert.notDeepEqual(make({ order }, 6).draw(1, 5), all[0])
      assert.notDeepEqual(all[0], all[1])
    }
  })

  it("draws users and then their positions with even chances", () => {
    const prompts = make({ order: "random" })
    const counts = new Map<string, number>()
    const trials = 6000
    for (const prompt of prompts.draw(1, trials)) counts.set(name(prompt), (counts.get(name(prompt)) ?? 0) + 1)
    const users = sequences.filter(({ length }) => length >= 2).length
    for (const one of every) {
      const p = 1 / users / (sequences[one[0]]!.length - 1)
      assert.closeTo(counts.get(nameOf(one)) ?? 0, trials * p, 4.5 * Math.sqrt(trials * p * (1 - p)))
    }
    assert.strictEqual(counts.size, every.length)
  })

  it("asks for the last event of each user when those are held out, and for the last few when only recent ones count", () => {
    const last = make({ positions: "held-out" })
    const lasts = sequences.flatMap(({ length }, user) => length >= 2 ? [[user, length - 1] as const] : [])
    assert.deepStrictEqual(last.draw(1, last.positions).map(name).toSorted(), lasts.map(nameOf).toSorted())
    const few = make({ recent: 2 })
    const recent = every.filter(([user, at]) => at >= sequences[user]!.length - 2)
    assert.deepStrictEqual(few.draw(1, few.positions).map(name).toSorted(), recent.map(nameOf).toSorted())
  })

  it("shows whole sequences after which no answer is known", () => {
    const prompts = make({ positions: "unlabelled" })
    const drawn = prompts.draw(1, prompts.positions)
    assert.deepStrictEqual(
      drawn.map(({ history }) => [...history.items]).toSorted(),
      sequences.filter(({ length }) => length > 0).map((items) => [...items]).toSorted()
    )
    assert.isTrue(drawn.every(({ target }) => target === Prompts.noTarget))
  })

  it("does not ask after the whole sequences of validation, unless most users would be left out", () => {
    const asked = (positions: "unlabelled" | "training", validated: ReadonlyArray<number>) => {
      const config = Schema.decodeSync(Prompts.PromptsConfig)({ positions })
      const prompts = Prompts.make({ sequences, validated: validated.map((user) => sequences[user]!) }, config, 5)
      return new Set(prompts.draw(1, prompts.positions).map(({ history }) => history.user))
    }
    assert.deepStrictEqual([...asked("unlabelled", [0, 1, 5])].toSorted(), [2, 3, 4, 6])
    assert.deepStrictEqual([...asked("unlabelled", [0, 3, 4, 5])].toSorted(), [0, 2, 3, 4, 5, 6])
    assert.deepStrictEqual([...asked("training", [0, 1, 5])].toSorted(), [0, 3, 4, 6])
  })

  it("takes a share of the prompts of every step from whole sequences, each kind in its own epochs", () => {
    for (const order of ["epochs", "random"] as const) {
      const [labelled, whole] = [make({ order }), make({ order, positions: "unlabelled" })]
      const mixed = make({ order, unlabelledShare: 0.3 })
      assert.strictEqual(mixed.positions, labelled.positions)
      for (let step = 1; step <= 20; step++) {
        const drawn = mixed.draw(step, 10)
        assert.deepStrictEqual(drawn.map(({ ordinal }) => ordinal), Array.from({ length: 10 }, (_, i) => i))
        const plain = drawn.map(({ history, target }) => ({ history, target }))
        const expected = [...labelled.draw(step, 7), ...whole.draw(step, 3)]
        assert.deepStrictEqual(plain, expected.map(({ history, target }) => ({ history, target })))
      }
    }
    const all = make({ unlabelledShare: 1 }).draw(1, 5)
    assert.isTrue(all.length === 5 && all.every(({ target }) => target === Prompts.noTarget))
  })

  it("continues the chosen share of the whole sequences by what others did next, and no training position", () => {
    const circle = Array.from({ length: 40 }, (_, user) => Int32Array.of(user, (user + 1) % 40))
    const draw = (config: typeof Prompts.PromptsConfig.Encoded) =>
      Prompts.make({ sequences: circle }, Schema.decodeSync(Prompts.PromptsConfig)(config), 5)
    for (const order of ["epochs", "random"] as const) {
      let longer = 0
      for (let step = 1; step <= 50; step++) {
        const drawn = draw({ order, positions: "unlabelled", continuedShare: 0.3 }).draw(step, 20)
        const whole = draw({ order, positions: "unlabelled" }).draw(step, 20)
        for (const [i, { history: { items, user }, target }] of drawn.entries()) {
          assert.deepStrictEqual([user, target, items[0], items[1]], [
            whole[i]!.history.user,
            Prompts.noTarget,
            user,
            (user + 1) % 40
          ])
          if (items.length === 2) continue
          longer++
          assert.deepStrictEqual([...items.subarray(2)], [(user + 2) % 40])
        }
      }
      assert.closeTo(longer / 1000, 0.3, 0.07)
    }
    const all = draw({ positions: "unlabelled", continuedShare: 1, window: 2 }).draw(1, 40)
    for (const { history: { items, user } } of all) {
      assert.deepStrictEqual(
        [...items],
        [user + 1, user + 2].map((n) => n % 40)
      )
    }
    const labelled = draw({ continuedShare: 1, unlabelledShare: 0.5 }).draw(1, 40)
    assert.deepStrictEqual(labelled.map(({ history }) => history.items.length).toSorted(), [
      ...Array.from({ length: 20 }, () => 1),
      ...Array.from({ length: 20 }, () => 3)
    ])
  })

  it("cuts the chosen share of the histories to any number of their newest items, the same in every process", () => {
    for (const order of ["epochs", "random"] as const) {
      const [whole, cut] = [make({ order }), make({ order, shortShare: 0.5 })]
      const kept = new Map<string, number>()
      let [same, all] = [0, 0]
      for (let step = 1; step <= 200; step++) {
        const [from, to] = [whole.draw(step, 15), cut.draw(step, 15)]
        assert.deepStrictEqual(make({ order, shortShare: 0.5 }).draw(step, 15), to)
        for (const [i, { history, ordinal, target }] of to.entries()) {
          const one = from[i]!
          assert.deepStrictEqual([ordinal, target, history.user], [one.ordinal, one.target, one.history.user])
          const { length } = history.items
          assert.isAtLeast(length, 1)
          assert.deepStrictEqual([...history.items], [...one.history.items.subarray(-length)])
          assert.deepStrictEqual([...history.times!], [...one.history.times!.subarray(-length)])
          if (one.history.items.length < 4) continue
          all++
          if (length === one.history.items.length) same++
          kept.set(
            `${one.history.items.length} ${length}`,
            (kept.get(`${one.history.items.length} ${length}`) ?? 0) + 1
          )
        }
      }
      // Half are left as they are, and of the others as many as keep all by chance.
      assert.isAbove(same / all, 0.55)
      assert.isBelow(same / all, 0.7)
      for (const length of [1, 2, 3, 4]) assert.isAbove(kept.get(`4 ${length}`) ?? 0, 10)
    }
  })

  it("keeps the newest items of a history with their own times", () => {
    for (const positions of ["training", "unlabelled"] as const) {
      const prompts = make({ positions, window: 2 })
      for (const { history, target } of prompts.draw(1, prompts.positions)) {
        const at = target === Prompts.noTarget ? sequences[history.user]!.length : target % 10
        assert.deepStrictEqual(history.items, sequences[history.user]!.subarray(Math.max(0, at - 2), at))
        assert.deepStrictEqual([...history.times!], Array.from(history.items, (item) => 1000 + item % 10))
      }
    }
    const [untimed] = Prompts.draw(sequences, 1, [1, 1])
    assert.notProperty(untimed!.history, "times")
  })

  it("returns no prompt where there is no position", () => {
    const none = Prompts.make(
      { sequences: [Int32Array.of(3), Int32Array.of()] },
      Schema.decodeSync(Prompts.PromptsConfig)({}),
      1
    )
    assert.deepStrictEqual(none.draw(1, 4), [])
    assert.deepStrictEqual(Prompts.draw([], 4, [1, 1]), [])
  })
})

describe("Prompts.draw", () => {
  it("draws a user, then a position (written anew)", () => {
    const next = Random.uniform(3, 0x6790, 7)
    const users = [0, 3, 4, 6]
    const expected = Array.from({ length: 50 }, (_, ordinal) => {
      const items = sequences[users[Math.floor(next() * users.length)]!]!
      const at = 1 + Math.floor(next() * (items.length - 1))
      return `${ordinal} ${items.subarray(0, at).join()} -> ${items[at]}`
    })
    const drawn = Prompts.draw(sequences, 50, [3, 7])
    assert.deepStrictEqual(
      drawn.map(({ history, ordinal, target }) => `${ordinal} ${history.items.join()} -> ${target}`),
      expected
    )
  })
})
