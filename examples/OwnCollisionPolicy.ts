/**
 * A collision policy of your own: of items with equal codes the most popular one keeps them, each other one moves to the
 * nearest code of the last level that is free.
 *
 * Run it: `node examples/OwnCollisionPolicy.ts`
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Matrix from "sidereal/matrix/Matrix"
import * as CollisionPolicy from "sidereal/sid/CollisionPolicy"
import * as Diagnostics from "sidereal/sid/Diagnostics"
import { type Items, itemsOf, Quantizer, SidShape } from "sidereal/sid/Quantizer"
import * as Fsq from "sidereal/sid/quantizer/Fsq"
import * as SidIndex from "sidereal/sid/SidIndex"

const popularFirst = ({ popularity }: Items): CollisionPolicy.CollisionPolicy => ({
  name: "popular-first",
  resolve: Effect.fnUntraced(function*(sids, codebookSizes, distances) {
    const last = codebookSizes.length - 1
    const moved = [...sids]
    const taken = new Set(sids.map(String))
    for (const group of Diagnostics.groups(sids)) {
      const [, ...others] = group.toSorted((a, b) => popularity[b]! - popularity[a]!)
      for (const item of others) {
        const near = Matrix.row(yield* distances([item], [sids[item]!], last), 0)
        const order = Array.from(near.keys()).toSorted((a, b) => near[a]! - near[b]!)
        const codes = order.map((code) => sids[item]!.with(last, code)).find((codes) => !taken.has(String(codes)))
        // A prefix with more items than codes keeps its collisions.
        if (codes === undefined) continue
        taken.add(String(codes))
        moved[item] = codes
      }
    }
    return { sids: moved, codebookSizes }
  })
})

/** 40 items in pairs that hardly differ; item i was bought i times. */
const items: Items = {
  ...itemsOf({
    rows: 40,
    width: 4,
    data: Float32Array.from({ length: 160 }, (_, i) => Math.sin(7 * (i >> 3)) * Math.cos(i % 4) + 1e-3 * (i % 8))
  }),
  popularity: Float64Array.from({ length: 40 }, (_, item) => item)
}

const program = Effect.gen(function*() {
  const quantizer = yield* Quantizer
  const trained = yield* quantizer.train(items)
  const { distinct } = yield* quantizer.diagnose(items, trained)
  const policy = popularFirst(items)
  const index = SidIndex.fromResolved(
    yield* CollisionPolicy.resolve(policy, quantizer, items, trained),
    policy.name
  )
  const after = new Set(index.sids.map((codes) => SidIndex.format(codes))).size
  yield* Effect.sync(() => console.log(`${distinct} distinct SIDs of 40 before, ${after} after ${policy.name}`))
})

const shape = Schema.decodeSync(SidShape)({ levels: 2 })
const quantizer = Fsq.layer(Schema.decodeSync(Fsq.FsqConfig)({ digits: [5, 5] }), shape)
await Effect.runPromise(program.pipe(Effect.provide(quantizer)))
