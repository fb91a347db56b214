import { backends } from "../tensor/Backends.ts"
import { agrees } from "./Devices.ts"

// The oracle takes half a second a step.
for (const backend of backends.slice(1)) agrees(backend, backend[0] === "reference" ? 5 : 20)
