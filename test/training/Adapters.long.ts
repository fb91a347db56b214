import { killed } from "./Adapters.ts"

killed("grpo")
