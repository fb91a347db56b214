import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { formatSeconds, orSilent, Progress, type ProgressStream } from "../../src/run/Progress.ts"

/** Display with a clock that the test turns, in ms. */
const display = (stream: Omit<ProgressStream, "write"> = {}) =>
  Effect.gen(function*() {
    const clock = { now: 0, out: "" }
    const layer = Progress.layer({ ...stream, write: (text: string) => (clock.out += text) }, () => clock.now)
    return { clock, progress: yield* Progress.pipe(Effect.provide(layer)) }
  })

const erase = "\r\u001b[2K"

describe("Progress", () => {
  it.effect("tells rate and time left, redrawing on a terminal and in plain lines elsewhere", () =>
    Effect.gen(function*() {
      for (const isTTY of [true, false]) {
        const { clock, progress } = yield* display({ isTTY })
        const tracker = progress.start("train", 100, "steps")
        clock.now = 10_000
        tracker.update(25, "loss 2")
        clock.now = 10_010
        tracker.update(26)
        tracker.finish("done")
        assert.include(clock.out, "train: 25/100 steps | 25 % | 2.5 steps/s | 30 s left | loss 2")
        assert.notInclude(clock.out, "26/100")
        assert.include(clock.out, "train: 100 steps in 10 s | 10.0 steps/s | done\n")
        assert.strictEqual(clock.out.includes("\r"), isTTY)
      }
    }))

  it.effect("counts the rate of resumed work from where it began", () =>
    Effect.gen(function*() {
      const { clock, progress } = yield* display()
      const resumed = progress.start("train", 100, "steps", 80)
      clock.now = 10_000
      resumed.update(85)
      resumed.finish(undefined, 90)
      progress.start("train", 100, "steps", 100).finish()
      assert.deepStrictEqual(clock.out.split("\n"), [
        "train: 85/100 steps | 85 % | 0.5 steps/s | 30 s left",
        "train: 10 steps in 10 s | 1.0 steps/s",
        "train: 100 steps, nothing left to do",
        ""
      ])
      assert.deepStrictEqual([4.23, 61, 7800].map(formatSeconds), ["4.2 s", "1 min 01 s", "2 h 10 min"])
    }))

  it.effect("writes at most every ten seconds outside a terminal, whatever runs side by side", () =>
    Effect.gen(function*() {
      const { clock, progress } = yield* display()
      const trackers = [progress.start("one", 600, "steps"), progress.start("two", 600, "steps")]
      for (let second = 1; second <= 60; second++) {
        clock.now = 1000 * second
        for (const tracker of trackers) tracker.update(second)
      }
      assert.strictEqual(clock.out.trimEnd().split("\n").length, 6)
    }))

  it.effect("shows a part only after two seconds, and leaves no line of it", () =>
    Effect.gen(function*() {
      const { clock, progress } = yield* display({ isTTY: true })
      const training = progress.start("sft", 10, "steps")
      const short = progress.part("sft validation", 10, "users")
      clock.now = 1900
      short.update(9)
      short.finish()
      assert.strictEqual(clock.out, "")
      const long = progress.part("sft validation", 10, "users")
      clock.now = 4000
      long.update(5)
      assert.strictEqual(clock.out, `${erase}sft validation: 5/10 users | 50 % | 2.4 users/s | 2.1 s left`)
      long.finish()
      assert.isTrue(clock.out.endsWith(erase))
      clock.now = 5000
      training.finish()
      assert.isTrue(clock.out.endsWith(`${erase}sft: 10 steps in 5.0 s | 2.0 steps/s\n`))
      const elsewhere = yield* display()
      const part = elsewhere.progress.part("sft validation", 10, "users")
      elsewhere.clock.now = 12_000
      part.update(5)
      part.finish()
      assert.strictEqual(elsewhere.clock.out, "sft validation: 5/10 users | 50 % | 0.4 users/s | 12 s left\n")
    }))

  it.effect("keeps to one line of a narrow terminal", () =>
    Effect.gen(function*() {
      const { clock, progress } = yield* display({ isTTY: true, columns: 20 })
      const tracker = progress.start("a long name of work", 10, "steps")
      clock.now = 1000
      tracker.update(1, "with a long detail")
      assert.strictEqual(clock.out, `${erase}a long name of work`)
    }))

  it.effect("is silent where there is no display", () =>
    Effect.gen(function*() {
      const progress = yield* orSilent
      progress.start("a", 1, "b").finish()
      progress.part("a", 1, "b").update(1)
      const given = yield* display()
      assert.strictEqual(
        yield* orSilent.pipe(Effect.provideService(Progress, given.progress)),
        given.progress
      )
    }))
})
