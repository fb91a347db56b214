/**
 * Objectives: losses over groups of candidates, as pure tensor functions.
 *
 * Shapes: C candidates of all groups; L steps of the longest candidate (its codes, and its end where the SID is a
 * prefix of another SID); P groups, one per prompt; G candidates of the largest group; R inner nodes of all trees; K
 * children of the widest node.
 *
 * A policy may compute a batch in parts and add the results. A loss and its terms are therefore sums over the part,
 * divided by counts of the whole batch (`total`), as `overSteps`, `overCandidates` and `overGroups` compute them; a
 * plain `mean()` divides by the counts of the part and is wrong.
 */
import * as tf from "@tensorflow/tfjs"

/** Input of a loss; masked entries are 0. Log-probabilities are natural logarithms. */
export interface GroupTensors {
  /** Log-probability of each step, [C, L]; gradients flow through it and through `nodes.logProbs`. */
  readonly logProbs: tf.Tensor
  /** Log-probability of each step under the policy that drew the candidates, [C, L]; for objectives that need it. */
  readonly behaviour: tf.Tensor
  /** Log-probability of each step under the reference, [C, L]; for objectives that need it. */
  readonly reference: tf.Tensor
  /** 1 for the steps of a candidate, 0 for padding, [C, L]. */
  readonly mask: tf.Tensor
  /** Row in `nodes` of the node that each step leaves, [C, L], int32. */
  readonly node: tf.Tensor
  /** Advantage of each candidate, [C]; its reward total in the mode "raw" of `Advantage`. */
  readonly advantages: tf.Tensor
  /** 1 for the candidate that is the answer to its prompt, 0 for others, [C]. */
  readonly answer: tf.Tensor
  readonly members: {
    /** Numbers (0 .. C - 1) of the candidates of each group, in their order, [P, G], int32. */
    readonly candidates: tf.Tensor
    /** 1 for the candidates of a group, 0 for padding, [P, G]. */
    readonly mask: tf.Tensor
  }
  /** Counts of the whole batch, scalars; these tensors may be a part of it. */
  readonly total: { readonly candidates: tf.Tensor; readonly steps: tf.Tensor; readonly groups: tf.Tensor }
  readonly nodes: {
    /** Log-probability of each child of each inner node, [R, K]. */
    readonly logProbs: tf.Tensor
    /** Log-probability of each child under the reference, [R, K]; for objectives that need it. */
    readonly reference: tf.Tensor
    /** 1 for the children of a node, 0 for padding, [R, K]. */
    readonly legal: tf.Tensor
    /** Number of candidates whose paths pass through the node, [R]. */
    readonly visits: tf.Tensor
  }
}

/** Log-probabilities that an objective reads in addition to those of the policy; others need not be computed. */
export interface Needs {
  readonly behaviour: boolean
  readonly reference: boolean
}

/** Loss and named diagnostic terms: scalars that are summed over the parts of a batch. */
export interface Evaluated {
  readonly loss: tf.Tensor
  readonly terms: Readonly<Record<string, tf.Tensor>>
}

/** Loss with its numeric settings. */
export interface GroupObjective {
  readonly name: string
  readonly needs: Needs
  /** Settings that are fed at every step, so that a change of value compiles nothing. */
  readonly scalars: Readonly<Record<string, number>>
  readonly loss: (groups: GroupTensors, scalars: Readonly<Record<string, tf.Tensor>>) => Evaluated
}

const withheld = (objective: string, what: keyof Needs): PropertyDescriptor => ({
  get: () => {
    throw new Error(`the objective "${objective}" reads the ${what} log-probabilities; list "${what}" in its needs`)
  }
})

/** Evaluates an objective; reading log-probabilities that its `needs` do not list throws. */
export const evaluate = (
  { loss, name, needs }: GroupObjective,
  groups: GroupTensors,
  scalars: Readonly<Record<string, tf.Tensor>>
): Evaluated =>
  loss(
    Object.create(groups, {
      ...(needs.behaviour ? {} : { behaviour: withheld(name, "behaviour") }),
      ...(needs.reference ? {} : {
        reference: withheld(name, "reference"),
        nodes: { value: Object.create(groups.nodes, { reference: withheld(name, "reference") }) }
      })
    }) as GroupTensors,
    scalars
  )

