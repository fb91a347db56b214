import { atEvery } from "./Crash.ts"

for (const fault of ["fail", "kill"] as const) atEvery(fault)
