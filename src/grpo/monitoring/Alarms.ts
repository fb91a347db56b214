/**
 * Alarms during GRPO: signs that the policy gets worse although its reward rises, or that nothing is learned.
 */
import { type RunEvent } from "../../run/RunLog.ts"
import { type Validation } from "./Validation.ts"

/** Names of the alarms. */
export const names = ["reward-hacking", "concentration", "breadth", "cold-items", "no-variance"] as const

/** Alarm of a step; its message names the observation and the remedy. */
export interface Alarm {
  readonly name: (typeof names)[number]
  readonly step: number
  readonly message: string
}

/** Share of usable groups below which `no-variance` is raised. */
const leastUsable = 0.05
/** Share of users with the same first recommendation above which `concentration` may be raised. */
const mostTop = 0.1
/** Factor by which this share must exceed that of the start. */
const topGrowth = 2

const percent = (share: number) => `${(100 * share).toFixed(1)} %`
const signed = (value: number) => `${value < 0 ? "" : "+"}${value.toFixed(4)}`

const mean = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length)

const fields = (steps: ReadonlyArray<RunEvent>, name: string) => steps.map(({ fields }) => Number(fields[name]))

/**
 * Returns the alarms of a validation, from the events of the steps since training began, in order, and the validation
 * at its start. Intervals are paired 95 % intervals of the difference from the start.
 *
 * - `reward-hacking`: the mean reward of the later half of the steps is above that of the earlier half, and the
 *   interval of NDCG@10 is below 0.
 * - `concentration`: one item is the first recommendation of more than 10 % of the users, and of more than twice as
 *   many as at the start.
 * - `breadth`: the interval of the share of users whose target is anywhere in their list is below 0.
 * - `cold-items`: the interval of HR@10 on the quarter of the users with the least popular targets is below 0.
 * - `no-variance`: in the later half of the steps fewer than 5 % of the groups are usable.
 */
export const of = (
  step: number,
  steps: ReadonlyArray<RunEvent>,
  validation: Validation,
  start: Validation
): ReadonlyArray<Alarm> => {
  const later = steps.slice(Math.floor(steps.length / 2))
  const earlier = steps.slice(0, Math.floor(steps.length / 2))
  const [before, after] = [mean(fields(earlier, "reward")), mean(fields(later, "reward"))]
  const usable = mean(fields(later, "usableGroupShare"))
  const alarm = (name: Alarm["name"], message: string): Alarm => ({ name, step, message })
  return [
    ...(earlier.length > 0 && after > before && validation.interval[1] < 0
      ? [alarm(
        "reward-hacking",
        `the mean reward rose from ${before.toFixed(4)} to ${after.toFixed(4)} while NDCG@10 in validation fell by ` +
          `${signed(validation.difference)}; the reward does not measure the quality of recommendations: change it, ` +
          "raise beta or lower the learning rate"
      )]
      : []),
    ...(validation.topShare > mostTop && validation.topShare > topGrowth * start.topShare
      ? [alarm(
        "concentration",
        `${percent(validation.topShare)} of the users get the same first recommendation (${
          percent(start.topShare)
        } at ` +
          "the start); add a popularity or diversity reward, or raise beta"
      )]
      : []),
    ...(validation.breadthInterval[1] < 0
      ? [alarm(
        "breadth",
        `the share of users whose target is anywhere in their list fell by ${signed(validation.breadthDifference)}; ` +
          "raise beta or objective.softening, or set objective.rest to held"
      )]
      : []),
    ...(validation.coldInterval[1] < 0
      ? [alarm(
        "cold-items",
        `HR@10 on the coldest quarter of the targets fell by ${signed(validation.coldDifference)}; add a popularity ` +
          "reward, or raise beta"
      )]
      : []),
    ...(later.length > 0 && usable < leastUsable
      ? [alarm(
        "no-variance",
        `only ${
          percent(usable)
        } of the groups have rewards that differ; add the answer or a teacher's candidates to the ` +
          "groups, or a reward that distinguishes candidates"
      )]
      : [])
  ]
}

/** Returns the event of an alarm for the log of a run. */
export const event = ({ message, name, step }: Alarm): RunEvent => ({
  kind: "grpo.alarm",
  step,
  fields: { name, message }
})
