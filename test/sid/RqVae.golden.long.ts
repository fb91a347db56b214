import { agrees } from "./RqVaeModule.ts"

agrees((_, backend) => backend > 0)
