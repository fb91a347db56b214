import { describe } from "@effect/vitest"
import { allThatIsTouched, keptApart } from "./RunFolders.ts"

describe("a run and what is not its own", () => {
  keptApart(() => true)
  allThatIsTouched(["mine", "shop/inner", "elsewhere"])
})
