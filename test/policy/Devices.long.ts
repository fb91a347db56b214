import { backends } from "../tensor/Backends.ts"
import { agrees } from "./Devices.ts"

agrees(backends.find(([name]) => name === "reference")!)
