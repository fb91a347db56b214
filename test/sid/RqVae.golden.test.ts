import { assert, describe, it } from "@effect/vitest"
import * as Sinkhorn from "../../src/sid/clustering/Sinkhorn.ts"
import { distance, json, tensors } from "../Golden.ts"
import { agrees, folder, kindOf, numbers } from "./RqVaeModule.ts"

// Every case has its turn on every backend in the long suite.
agrees((number, backend) => backend === 0 || number % 4 === backend % 4)

describe("Sinkhorn against MiniOneRec's", () => {
  const kind = kindOf("-sinkhorn")
  const cases = kind === "" ? {} : json(folder, kind, "cases.json") as Record<string, Record<string, unknown>>
  if (kind === "") it.skipIf(true)("no Sinkhorn case is here", () => {})
  for (const [name, expected] of Object.entries(cases)) {
    it(name, () => {
      const all = tensors(folder, kind, `${name}.safetensors`)
      const distances = all.get("distances")!
      const [rows, width] = [distances.shape[0]!, distances.shape[1]!]
      const centred = Sinkhorn.centre({ rows, width, data: Float32Array.from(distances.data as Float32Array) })
      const given = all.get("centred") ?? all.get("centred_float64")!
      assert.isBelow(distance(centred.data, numbers(given)), 1e-6)
      const epsilon = Number(expected["epsilon"])
      const plan = Sinkhorn.plan(
        { rows, width, data: Float32Array.from(given.data as Float32Array) },
        epsilon,
        Number(expected["iterations"])
      )
      const q = all.get("Q")
      if (expected["finite"] === true && q !== undefined) {
        assert.isBelow(distance(plan, numbers(q)), 1e-8)
        const acceptable = expected["acceptable_codes"] as ReadonlyArray<ReadonlyArray<number>> | null
        const codes = Sinkhorn.codesOf(plan, rows, width)
        if (acceptable !== null) {
          for (const [r, code] of codes.entries()) assert.include(acceptable[r]!, code, `row ${r}`)
        }
      }
    })
  }
})
