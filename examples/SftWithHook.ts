/**
 * SFT in memory with a hook after every step and a stop rule of your own; no folder is written.
 *
 * Run it: `node examples/SftWithHook.ts`
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as LeafDecoder from "sidereal/decode/LeafDecoder"
import * as Parameters from "sidereal/policy/PolicyParameters"
import * as Sft from "sidereal/programs/Sft"
import { SftConfig } from "sidereal/sft/Sft"
import * as Sids from "sidereal/sid/Sids"
import * as Testing from "sidereal/testing"
import * as CountingPolicy from "sidereal/testing/CountingPolicy"

/** 60 users who take one item after the other, of 27 items in all; the last item of each is for validation. */
const items = 27
const all = Array.from({ length: 60 }, (_, user) => Int32Array.from({ length: 7 }, (_, i) => (user + i) % items))
const data: Sft.SftData = {
  sequences: all.map((taken) => taken.subarray(0, 6)),
  validation: all.map((taken, user) => ({ user, history: taken.subarray(0, 6), target: taken[6]! })),
  historyExcluded: true
}
const config = Schema.decodeSync(SftConfig)({
  epochs: 50,
  epochsPerValidation: 5,
  learningRate: { peak: 0.1, warmupSteps: 1, decay: "constant" },
  optimizer: { averaging: 0, weightDecay: 0 }
})

const losses: Array<number> = []
const hooks: Sft.SftHooks = {
  onStep: ({ loss }) => Effect.sync(() => losses.push(loss)),
  // The mean loss of an epoch, which has two batches, has fallen by less than 3 % since the one before.
  stop: () => {
    const [before, now] = [losses.slice(-4, -2), losses.slice(-2)].map((some) => some.reduce((a, b) => a + b, 0))
    return losses.length >= 4 && now! > 0.97 * before!
  }
}

const program = Effect.gen(function*() {
  const report = yield* Sft.train(config, data, 1, hooks)
  const [first, last] = [losses[0]!, losses.at(-1)!].map((loss) => loss.toFixed(2))
  yield* Effect.sync(() =>
    console.log(
      `loss ${first} to ${last} in ${report.epochs} of 50 epochs, NDCG@10 ${report.bestNdcg.toFixed(2)} ` +
        `after epoch ${report.bestEpoch}`
    )
  )
})

const policy = Layer.merge(Parameters.PolicyParameters.layer, LeafDecoder.LeafDecoder.layerBeams()).pipe(
  Layer.provideMerge(CountingPolicy.layer()),
  Layer.provideMerge(Layer.mergeAll(Sids.Sids.layer(Testing.index(items)), Testing.layerRun, Testing.layerNoTensors))
)
await Effect.runPromise(program.pipe(Effect.provide(policy)))
