import { killed } from "./FamilyCrash.ts"

for (const family of ["item", "parallel", "text"]) killed(family)
