import { atEvery } from "./Crash.ts"

atEvery("kill")
