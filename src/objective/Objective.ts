/**
 * Objectives: losses over groups of candidates, as pure tensor functions.
 *
 * C candidates of all groups, L steps of the longest one (its codes, and its end where another SID goes on), P groups (one
 * per prompt), G candidates of the largest one, R inner nodes of all trees, K children of the widest one.
 *
 * A policy may compute a batch in parts and adds what the parts return. A loss and its terms are therefore sums over the
 * part, divided by counts of the whole batch (`total`): `overSteps`, `overCandidates` and `overGroups` do that, and a
 * plain `mean()` does not.
 */
import * as tf from "@tensorflow/tfjs"

/** What a loss sees; entries that a mask leaves out are 0. */
export interface GroupTensors {
  /** Log-probability of each step, [C, L]; gradients flow through it and through `nodes.logProbs`. */
  readonly logProbs: tf.Tensor
  /** The same when the candidates were drawn [C, L]; only for objectives that need it. */
  readonly behaviour: tf.Tensor
  /** The same under the reference [C, L]; only for objectives that need it. */
  readonly reference: tf.Tensor
  /** 1 for the steps of a candidate, 0 for padding, [C, L]. */
  readonly mask: tf.Tensor
  /** Row of the node that each step leaves, in `nodes` [C, L], int32. */
  readonly node: tf.Tensor
  /** [C]. */
  readonly advantages: tf.Tensor
  /** 1 for the candidate that is the answer to its prompt, 0 for others [C]. */
  readonly answer: tf.Tensor
  readonly members: {
    /** Rows of the candidates of each group in their order [P, G], int32. */
    readonly candidates: tf.Tensor
    /** 1 for the candidates of a group, 0 after them [P, G]. */
    readonly mask: tf.Tensor
  }
  /** Counts of the whole batch, of which these tensors may be a part; scalars. */
  readonly total: { readonly candidates: tf.Tensor; readonly steps: tf.Tensor; readonly groups: tf.Tensor }
  readonly nodes: {
    /** Log-probability of each child of each inner node, [R, K]. */
    readonly logProbs: tf.Tensor
    /** [R, K]; only for objectives that need the reference. */
    readonly reference: tf.Tensor
    /** 1 for the children of a node, 0 for padding, [R, K]. */
    readonly legal: tf.Tensor
    /** Number of candidates whose paths pass through the node, [R]. */
    readonly visits: tf.Tensor
  }
}

/** Log-probabilities that an objective reads beside those of the policy; the others need not be computed. */
export interface Needs {
  readonly behaviour: boolean
  readonly reference: boolean
}

/** A loss and numbers that say more about it: scalars that add up over the parts of a batch. */
export interface Evaluated {
  readonly loss: tf.Tensor
  readonly terms: Readonly<Record<string, tf.Tensor>>
}

/** A loss with the numbers that it is fed with. */
export interface GroupObjective {
  readonly name: string
  readonly needs: Needs
  /** Fed with every step: changing one compiles nothing. */
  readonly scalars: Readonly<Record<string, number>>
  readonly loss: (groups: GroupTensors, scalars: Readonly<Record<string, tf.Tensor>>) => Evaluated
}

const withheld = (objective: string, what: keyof Needs): PropertyDescriptor => ({
  get: () => {
    throw new Error(`the objective "${objective}" reads the ${what} log-probabilities; list "${what}" in its needs`)
  }
})

/** Evaluates an objective on tensors of which it can read only what it needs; others throw. */
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

/** An objective and its weight in a sum. */
export interface WeightedObjective {
  readonly objective: GroupObjective
  readonly weight: number
}

/**
 * Adds objectives, each by its weight, which is fed. The loss of each is a term under its name; of other terms that
 * several report, the first objective's is kept.
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

/** Log-probability of each candidate [C]: the sum of its steps. */
export const leafLogProbs = ({ logProbs, mask }: GroupTensors): tf.Tensor => logProbs.mul(mask).sum(1)

/** Lays out one number per candidate by groups [P, G]; 0 after a group's last candidate. */
export const byGroup = (values: tf.Tensor, { members: { candidates, mask } }: GroupTensors): tf.Tensor =>
  tf.gather(values, candidates.reshape([-1])).reshape(candidates.shape).mul(mask)

/** Log of the softmax of scores [P, G] over each group; very negative after a group's last candidate. */
export const logSoftmaxOfGroups = (scores: tf.Tensor, { members: { mask } }: GroupTensors): tf.Tensor =>
  tf.logSoftmax(scores.add(mask.sub(1).mul(1e9)))

/** Mean over the steps of all candidates of values [C, L]. */
export const overSteps = (values: tf.Tensor, { mask, total }: GroupTensors): tf.Tensor =>
  values.mul(mask).sum().div(total.steps)

/** Mean over candidates of the mean over each one's steps, of values [C, L] or [C, 1]. */
export const overCandidates = (values: tf.Tensor, { mask, total }: GroupTensors): tf.Tensor =>
  values.mul(mask).sum(1).div(mask.sum(1)).sum().div(total.candidates)

/** Sum of values of any shape over the number of groups. */
export const overGroups = (values: tf.Tensor, { total }: GroupTensors): tf.Tensor => values.sum().div(total.groups)
