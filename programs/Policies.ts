/**
 * The policy families of programs.
 */
import type * as Layer from "effect/Layer"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import { type PolicyModel } from "../src/policy/PolicyModel.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import { type TensorError } from "../src/tensor/TensorError.ts"
import { type TensorRuntime } from "../src/tensor/TensorRuntime.ts"
import { type Settings } from "./Settings.ts"

/** A function that makes the layer of a policy for settings and a SID index. */
export type PolicyLayer = (
  settings: Settings,
  index: SidIndex
) => Layer.Layer<PolicyModel, TensorError, TensorRuntime>

/** Makes the flat family: one position per code. */
export const flat: PolicyLayer = (settings, index) => FlatPolicy.layer(settings.policy, index, settings.seed)
