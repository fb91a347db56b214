/**
 * A reward of one's own: the nearer a candidate is to what came next, the more it earns.
 */
import type * as Layer from "effect/Layer"
import { Reward } from "sidereal/reward/Reward"
import { items as count } from "./Catalogue.ts"

/** Provides the reward, -1 .. 0. */
export const layer: Layer.Layer<Reward> = Reward.layer(
  "nearness",
  ({ items, target }) => Array.from(items, (item) => -Math.abs(item - target) / count)
)
