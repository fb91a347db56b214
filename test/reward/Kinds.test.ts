import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as Rewards from "../../programs/Rewards.ts"
import * as Scorer from "../../src/evaluation/baseline/Scorer.ts"
import { ScorerError } from "../../src/evaluation/baseline/ScorerError.ts"
import * as CollaborativeReward from "../../src/reward/CollaborativeReward.ts"
import * as DiversityReward from "../../src/reward/DiversityReward.ts"
import * as NdcgReward from "../../src/reward/NdcgReward.ts"
import * as PopularityReward from "../../src/reward/PopularityReward.ts"
import * as PrefixReward from "../../src/reward/PrefixReward.ts"
import * as RankingReward from "../../src/reward/RankingReward.ts"
import { Reward, type RewardGroup } from "../../src/reward/Reward.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import * as SemanticReward from "../../src/reward/SemanticReward.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"

const group = (items: ReadonlyArray<number>, target: number, more: Partial<RewardGroup> = {}): RewardGroup => ({
  user: 0,
  history: Int32Array.of(1),
  target,
  items: Int32Array.from(items),
  hits: items.map((item) => item === target),
  ...more
})

const score = <E, R>(reward: Layer.Layer<Reward, E, R>, ...groups: ReadonlyArray<RewardGroup>) =>
  Effect.flatMap(Reward, (service) => service.score(groups)).pipe(
    Effect.map((scores) => scores.map((one) => Array.from(one!))),
    Effect.provide(reward)
  )

const close = (found: ArrayLike<number>, expected: ArrayLike<number>, message?: string) =>
  assert.isBelow(distance(found, expected), 1e-6, message)

const index = SidIndex.make(
  [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0], [0, 0, 0, 2], [0, 1, 0]].map((codes) => Int32Array.from(codes)),
  [2, 2, 2, 3],
  "keep"
)
const sids = Sids.layer(index)

/** Cosines by their definition, from rows as they are. */
const cosine = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => {
  const dot = (x: ReadonlyArray<number>, y: ReadonlyArray<number>) => x.reduce((sum, v, i) => sum + v * y[i]!, 0)
  const lengths = Math.sqrt(dot(a, a) * dot(b, b))
  return lengths === 0 ? 0 : dot(a, b) / lengths
}
const rows = Array.from({ length: 9 }, (_, i) => {
  const next = Random.normal(7, i)
  return Array.from({ length: 5 }, () => Math.fround(i === 8 ? 0 : next()))
})
const embeddings = { rows: rows.length, width: 5, data: Float32Array.from(rows.flat()) }

describe("prompts without a known answer", () => {
  const comparing = [RuleReward.layer, RankingReward.layer, NdcgReward.layer, PrefixReward.layer()]
  for (const reward of [...comparing, SemanticReward.layer({ embeddings })]) {
    it.effect("are none that a comparison applies to", () =>
      Effect.gen(function*() {
        const [unknown, known] = yield* (yield* Reward).score([group([0, 3], -1), group([0, 3], 0)])
        assert.isNull(unknown)
        assert.isAbove(known![0]!, known![1]!)
      }).pipe(Effect.provide(Layer.provide(reward, sids))))
  }
})

