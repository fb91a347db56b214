/**
 * Policy families that a program can be given.
 */
import type * as Layer from "effect/Layer"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import { type PolicyModel } from "../src/policy/PolicyModel.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import { type TensorError } from "../src/tensor/TensorError.ts"
import { type TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Settings } from "./Settings.ts"

/** Makes the layer of a policy for an index. */
export type PolicyLayer = (
  settings: Settings,
  index: SidIndex
) => Layer.Layer<PolicyModel, TensorError, TensorRuntime>

/** One position per code. */
export const flat: PolicyLayer = (settings, index) => FlatPolicy.layer(settings.policy, index, settings.seed)
