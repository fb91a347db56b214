/**
 * The control of GRPO: it trains for the seconds that it is given, goes on where it stopped, and stands in the evaluation.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Control from "../../programs/Control.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import { RunLog } from "../../src/run/RunLog.ts"
import { continued, SftConfig } from "../../src/sft/Sft.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import * as CountingPolicy from "../../src/testing/CountingPolicy.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { good, refused } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-control-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const step = (at: number, seconds: Readonly<Record<string, number>>) => ({
  kind: "grpo.step",
  step: at,
  fields: {
    reward: 9,
    ...Object.fromEntries(Object.entries(seconds).map(([phase, value]) => [`seconds.${phase}`, value]))
  }
})

const items = 20
const sequences = Array.from(
  { length: 40 },
  (_, user) => Int32Array.from({ length: 6 }, (_, i) => (user + i) % items)
)
const validation = sequences.map((all, user) => ({ user, history: all.subarray(0, 5), target: all[5]! }))
const data = { sequences, validation, historyExcluded: true }

/** Every look at this clock but those of spans takes an eighth of a second, so that each step does. */
const clock = Effect.map(Clock.Clock, (real) => {
  let nanos = 0n
  return {
    ...real,
    currentTimeNanosUnsafe: () => nanos,
    currentTimeNanos: Effect.sync(() => nanos += 125_000_000n)
  }
})

const trained = PolicyParameters.layer.pipe(
  Layer.provideMerge(LeafDecoder.layerBeams()),
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Sids.layer(Testing.index(items))),
  Layer.provideMerge(Layer.mergeAll(Testing.layerRun, Testing.layerNoTensors))
)

const sft = Schema.decodeSync(SftConfig)({ learningRate: { peak: 0.5, floor: 0.1 } })

const config = (seconds: number, validations: number): Control.ControlConfig => ({
  ...sft,
  mixtures: [0.5],
  validationBeams: 10,
  validationUsers: 40,
  seconds,
  validations,
  origin: 30
})

