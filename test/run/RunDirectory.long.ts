import { savedAtEach } from "./Checkpoints.ts"

for (const fault of ["kill", "fail"] as const) savedAtEach(fault)