/** Objective with its weight in a sum. */
export interface WeightedObjective {
  readonly objective: GroupObjective
  readonly weight: number
}

/**
 * Returns the weighted sum of objectives; the weights are fed. The loss of each objective, before its weight, becomes a
 * term under its name; where several objectives report the same term, the first one's is kept.
 *
 * @example
 * ```ts
 * import * as Schema from "effect/Schema"
 * import * as assert from "node:assert/strict"
 * import * as AnswerLikelihood from "sidereal/objective/loss/AnswerLikelihood"
 * import * as GroupRelative from "sidereal/objective/loss/GroupRelative"
 * import * as Regularizer from "sidereal/objective/loss/Regularizer"
 * import * as Objective from "sidereal/objective/Objective"
 * import * as ObjectiveConfig from "sidereal/objective/ObjectiveConfig"
 *
 * const objective = Objective.sum([
 *   { objective: GroupRelative.make({ beta: 0 }), weight: 1 },
 *   { objective: AnswerLikelihood.make(), weight: 0.1 },
 *   { objective: Regularizer.divergence("exact"), weight: 0.02 }
 * ])
 * assert.deepEqual(objective.needs, { behaviour: true, reference: true })
 * for (const kind of ObjectiveConfig.kinds) {
 *   const config = Schema.decodeSync(ObjectiveConfig.ObjectiveConfig)({ kind })
 *   assert.match(ObjectiveConfig.make(config, 0.04).name, new RegExp(kind))
 * }
 * ```
 */
export const sum = (parts: ReadonlyArray<WeightedObjective>): GroupObjective => ({
  name: parts.map(({ objective }) => objective.name).join("+"),
  needs: {
    behaviour: parts.some(({ objective }) => objective.needs.behaviour),
    reference: parts.some(({ objective }) => objective.needs.reference)
  },
  scalars: Object.fromEntries(parts.flatMap(({ objective, weight }, i) => [
    [`${i}.weight`, weight],
    ...Object.entries(objective.scalars).map(([name, value]) => [`${i}.${name}`, value])
  ])),
  loss: (groups, scalars) => {
    const evaluated = parts.map(({ objective }, i) =>
      evaluate(
        objective,
        groups,
        Object.fromEntries(Object.keys(objective.scalars).map((name) => [name, scalars[`${i}.${name}`]!]))
      )
    )
    return {
      loss: evaluated.map(({ loss }, i) => loss.mul(scalars[`${i}.weight`]!)).reduce((a, b) => a.add(b), tf.scalar(0)),
      terms: Object.assign(
        {},
        ...evaluated.map(({ terms }) => terms).toReversed(),
        Object.fromEntries(parts.map(({ objective }, i) => [objective.name, evaluated[i]!.loss]))
      ) as Evaluated["terms"]
    }
  }
})

/** Returns the log-probability of each candidate, [C]: the sum over its steps. */
export const leafLogProbs = ({ logProbs, mask }: GroupTensors): tf.Tensor => logProbs.mul(mask).sum(1)

/** Arranges one number per candidate [C] by groups, [P, G]; padding is 0. */
export const byGroup = (values: tf.Tensor, { members: { candidates, mask } }: GroupTensors): tf.Tensor =>
  tf.gather(values, candidates.reshape([-1])).reshape(candidates.shape).mul(mask)

/** Returns the mean of values [C, L] over the steps of all candidates: one scalar, as the next two functions do. */
export const overSteps = (values: tf.Tensor, { mask, total }: GroupTensors): tf.Tensor =>
  values.mul(mask).sum().div(total.steps)

/** Averages values [C, L] or [C, 1] over the steps of each candidate, then over candidates. */
export const overCandidates = (values: tf.Tensor, { mask, total }: GroupTensors): tf.Tensor =>
  values.mul(mask).sum(1).div(mask.sum(1)).sum().div(total.candidates)

/** Returns the sum of values of any shape, divided by the number of groups. */
export const overGroups = (values: tf.Tensor, { total }: GroupTensors): tf.Tensor => values.sum().div(total.groups)
