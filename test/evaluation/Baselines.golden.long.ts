import { counted } from "./Baselines.ts"

counted((file) => file.includes("beauty"))