describe("candidates that are no item", () => {
  const scorer = Scorer.make("some", 9, (_, row) => row.set([3, 1, 0, 2, 0, 0, 0, 0, 4]))
  const kinds: ReadonlyArray<readonly [string, Layer.Layer<Reward, unknown, Sids>, number, number?]> = [
    ["rule", RuleReward.layer, 0],
    ["ranking", RankingReward.layer, -RankingReward.penalties(4)[1]!, 0],
    ["ndcg", NdcgReward.layer, 0],
    ["prefix", PrefixReward.layer(), 0],
    ["semantic", SemanticReward.layer({ embeddings }), -1],
    ["popularity", PopularityReward.layer({ counts: [1, 2, 3, 4, 5, 6, 7] }), -1],
    ["diversity", DiversityReward.layer, -1],
    ["diversity by cosine", DiversityReward.layerCosine({ embeddings }), -1],
    ["collaborative", CollaborativeReward.layer({ scorer }), Math.log(1e-4)],
    [
      "collaborative, a larger epsilon",
      CollaborativeReward.layer({ scorer, form: { kind: "logMass", epsilon: 0.5 } }),
      Math.log(0.5)
    ],
    [
      "collaborative, log-softmax",
      CollaborativeReward.layer({ scorer, form: { kind: "logSoftmax" } }),
      -Math.log([3, 1, 0, 2, 0, 0, 0, 0, 4].reduce((sum, s) => sum + Math.exp(s), 0))
    ],
    ["collaborative, logits", CollaborativeReward.layer({ scorer, form: { kind: "logits" } }), 0],
    ["collaborative, rank", CollaborativeReward.layer({ scorer, form: { kind: "rank" } }), 0]
  ]
  for (const [name, reward, expected, withoutHit = expected] of kinds) {
    it.effect(`get what is stated: ${name}`, () =>
      Effect.gen(function*() {
        const [found, none] = yield* score(
          Layer.provide(reward, sids),
          group([0, -1, 3, 1], 0),
          group([0, -1, 3, 1], 2)
        )
        close([found![1]!, none![1]!], [expected, withoutHit])
        assert.isTrue([...found!, ...none!].every(Number.isFinite))
        const [all] = yield* score(Layer.provide(reward, sids), group([-1, -1], 0))
        assert.isTrue(all!.every(Number.isFinite))
      }))
  }

  it.effect("count as the least liked item in a z-score", () =>
    Effect.gen(function*() {
      const form = { kind: "zScore" } as const
      const [found, all] = yield* score(
        CollaborativeReward.layer({ scorer, form }),
        group([0, -1, 3], 0),
        group([0, 4, 3], 0)
      )
      close(found!, all!)
    }))
})

describe("NDCG of the beam", () => {
  it.effect("gains by the place of the hit", () =>
    Effect.gen(function*() {
      const [found] = yield* score(NdcgReward.layer, group([3, 0, 4, 0], 0))
      close(found!, [0, 1 / Math.log2(3), 0, 1 / Math.log2(5)])
    }))
})

describe("the prefix reward", () => {
  it.effect("is the share of leading codes of the longer SID", () =>
    Effect.gen(function*() {
      const [found, short] = yield* score(
        Layer.provide(PrefixReward.layer(), sids),
        group([0, 1, 2, 3, 4, 5], 0),
        group([0, 4, 5, 3, 6, 2], 4)
      )
      close(found!, [1, 2 / 3, 1 / 3, 0, 2 / 3, 3 / 4])
      close(short!, [2 / 3, 1, 2 / 4, 0, 1 / 3, 1 / 3])
    }))

  it.effect("weighs levels, and refuses weights that do not fit the SIDs", () =>
    Effect.gen(function*() {
      const weighted = PrefixReward.layer({ weights: [0.2, 0.3, 0.5, 1] })
      const [found] = yield* score(Layer.provide(weighted, sids), group([0, 1, 2, 3, 5], 0))
      close(found!, [1, 0.5, 0.2, 0, 0.5])
      for (const weights of [[1, 1, 1], [1, 1, 1, 0], [1, 1, NaN, 1], [1, 1, -1, 1]]) {
        const failed = yield* Effect.flip(score(Layer.provide(PrefixReward.layer({ weights }), sids)))
        assert.include(failed.message, "each of the 4 levels")
      }
    }))

  it.effect("fails for an item that has no SID", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.flip(score(Layer.provide(PrefixReward.layer(), sids), group([7], 0)))
      assert.include(failed.message, "item 7 has no SID: the index holds 7")
    }))
})

describe("the semantic reward", () => {
  it.effect("is the cosine with the target", () =>
    Effect.gen(function*() {
      const candidates = [0, 3, 5, 8, 2]
      for (const target of [3, 8]) {
        const [found] = yield* score(SemanticReward.layer({ embeddings }), group(candidates, target))
        close(found!, candidates.map((item) => cosine(rows[item]!, rows[target]!)))
      }
      const failed = yield* Effect.flip(score(SemanticReward.layer({ embeddings }), group([9], 0)))
      assert.include(failed.message, "item 9 has no embedding: there are 9")
    }))
})

describe("the popularity penalty", () => {
  it.effect("grows with the logarithm of training events, from 0 to -1", () =>
    Effect.gen(function*() {
      const counts = Float64Array.of(0, 1, 7, 31)
      const [found] = yield* score(PopularityReward.layer({ counts }), group([0, 1, 2, 3], 0))
      close(found!, [0, -1 / 5, -3 / 5, -1])
      const [none] = yield* score(PopularityReward.layer({ counts: [0, 0] }), group([0, 1], 0))
      close(none!, [0, 0])
      const failed = yield* Effect.flip(score(PopularityReward.layer({ counts }), group([4], 0)))
      assert.include(failed.message, "item 4 has no count: there are 4")
    }))
})

