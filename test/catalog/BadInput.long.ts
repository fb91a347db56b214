import { describe } from "@effect/vitest"
import { leftOut } from "./BadRows.ts"

describe("rows that are no events", () => leftOut("e.csv.gz"))
