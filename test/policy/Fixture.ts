/**
 * A tiny catalogue with a policy on it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Reference from "../../layers/tfjs/Reference.ts"
import { type ParameterStore } from "../../src/optimizer/ParameterStore.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import { type PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"

/** Nine items; the SIDs of two are one code longer, and one first code has a single child. */
export const index = SidIndex.make(
  [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 0, 0], [1, 2, 1, 0], [1, 2, 1, 1], [2, 1, 0], [2, 1, 2], [3, 3, 3]]
    .map((codes) => Int32Array.from(codes)),
  [4, 4, 4, 2],
  "extra-token"
)

/** A policy of a few thousand weights, large enough that its probabilities differ well. */
export const config = Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  feedForward: 24,
  historyItems: 4,
  batchTokens: 256,
  dropout: 0
})

/** The policy, its parameters and its SIDs on a runtime. */
export const layer = (
  runtime: "onnx" | "reference" = "onnx",
  settings = config,
  sids = index
): Layer.Layer<PolicyModel | PolicyParameters | Sids> =>
  layerOn(settings, sids).pipe(
    Layer.provide(runtime === "onnx" ? OnnxRuntime.layerCpu({ threads: 1 }) : Reference.layer),
    Layer.orDie
  )

/** The same on the runtime of the context. */
export const layerOn = (settings = config, sids = index) =>
  PolicyParameters.layer.pipe(
    Layer.provideMerge(FlatPolicy.layer(settings, 11)),
    Layer.provideMerge(Sids.layer(sids))
  )

/** Makes the weights lively: scaled up so that nothing is nearly uniform. */
export const enliven = Effect.map(PolicyParameters, (store: ParameterStore) => {
  for (const slot of store.buffer.slots) {
    if (slot.shape.length > 1) {
      store.buffer.view("weights", slot.name).forEach((w, i, all) => (all[i] = w * 8))
    }
  }
  return { version: 0, feeds: store.buffer.tensors("weights") }
})
