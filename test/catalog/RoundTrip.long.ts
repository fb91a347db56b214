import { delimited, json } from "./RoundTrip.ts"

for (const name of ["UTF-8", "UTF-8 with a mark", "UTF-16 LE", "UTF-16 BE", "latin-1"] as const) delimited(name)
for (const name of ["UTF-8 with a mark", "UTF-16 BE"] as const) json(name)
