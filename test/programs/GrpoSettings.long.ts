import { describe } from "@effect/vitest"
import { cases, trained } from "./GrpoCases.ts"

describe("GRPO by its settings", () => trained(Object.keys(cases)))