describe("the diversity penalty", () => {
  it.effect("is minus the mean likeness to the other candidates", () =>
    Effect.gen(function*() {
      const items = [0, 1, -1, 3, 0]
      const [found, single] = yield* score(Layer.provide(DiversityReward.layer, sids), group(items, 0), group([2], 0))
      close(found!, [-(2 / 3 + 0 + 1) / 3, -(2 / 3 + 0 + 2 / 3) / 3, -1, 0, -(1 + 2 / 3 + 0) / 3])
      close(single!, [0])
      const [near] = yield* score(DiversityReward.layerCosine({ embeddings }), group(items, 0))
      const valid = items.filter((item) => item >= 0)
      const expected = items.map((item, i) =>
        item < 0 ?
          -1 :
          -items.reduce((sum, other, j) => sum + (j === i || other < 0 ? 0 : cosine(rows[item]!, rows[other]!)), 0) /
          (valid.length - 1)
      )
      close(near!, expected)
    }))
})

describe("the collaborative reward", () => {
  const raw = [[3, 1, 0, 2], [0, 0, 0, 0]]
  const asked: Array<readonly [number, ReadonlyArray<number>]> = []
  const scorer = Scorer.make("some", 4, ({ items, user }, row) => {
    asked.push([user, [...items]])
    row.set(raw[user]!)
  })
  const groups = [
    group([0, 2, 3, 2], 0, { user: 0, history: Int32Array.of(3, 1) }),
    group([1, 2], 0, { user: 1 })
  ]
  const of = (form: CollaborativeReward.CollaborativeForm) =>
    score(CollaborativeReward.layer({ scorer, form }), ...groups)

  it.effect("asks the scorer for the history and its user", () =>
    Effect.gen(function*() {
      asked.length = 0
      yield* of({ kind: "logMass" })
      assert.deepStrictEqual(asked, [[0, [3, 1]], [1, [1]]])
    }))

  it.effect("has the forms that are stated", () =>
    Effect.gen(function*() {
      const [mass, even] = yield* of({ kind: "logMass", epsilon: 0.01 })
      close(mass!, [3 / 6, 0, 2 / 6, 0].map((share) => Math.log(share + 0.01)))
      close(even!, [Math.log(0.26), Math.log(0.26)])
      const [soft] = yield* of({ kind: "logSoftmax", temperature: 2 })
      const sum = raw[0]!.reduce((total, s) => total + Math.exp(s / 2), 0)
      close(soft!, [3, 0, 2, 0].map((s) => s / 2 - Math.log(sum)))
      const [logits] = yield* of({ kind: "logits" })
      close(logits!, [3, 0, 2, 0])
      const [z, flat] = yield* of({ kind: "zScore" })
      const deviation = Math.sqrt([3, 0, 2, 0].reduce((total, s) => total + (s - 1.25) ** 2, 0) / 3)
      close(z!, [3, 0, 2, 0].map((s) => (s - 1.25) / (deviation + 1e-4)))
      close(flat!, [0, 0])
      const [rank] = yield* of({ kind: "rank" })
      close(rank!, [1, 0.5 / 3, 2 / 3, 0.5 / 3])
    }))

  it.effect("fails in the words of the scorer", () =>
    Effect.gen(function*() {
      const negative = Scorer.make("below", 4, (_, row) => row.fill(-1))
      const failed = yield* Effect.flip(score(CollaborativeReward.layer({ scorer: negative }), groups[0]!))
      assert.strictEqual(failed._tag, "RewardError")
      assert.include(failed.message, "item 0 has the score -1; a mass is finite and at least 0; use logSoftmax")
      const other = { name: "gone", scores: () => Effect.fail(new ScorerError({ scorer: "gone", detail: "no file" })) }
      assert.include(
        (yield* Effect.flip(score(CollaborativeReward.layer({ scorer: other }), groups[0]!))).message,
        "no file"
      )
      const beyond = yield* Effect.flip(score(CollaborativeReward.layer({ scorer }), group([4], 0)))
      assert.include(beyond.message, "item 4 is not among its 4")
    }))
})

