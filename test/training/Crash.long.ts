import { atEvery } from "./Crash.ts"

atEvery("fail")
