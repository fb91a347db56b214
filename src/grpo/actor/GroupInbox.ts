/**
 * Collection of the groups of one step as they arrive.
 */
import { type RolloutPrompt } from "../Prompts.ts"
import { type Rollout } from "../RolloutActor.ts"
import { type DrawnGroup, toRollout } from "./RolloutMessages.ts"

/**
 * Inbox that takes each group of a step exactly once and ignores groups that are repeated or that belong to another
 * step or version of the weights; its rollouts are in the order of the prompts.
 */
export class GroupInbox {
  /** Number of groups that were ignored: repeated ones, and those of another step or version. */
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

  /** Takes the groups of this step and version, and counts the others in `ignored`. */
  take(groups: Iterable<DrawnGroup>): void {
    for (const group of groups) {
      const prompt = this.wanted.get(group.ordinal)
      const isOurs = prompt !== undefined && group.step === this.step && group.version === this.version
      if (isOurs && !this.taken.has(group.ordinal)) this.taken.set(group.ordinal, toRollout(prompt, group))
      else this.ignored++
    }
  }

  /** Prompts whose group has not arrived. */
  get missing(): ReadonlyArray<RolloutPrompt> {
    return this.prompts.filter(({ ordinal }) => !this.taken.has(ordinal))
  }

  /** Rollouts in the order of the prompts; to be read only when `missing` is empty. */
  get rollouts(): ReadonlyArray<Rollout> {
    return this.prompts.map(({ ordinal }) => this.taken.get(ordinal)!)
  }
}
