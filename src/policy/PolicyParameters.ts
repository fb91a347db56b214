/**
 * The parameters of the policy in this process: what is trained, evaluated and published.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ParameterStore from "../optimizer/ParameterStore.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type TensorRuntime } from "../tensor/TensorRuntime.ts"
import { PolicyModel } from "./PolicyModel.ts"

/** The store of the policy's parameters. */
export class PolicyParameters extends Context.Service<PolicyParameters, ParameterStore.ParameterStore>()(
  "sidereal/policy/PolicyParameters"
) {
  /** Makes the parameters as the policy begins them. */
  static readonly layer: Layer.Layer<PolicyParameters, TensorError, PolicyModel | TensorRuntime> = Layer.effect(
    PolicyParameters,
    Effect.flatMap(PolicyModel, ({ parameters }) => ParameterStore.make(parameters))
  )
}
