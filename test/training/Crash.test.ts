import { atEvery } from "./Crash.ts"

// Every operation has its turn in the long suite.
atEvery("kill", 29)
