/**
 * `npm run docs`: writes the reference of every public export to `docs/api`, or to the folder that is given.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import packageJson from "../../package.json" with { type: "json" }
import * as Pages from "./Pages.ts"
import * as PublicExports from "./PublicExports.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const own = join(root, "docs/api")
const folder = process.argv[2] === undefined ? own : resolve(process.argv[2])
const pages = Pages.render(
  PublicExports.read(root),
  packageJson.version,
  (file) => readFileSync(join(root, file), "utf8")
)
if (folder === own) rmSync(own, { recursive: true, force: true })
for (const { path, text } of pages) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}
process.stdout.write(`${pages.length} pages: ${join(folder, "index.html")}\n`)