describe("rewards by name", () => {
  const forbidden = <A>(name: string): Effect.Effect<A, string> => Effect.fail(`${name} was asked for`)
  const sources = {
    teacher: forbidden<Scorer.Scorer>("teacher"),
    counts: forbidden<ReadonlyArray<number>>("counts"),
    embeddings: forbidden<typeof embeddings>("embeddings")
  }
  const ask = (weights: Readonly<Record<string, number>>, from: Partial<typeof sources>) =>
    Effect.flatMap(RewardActor, (actor) => actor.score([group([0, 1], 0)])).pipe(
      Effect.provide(Layer.provide(RewardActor.layer(Rewards.weighted(weights, { ...sources, ...from })), sids))
    )

  it.effect("make only what they need", () =>
    Effect.gen(function*() {
      const [earned] = yield* ask({ rule: 2, ranking: 1, ndcg: 1, prefix: 1, diversity: 1 }, {})
      assert.deepStrictEqual(Object.keys(earned!.parts), ["rule", "ranking", "ndcg", "prefix", "diversity"])
      for (
        const [name, source] of Object.entries({
          collaborative: "teacher",
          popularity: "counts",
          semantic: "embeddings"
        })
      ) {
        assert.strictEqual(yield* Effect.flip(ask({ [name]: 1 }, {})), `${source} was asked for`)
      }
      const [all] = yield* ask(Object.fromEntries(Rewards.names.map((name) => [name, 1])), {
        teacher: Effect.succeed(Scorer.make("some", 7, (_, row) => row.fill(1))),
        counts: Effect.succeed([1, 2]),
        embeddings: Effect.succeed(embeddings)
      })
      assert.deepStrictEqual(Object.keys(all!.parts), [...Rewards.names])
    }))
})

describe("the semantic reward against MiniOneRec", () => {
  const folder = join(golden, "lm", "rewards")
  const files = list(folder).filter((file) => file.startsWith("rewards") && file.endsWith(".json"))
  if (files.length === 0) it.skipIf(true)("no reward case is here", () => {})
  const clean = (text: string) => text.replaceAll(/[\n"]/g, "")
  for (const file of files) {
    const { cases, embeddings: stored, items } = json(folder, file)
    const itemOf = new Map<string, number>(items.map((sid: string, item: number) => [sid, item]))
    const matrix = { rows: stored.length, width: stored[0].length, data: Float32Array.from(stored.flat()) }
    for (const [name, one] of Object.entries<Record<string, unknown>>(cases)) {
      const targets = one["targets"] as ReadonlyArray<string>
      const completions = one["completions"] as ReadonlyArray<ReadonlyArray<string>>
      const expected = one["semantic"] as ReadonlyArray<number> | null
      it.effect(`${expected === null ? "answers where it breaks" : "agrees"}: ${name}`, () =>
        Effect.gen(function*() {
          const groups = completions.map((texts, g) =>
            group(texts.map((text) => itemOf.get(clean(text)) ?? -1), itemOf.get(clean(targets[g]!))!)
          )
          const found = (yield* score(SemanticReward.layer({ embeddings: matrix }), ...groups)).flat()
          if (expected !== null) close(found, expected)
          else {
            const missing = groups.flatMap(({ items: all }) => [...all]).map((item) => item < 0)
            assert.isTrue(missing.some((is) => is))
            for (const [c, is] of missing.entries()) if (is) assert.strictEqual(found[c], -1)
          }
        }))
    }
  }
})

describe("the collaborative reward against MiniOneRec", () => {
  const folder = join(golden, "lm", "sasrec")
  const files = list(folder).filter((file) => file.endsWith(".json"))
  if (files.length === 0) it.skipIf(true)("no case of SASRec's reward is here", () => {})
  for (const file of files) {
    for (const [name, one] of Object.entries<Record<string, unknown>>(json(folder, file).models)) {
      if (!("rewards" in one)) continue
      it.effect(`${file}: ${name} is SASRec's logit`, () =>
        Effect.gen(function*() {
          const stored = tensors(folder, `${name.replace(/Reward$/, "")}.expected.safetensors`).get("logits")!
          const width = stored.shape[1]!
          const logits = Scorer.make("sasrec", width, ({ user }, row) =>
            row.set(Array.from(stored.data.slice(user * width, (user + 1) * width), Number)))
          const itemOf = new Map((one["items"] as ReadonlyArray<string>).map((sid, item) => [sid, item]))
          const groups = (one["completions"] as ReadonlyArray<ReadonlyArray<string>>).map((texts, user) =>
            group(
              texts.map((text) =>
                itemOf.get(text.trim())!
              ),
              0,
              { user }
            )
          )
          const found = yield* score(
            CollaborativeReward.layer({ scorer: logits, form: { kind: "logits" } }),
            ...groups
          )
          close(found.flat(), one["rewards"] as ReadonlyArray<number>)
        }))
    }
  }
})
