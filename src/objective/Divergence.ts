/**
 * Divergence from a reference and entropy, per step of a candidate.
 *
 * A step goes from a trie node to one of its children, or ends the SID. With l and r the log-probabilities of a step
 * under the policy and the reference, three estimates of KL(policy || reference) use this step alone (Schulman 2020,
 * "Approximating KL divergence"), and one uses the whole node:
 *
 * - k1 = l - r: unbiased, but its expected gradient is zero unless it is multiplied by the importance ratio.
 * - k2 = (l - r)^2 / 2: slightly biased; on samples of the policy its gradient is that of the KL.
 * - k3 = exp(r - l) - (r - l) - 1: unbiased and never negative, but exponential in r - l where the policy has made a
 *   step improbable that the reference prefers.
 * - exact: the KL over all children of the node that the step leaves, without variance and for candidates of any
 *   origin.
 */
import * as tf from "@tensorflow/tfjs"
import * as Schema from "effect/Schema"
import { type GroupTensors } from "./Objective.ts"

/** Name of an estimate of the divergence. */
export const Estimate = Schema.Literals(["k1", "k2", "k3", "exact"])
export type Estimate = typeof Estimate.Type

/** Gathers values of nodes [R] at the node that each step leaves, [C, L]. */
const atSteps = (values: tf.Tensor, { node }: GroupTensors): tf.Tensor =>
  tf.gather(values, node.reshape([-1])).reshape(node.shape)

/** Returns KL(policy || reference) over the children of each node, [R], in nats. */
export const ofNodes = ({ nodes: { legal, logProbs, reference } }: GroupTensors): tf.Tensor =>
  logProbs.exp().mul(logProbs.sub(reference)).mul(legal).sum(1)

/** Returns the policy's entropy over the children of each node, [R], in nats. */
export const entropyOfNodes = ({ nodes: { legal, logProbs } }: GroupTensors): tf.Tensor =>
  logProbs.exp().mul(logProbs).mul(legal).sum(1).neg()

/** Returns the divergence from the reference at each step, [C, L], in nats. */
export const ofSteps = (estimate: Estimate, groups: GroupTensors): tf.Tensor => {
  if (estimate === "exact") return atSteps(ofNodes(groups), groups)
  const gap = groups.reference.sub(groups.logProbs)
  if (estimate === "k1") return gap.neg()
  return estimate === "k2" ? gap.square().mul(0.5) : gap.exp().sub(gap).sub(1)
}

/** Returns the policy's entropy at the node that each step leaves, [C, L], in nats. */
export const entropyOfSteps = (groups: GroupTensors): tf.Tensor => atSteps(entropyOfNodes(groups), groups)
