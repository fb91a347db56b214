import { candidates, supervised } from "./FamilyGradients.ts"

candidates(() => true)
supervised(() => true)
