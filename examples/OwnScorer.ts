/**
 * A scorer of your own, first-order Markov counts, evaluated beside popularity and ItemKNN on a generated shop.
 *
 * A scorer is also a teacher of GRPO, a reward (`CollaborativeReward`) and a prior of a decoder (`ScorerPrior`).
 *
 * Run it: `node examples/OwnScorer.ts`
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Shop from "sidereal/catalog/Shop"
import * as Split from "sidereal/catalog/Split"
import * as Scorer from "sidereal/evaluation/baseline/Scorer"
import * as Evaluator from "sidereal/evaluation/Evaluator"
import * as ItemKnn from "sidereal/evaluation/ItemKnn"
import * as Popularity from "sidereal/evaluation/Popularity"
import * as Table from "sidereal/evaluation/Table"

/** Scores an item by how often it followed the last one; popularity breaks ties. */
const markov = (train: ReadonlyArray<Int32Array>, items: number): Scorer.Scorer => {
  const follows = Array.from({ length: items }, () => new Map<number, number>())
  const counts = new Float64Array(items)
  for (const sequence of train) {
    for (const [i, item] of sequence.entries()) {
      counts[item]!++
      const row = follows[sequence[i - 1] ?? item]!
      if (i > 0) row.set(item, (row.get(item) ?? 0) + 1)
    }
  }
  return Scorer.make("markov", items, (history, row) => {
    row.set(counts.map((count) => count / 1e6))
    for (const [item, count] of follows[history.items.at(-1) ?? 0]!) row[item]! += count
  })
}

const program = Effect.gen(function*() {
  const dataset = Shop.generate(Schema.decodeSync(Shop.ShopConfig)({ users: 500, items: 200 }), 1)
  const { test, train } = yield* Split.split(dataset, Schema.decodeSync(Split.SplitConfig)({}))
  const items = dataset.items.length
  const rows = yield* Effect.forEach(
    [Popularity.fit(train, items), markov(train, items), ItemKnn.fit(train, items)],
    (scorer) =>
      Effect.map(
        Evaluator.byScores(test, scorer, true),
        (ranking) => Evaluator.row({ name: scorer.name, ranking, items, seconds: 0, seed: 1 })
      )
  )
  yield* Effect.sync(() => console.log(Table.render(rows)))
})
await Effect.runPromise(program)
