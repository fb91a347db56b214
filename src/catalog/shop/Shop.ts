/**
 * Generated shop: a data set from a known distribution, so that the best possible score is known too.
 *
 * Each event of a user is drawn from an explicit distribution over the items not bought yet: a mixture of items that
 * complement the last two items (by shelf, brand and series), the user's current taste (a few shelves that drift, and
 * favourite brands), popularity and a uniform part. The data set is a function of the settings and the seed.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Random from "../../statistics/Random.ts"
import { type Dataset, type Item } from "../Dataset.ts"
import { brands, departments, sentences, type Shelf } from "./ShopWords.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Share = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1))

/** Settings of the shop. The shares of the mixture are normalised to sum to 1. */
export class ShopConfig extends Schema.Class<ShopConfig>("sidereal/catalog/ShopConfig")({
  /** Number of users. @default 2000 */
  users: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2000))),
  /** Number of items, at least 2. @default 1200 */
  items: Schema.Int.check(Schema.isGreaterThan(1)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1200))),
  /** Mean number of events per user beyond the minimum of five. @default 10 */
  meanExtraEvents: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(10))),
  /** Share of events that complement the last item. @default 0.42 */
  complement: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.42))),
  /** Share of events that complement the second-last item. @default 0.08 */
  earlierComplement: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.08))),
  /** Share of events from the user's current taste. @default 0.38 */
  taste: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.38))),
  /** Share of events drawn by popularity. @default 0.08 */
  popularity: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.08))),
  /** Share of events drawn uniformly. @default 0.04 */
  chance: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.04))),
  /** Probability per event that one of a user's shelves changes. @default 0.12 */
  drift: Share.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.12)))
}) {}

interface Good {
  readonly shelf: number
  readonly brand: number
  readonly series: number
  readonly popularity: number
}

/** State of a user at one event: current shelves and brands. */
interface State {
  readonly shelves: readonly [number, number]
  readonly brands: readonly [number, number]
}

interface Law {
  readonly goods: ReadonlyArray<Good>
  readonly byShelf: ReadonlyArray<Int32Array>
  readonly leadsTo: ReadonlyArray<ReadonlyArray<number>>
  readonly config: ShopConfig
}

const shelves: ReadonlyArray<Shelf & { readonly department: number }> = departments.flatMap((department, d) =>
  department.shelves.map((shelf) => ({ ...shelf, department: d }))
)
const shelfNumber = new Map(shelves.map((shelf, i) => [shelf.name, i]))

const brandsOf = (department: number): ReadonlyArray<number> =>
  Array.from({ length: 6 }, (_, i) => (department * 5 + i * 7) % brands.length)

/** Returns the distribution of the next item: N probabilities that sum to 1, 0 for items of the history. */
const nextLaw = (law: Law, state: State, history: Int32Array): Float64Array => {
  const { byShelf, config, goods, leadsTo } = law
  const out = new Float64Array(goods.length)
  const seen = new Set(history)
  const part = new Float64Array(goods.length)
  const add = (share: number) => {
    let sum = 0
    for (let i = 0; i < part.length; i++) {
      if (seen.has(i)) part[i] = 0
      sum += part[i]!
    }
    if (sum > 0) { for (let i = 0; i < part.length; i++) out[i] = out[i]! + share * part[i]! / sum }
    part.fill(0)
  }
  const complement = (item: number | undefined, share: number) => {
    if (item === undefined) return
    const from = goods[item]!
    for (const [rank, shelf] of leadsTo[from.shelf]!.entries()) {
      for (const i of byShelf[shelf]!) {
        const good = goods[i]!
        const kinship = good.brand !== from.brand ? 1 : good.series === from.series ? 30 : 10
        part[i] = part[i]! + (rank === 0 ? 3 : 1) * kinship * good.popularity
      }
    }
    add(share)
  }
  complement(history[history.length - 1], config.complement)
  complement(history[history.length - 2], config.earlierComplement)
  for (const shelf of state.shelves) {
    for (const i of byShelf[shelf]!) {
      part[i] = goods[i]!.popularity * (state.brands.includes(goods[i]!.brand) ? 6 : 1)
    }
  }
  add(config.taste)
  for (let i = 0; i < part.length; i++) part[i] = goods[i]!.popularity
  add(config.popularity)
  part.fill(1)
  add(config.chance)
  const total = out.reduce((a, b) => a + b, 0)
  for (let i = 0; i < out.length; i++) out[i] = out[i]! / total
  return out
}

