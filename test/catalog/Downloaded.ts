/**
 * Data sets as they were downloaded, where they are here.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { events } from "../../src/catalog/Dataset.ts"
import * as Import from "../../src/catalog/Import.ts"
import { data } from "../Golden.ts"
import { services } from "./Importing.ts"

/** A folder is imported with the counts that its README tells. */
export const counted = (name: string, users: number, items: number, total: number): void =>
  it.effect.skipIf(!existsSync(join(data, name)))(
    `Import.load of the folders under data finds the counts of its README: ${name}`,
    () =>
      Effect.gen(function*() {
        const dataset = yield* Import.load(join(data, name))
        assert.deepStrictEqual([dataset.sequences.length, dataset.items.length, events(dataset)], [users, items, total])
        assert.isAbove(dataset.items.filter((item) => item.title !== item.key).length, items * 0.99)
      }).pipe(Effect.provide(services))
  )
