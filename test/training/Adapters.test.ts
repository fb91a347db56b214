import { killed } from "./Adapters.ts"

killed("sft")
