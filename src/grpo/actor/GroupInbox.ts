/**
 * The groups of one step as they arrive.
 */
import { type RolloutPrompt } from "../Prompts.ts"
import { type Rollout } from "../RolloutActor.ts"
import { type DrawnGroup, toRollout } from "./RolloutMessages.ts"

/**
 * Takes each group of a step exactly once, whatever is delivered twice, late, or by an actor that works for another step
 * or with other weights; the rollouts stand in the order of the prompts, whatever the order of the answers.
 */
export class GroupInbox {
  /** Groups that were not taken, because they had been, or are none of this step and version. */
  ignored = 0
  private readonly taken = new Map<number, Rollout>()
  private readonly wanted: ReadonlyMap<number, RolloutPrompt>
  private readonly prompts: ReadonlyArray<RolloutPrompt>
  private readonly step: number
  private readonly version: number

  constructor(prompts: ReadonlyArray<RolloutPrompt>, step: number, version: number) {
    this.prompts = prompts
    this.step = step
    this.version = version
    this.wanted = new Map(prompts.map((prompt) => [prompt.ordinal, prompt]))
  }

  take(groups: Iterable<DrawnGroup>): void {
    for (const group of groups) {
      const prompt = this.wanted.get(group.ordinal)
      const isOurs = prompt !== undefined && group.step === this.step && group.version === this.version
      if (isOurs && !this.taken.has(group.ordinal)) this.taken.set(group.ordinal, toRollout(prompt, group))
      else this.ignored++
    }
  }

  /** Prompts without a group. */
  get missing(): ReadonlyArray<RolloutPrompt> {
    return this.prompts.filter(({ ordinal }) => !this.taken.has(ordinal))
  }

  /** The rollouts in the order of the prompts; every prompt has its group. */
  get rollouts(): ReadonlyArray<Rollout> {
    return this.prompts.map(({ ordinal }) => this.taken.get(ordinal)!)
  }
}
