/**
 * The policy's parameters in this process, from which training, evaluation and publication take their weights.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ParameterStore from "../optimizer/ParameterStore.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type TensorRuntime } from "../tensor/TensorRuntime.ts"
import { PolicyModel } from "./PolicyModel.ts"

/** Store of the policy's parameters. */
export class PolicyParameters extends Context.Service<PolicyParameters, ParameterStore.ParameterStore>()(
  "sidereal/policy/PolicyParameters"
) {
  /** Provides a store with the policy's initial parameters. */
  static readonly layer: Layer.Layer<PolicyParameters, TensorError, PolicyModel | TensorRuntime> = Layer.effect(
    PolicyParameters,
    Effect.flatMap(PolicyModel, ({ parameters }) => ParameterStore.make(parameters))
  )
}
