/**
 * Divergence from a reference and entropy, step by step.
 *
 * With l and r the log-probabilities of a step under the policy and the reference, three estimates of KL(policy ||
 * reference) need that step alone (Schulman 2020, "Approximating KL divergence"): k1 = l - r, without bias; k2 =
 * (l - r)^2 / 2, with a small bias and, on samples of the policy, with the gradient of the KL; k3 = exp(r - l) - (r - l) - 1,
 * without bias and never negative, but exponential where the reference prefers a step that the policy gave up. All
 * children of the node that the step leaves give the KL exactly, without variance and for candidates of any origin.
 *
 * As a loss k1 has no gradient in expectation (that of l is zero) unless it is multiplied by the importance ratio.
 */
import * as tf from "@tensorflow/tfjs"
import * as Schema from "effect/Schema"
import { type GroupTensors } from "./Objective.ts"

/** Names of the estimates. */
export const Estimate = Schema.Literals(["k1", "k2", "k3", "exact"])
export type Estimate = typeof Estimate.Type

/** Takes the number of the node that each step leaves: [R] to [C, L]. */
const atSteps = (values: tf.Tensor, { node }: GroupTensors): tf.Tensor =>
  tf.gather(values, node.reshape([-1])).reshape(node.shape)

/** KL(policy || reference) over the children of each node [R]. */
export const ofNodes = ({ nodes: { legal, logProbs, reference } }: GroupTensors): tf.Tensor =>
  logProbs.exp().mul(logProbs.sub(reference)).mul(legal).sum(1)

/** Entropy of the children of each node [R], in nats. */
export const entropyOfNodes = ({ nodes: { legal, logProbs } }: GroupTensors): tf.Tensor =>
  logProbs.exp().mul(logProbs).mul(legal).sum(1).neg()

/** Divergence from the reference at each step [C, L]. */
export const ofSteps = (estimate: Estimate, groups: GroupTensors): tf.Tensor => {
  if (estimate === "exact") return atSteps(ofNodes(groups), groups)
  const gap = groups.reference.sub(groups.logProbs)
  if (estimate === "k1") return gap.neg()
  return estimate === "k2" ? gap.square().mul(0.5) : gap.exp().sub(gap).sub(1)
}

/** Entropy of the node that each step leaves [C, L], in nats. */
export const entropyOfSteps = (groups: GroupTensors): tf.Tensor => atSteps(entropyOfNodes(groups), groups)
