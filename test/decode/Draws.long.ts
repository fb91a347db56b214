import { cases, draws, sets, sums } from "./Draws.ts"

const others = cases.slice(4)
draws(others)
sets(others)
sums(others)
