/**
 * Group-relative advantages (Shao et al. 2024): `A = (r - mean) / (std + 1e-4)` with the sample deviation (n - 1), as in
 * TRL and MiniOneRec. A group whose rewards are all equal has advantage 0 everywhere.
 */

/** The advantages of one group of G rewards. */
export const normalise = (rewards: Float32Array): Float32Array => {
  const count = rewards.length
  if (count < 2) return new Float32Array(count)
  let sum = 0
  for (const reward of rewards) sum += reward
  const mean = sum / count
  let squares = 0
  for (const reward of rewards) squares += (reward - mean) ** 2
  const deviation = Math.sqrt(squares / (count - 1))
  return rewards.map((reward) => (reward - mean) / (deviation + 1e-4))
}

/** Whether a group carries no signal. */
export const isFlat = (advantages: Float32Array): boolean => advantages.every((advantage) => advantage === 0)
