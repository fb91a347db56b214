import { describe } from "@effect/vitest"
import { resident } from "../tensor/Backends.ts"
import { learnsWithAdapters } from "./Lora.ts"

describe("a flat policy with adapters", () => learnsWithAdapters(resident))
