/**
 * Random traces, and the page's script run on a document of strings.
 */
import { runInNewContext } from "node:vm"
import type * as GroupTrace from "../../src/grpo/monitoring/GroupTrace.ts"
import * as Random from "../../src/statistics/Random.ts"

/** Rewards of groups [groups][rewards][G]: 32-bit numbers of different scales; some do not apply, some are all equal. */
export const parts = (sizes: ReadonlyArray<number>, rewards: number, seed: number) => {
  const next = Random.uniform(seed, 0x7ace)
  return sizes.map((size) =>
    Array.from({ length: rewards }, (_, r) => {
      const kind = next()
      const value = () => Math.fround((next() - 0.4) * 10 ** (r % 3 - 1))
      const same = value()
      return kind < 0.15 ? null : Array.from({ length: size }, () => kind < 0.3 ? same : value())
    })
  )
}

/** A trace of groups with given rewards; the other numbers are drawn, titles are what `title` says. */
export const trace = (
  groups: ReadonlyArray<ReadonlyArray<ReadonlyArray<number> | null>>,
  law: Pick<GroupTrace.GroupTrace, "rewards" | "normalise" | "mode" | "temperature">,
  title: (g: number, c: number) => string = (g, c) => `item ${g}.${c}`
): GroupTrace.GroupTrace => {
  const next = Random.uniform(7, groups.length)
  return {
    step: 40,
    objective: law.temperature === null ? "grpo" : "distillation",
    softening: 1,
    ...law,
    groups: groups.map((parts, g) => {
      const size = parts.find((part) => part !== null)?.length ?? 3
      return {
        user: title(g, -1),
        history: [title(g, -2)],
        truth: g % 3 === 2 ? null : title(g, 0),
        nodes: [
          { token: "<a_0>", parent: -1, before: -0.5, after: -0.4 },
          ...Array.from({ length: size }, (_, c) => ({ token: `<b_${c}>`, parent: 0, before: -1, after: -2 - c }))
        ],
        candidates: Array.from({ length: size }, (_, c) => ({
          node: 1 + c,
          title: title(g, c),
          hit: g % 3 === 0 && c === 0,
          before: -1 - next(),
          after: -2 - c,
          reference: -4 * next(),
          policy: -4 * next(),
          klBefore: -1e-9,
          klAfter: next(),
          total: 0,
          advantage: 0
        })),
        parts
      }
    })
  }
}

interface Control {
  value: string
  textContent: string
  readonly listeners: Record<string, () => void>
}

const unescape = (text: string) =>
  text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", "\"").replaceAll("&#39;", "'").replaceAll(
    "&amp;",
    "&"
  )

/** Runs the scripts of a page as a browser does; returns its elements with an id. */
export const open = (page: string) => {
  const elements = new Map<string, Control>()
  for (const [, attributes, content] of page.matchAll(/<(?:td|input|button|script)((?: [^>]*)?)>([^<]*)/g)) {
    const id = /id="([^"]*)"/.exec(attributes!)?.[1]
    if (id === undefined) continue
    const value = unescape(/value="([^"]*)"/.exec(attributes!)?.[1] ?? "")
    elements.set(id, { value, textContent: unescape(content!), listeners: {} })
  }
  for (const [, source] of page.matchAll(/<script>([\s\S]*?)<\/script>/g)) {
    runInNewContext(source!, {
      document: {
        getElementById: (id: string) => {
          const element = elements.get(id)
          return element === undefined ? null : Object.assign(element, {
            addEventListener: (kind: string, listener: () => void) => (element.listeners[kind] = listener)
          })
        }
      }
    })
  }
  return elements
}
