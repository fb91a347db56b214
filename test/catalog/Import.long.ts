import { counted } from "./Downloaded.ts"

counted("online-retail", 4078, 3149, 265075)
