import { describe } from "@effect/vitest"
import { backends, resident } from "../tensor/Backends.ts"
import { goesOn } from "./Resume.ts"

describe("every optimizer of src/optimizer", () => {
  for (const backend of [...backends.slice(1), resident]) goesOn(backend)
})