describe("the control of GRPO", () => {
  it("trains for the seconds of every step of GRPO that counts, validations apart", () => {
    const events = [
      step(1, { rollout: 100, learn: 100 }),
      step(2, { rollout: 100 }),
      // GRPO began again, and was interrupted after step 2.
      step(1, { rollout: 1, learn: 0.5, validation: 50 }),
      step(2, { rollout: 1.25, reference: 0.25, learn: 1 }),
      { kind: "sft.step", step: 2, fields: { "seconds.learn": 1000 } },
      step(3, { rollout: 70 }),
      step(3, { rollout: 2, learn: 2 }),
      step(4, { rollout: 30 })
    ]
    assert.strictEqual(Control.secondsOf(events, 3), 8)
    assert.strictEqual(Control.secondsOf(events, 2), 4)
    assert.strictEqual(Control.secondsOf([], 2), 0)
  })

  it("learns at the last rate of SFT after a warm-up, and never at none", () => {
    const rates = (learningRate: object, ...steps: ReadonlyArray<number>) =>
      steps.map((at) => Control.rateAt(Schema.decodeSync(SftConfig)({ learningRate }), at))
    const close = (actual: ReadonlyArray<number>, expected: ReadonlyArray<number>) => {
      for (const [i, rate] of actual.entries()) assert.closeTo(rate, expected[i]!, 1e-12)
    }
    close(rates({ peak: 1, floor: 0.2 }, 0, 4, 9, 10, 9999), [0.02, 0.1, 0.2, 0.2, 0.2])
    close(rates({ peak: 1, floor: 0.2, decay: "linear" }, 9), [0.2])
    close(rates({ peak: 1, floor: 0 }, 9), [0.05])
    close(rates({ peak: 0.3, decay: "constant" }, 9), [0.3])
  })

  it.effect("goes on with more seconds as if they had been given at once", () =>
    Effect.gen(function*() {
      const run = (...parts: ReadonlyArray<readonly [seconds: number, validations: number]>) =>
        Effect.gen(function*() {
          const store = yield* PolicyParameters
          const weights = Effect.map(
            store.save,
            ({ weights }) => createHash("sha256").update(Safetensors.encode(weights)).digest("hex")
          )
          const begun = yield* store.save
          const reports = []
          for (const [seconds, validations] of parts) {
            // A process begins with the weights of SFT.
            yield* store.restore(begun)
            reports.push(yield* Control.train(config(seconds, validations), data, 1))
          }
          const { meta, step: last } = (yield* (yield* Checkpointer).latest(continued))!
          const { events } = yield* (yield* RunLog).read
          const validations = events.filter(({ kind }) => kind === "control.validation")
          return { reports, meta, last, weights: yield* weights, validations }
        }).pipe(
          Effect.provide(trained),
          Effect.provideServiceEffect(Clock.Clock, clock)
        )
      const whole = yield* run([4, 4])
      const parts = yield* run([2, 2], [4, 4], [4, 4])
      assert.deepStrictEqual(whole.validations.map(({ step }) => step), [0, 8, 16, 24, 32])
      assert.deepStrictEqual(parts.validations, whole.validations)
      assert.strictEqual(parts.weights, whole.weights)
      assert.strictEqual(parts.last, 32)
      assert.strictEqual(whole.meta["epoch"], 4)
      assert.deepStrictEqual(parts.reports.map(({ steps }) => steps), [16, 32, 32])
      const [report] = whole.reports
      assert.isAbove(report!.bestNdcg, report!.startNdcg + 0.05)
      assert.deepStrictEqual(parts.reports.at(-1), report)
    }))

  for (const family of ["flat", "item", "parallel"] as const) {
    it(`is a row of the evaluation for ${family}`, async () => {
      const run = join(folder, family)
      const settings = join(folder, `${family}.json`)
      const write = (epochs: number) =>
        writeFileSync(
          settings,
          JSON.stringify({
            shop: { users: 60, items: 40 },
            lsa: { width: 8 },
            family,
            policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16, batchTokens: 256 },
            item: { width: 16, layers: 1, heads: 2, feedForward: 24, digitWidth: 8, batchItems: 128 },
            sft: {
              epochs,
              epochsPerValidation: 1,
              patience: 12,
              validationUsers: 20,
              learningRate: { peak: 3e-3, warmupSteps: 4 }
            },
            grpo: { steps: 2, promptsPerStep: 4, groupSize: 4, stepsPerValidation: 1, validationUsers: 20 },
            evaluation: { fusionUsers: 20 }
          })
        )
      write(2)
      const args = ["--run", run, "--config", settings]
      await good("sft", ...args)
      if (family === "flat") {
        assert.include(await refused("NoCheckpoint", "control", ...args), "sidereal grpo --run")
      }
      await good("grpo", ...args)
      const events = readFileSync(join(run, "events.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
      const first = JSON.parse((await good("control", ...args, "--json")).out)
      const wanted = Control.secondsOf(events, 2)
      assert.isAbove(wanted, 0)
      assert.isAtLeast(first.seconds, wanted)
      assert.isAbove(first.steps, 0)
      const record = JSON.parse((await good("evaluate", ...args, "--json")).out)
      for (const rows of [record.models, record.kept]) {
        assert.include(rows.map(({ name }: { readonly name: string }) => name), "sft continued")
      }
      const names = record.differences.map(({ name }: { readonly name: string }) => name)
      for (const name of ["sft continued - sft", "grpo - sft continued"]) assert.include(names, name)
      assert.notInclude(
        record.fusion.choices.map(({ phase }: { readonly phase: string }) => phase),
        continued,
        "recommend never ranks with the control"
      )
      const { ci95, difference } = record.differences.find(
        ({ metric, name }: { readonly metric: string; readonly name: string }) =>
          name === "grpo - sft continued" && metric === "NDCG@10"
      )
      const ndcg = (row: string) =>
        record.models.find(({ name }: { readonly name: string }) => name === row).metrics["NDCG@10"]
      assert.closeTo(difference, ndcg("grpo") - ndcg("sft continued"), 1e-12)
      assert.isTrue(ci95[0] <= difference && difference <= ci95[1])
      if (family !== "flat") return

      const log = join(run, "events.jsonl")
      const lines = readFileSync(log, "utf8")
      writeFileSync(log, lines.split("\n").filter((line) => !line.includes("grpo.step")).join("\n"))
      assert.include(await refused("SettingsError", "control", ...args), "has no steps of GRPO")
      writeFileSync(log, lines)

      // After a better policy of SFT the control belongs to another one.
      write(12)
      await good("sft", ...args)
      const { notes, out } = await good("evaluate", ...args, "--json")
      assert.include(notes, "`sidereal control` restarts it")
      assert.notInclude(out, "sft continued")
      const again = JSON.parse((await good("control", ...args, "--json", "--seconds", "0.2")).out)
      assert.isAbove(again.startNdcg, first.startNdcg)
      assert.isAtLeast(again.seconds, 0.2)
      assert.include((await good("evaluate", ...args, "--json")).out, "sft continued - sft")
      assert.isTrue(readdirSync(join(run, "checkpoints")).some((name) => name.startsWith("control-")))
      await good("data", ...args, "--fresh")
      assert.isFalse(existsSync(join(run, "checkpoints")))
    })
  }
})