const draw = (distribution: Float64Array, next: () => number): number => {
  let threshold = next()
  for (let i = 0; i < distribution.length; i++) {
    threshold -= distribution[i]!
    if (threshold < 0) return i
  }
  return distribution.findLastIndex((probability) => probability > 0)
}

const pick = <A>(list: ReadonlyArray<A>, next: () => number): A => list[Math.floor(next() * list.length)]!

const stock = (config: ShopConfig, seed: number): { readonly law: Law; readonly items: ReadonlyArray<Item> } => {
  const next = Random.uniform(seed, 0x5409)
  const order = Random.permutation(config.items, seed, 0x2196)
  const goods: Array<Good> = []
  const items: Array<Item> = []
  const titles = new Set<string>()
  for (let i = 0; i < config.items; i++) {
    const at = i % shelves.length
    const shelf = shelves[at]!
    const brand = pick(brandsOf(shelf.department), next)
    const series = Math.floor(next() * 2)
    goods.push({ shelf: at, brand, series, popularity: (order[i]! + 8) ** -0.7 })
    const department = departments[shelf.department]!
    const { name, series: names } = brands[brand]!
    let title = ""
    let trait = ""
    let noun = ""
    for (let attempt = 0; attempt < 20 && (title === "" || titles.has(title)); attempt++) {
      noun = pick(shelf.nouns, next)
      trait = pick(shelf.traits, next)
      const second = pick(shelf.traits, next)
      title = `${name} ${names[series]} ${noun}, ${trait}${second === trait ? "" : `, ${second}`}`
    }
    if (titles.has(title)) title = `${title}, no. ${i + 1}`
    titles.add(title)
    const words: Record<string, string> = {
      noun,
      trait,
      brand: name,
      series: names[series]!,
      shelf: shelf.name.toLowerCase(),
      department: department.name.toLowerCase(),
      next: shelf.leadsTo[0]!.toLowerCase()
    }
    const description = [sentences[0]!, pick(sentences.slice(1), next), pick(sentences.slice(1), next)]
      .map((sentence) => sentence.replaceAll(/\{(\w+)\}/g, (_, word: string) => words[word]!))
      .join(" ")
    items.push({ key: `item-${i + 1}`, title, description, brand: name, categories: [department.name, shelf.name] })
  }
  const byShelf = shelves.map((_, shelf) =>
    Int32Array.from(goods.flatMap((good, i) => (good.shelf === shelf ? [i] : [])))
  )
  const leadsTo = shelves.map((shelf) => shelf.leadsTo.flatMap((name) => shelfNumber.get(name) ?? []))
  return { law: { goods, byShelf, leadsTo, config }, items }
}

/** Generates the shop of a seed; `progress` is called with the number of users generated so far. */
export const generate = (config: ShopConfig, seed: number, progress?: (users: number) => void): Dataset => {
  const { items, law } = stock(config, seed)
  const states: Array<ReadonlyArray<State>> = []
  const sequences = Array.from({ length: config.users }, (_, user) => {
    const next = Random.uniform(seed, 0x0be7, user)
    const favourites = [pick(departments, next), pick(departments, next), pick(departments, next)]
    const shelfOf = () => shelfNumber.get(pick(pick(favourites, next).shelves, next).name)!
    const loyal: [number, number] = [Math.floor(next() * brands.length), Math.floor(next() * brands.length)]
    const length = Math.min(
      60,
      Math.floor(config.items / 2),
      5 + Math.floor(-Math.log(1 - next()) * config.meanExtraEvents)
    )
    let mind: [number, number] = [shelfOf(), shelfOf()]
    const path: Array<State> = []
    const bought: Array<number> = []
    for (let event = 0; event < length; event++) {
      if (next() < config.drift) mind = next() < 0.5 ? [shelfOf(), mind[1]] : [mind[0], shelfOf()]
      const state: State = { shelves: mind, brands: loyal }
      path.push(state)
      bought.push(draw(nextLaw(law, state, Int32Array.from(bought)), next))
    }
    states.push(path)
    progress?.(user + 1)
    return Int32Array.from(bought)
  })
  const total = sequences.reduce((sum, bought) => sum + bought.length, 0)
  return {
    name: "generated-shop",
    items,
    userKeys: sequences.map((_, user) => `user-${user + 1}`),
    sequences,
    counts: [
      { step: "users generated", count: config.users },
      { step: "items generated", count: config.items },
      { step: "events generated", count: total }
    ],
    oracle: { scores: (user, history) => nextLaw(law, states[user]![history.length]!, history) }
  }
}
