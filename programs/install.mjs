/**
 * Runs before `npm start` and `npm test`, on whatever Node the machine has: installs the packages when `node_modules` is
 * absent or older than the lock file, and checks that the pinned Node is the one the scripts will find.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync, utimesSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const lock = join(root, "package-lock.json")
const stamp = join(root, "node_modules", ".package-lock.json")
const nodeBinary = join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node")

const modified = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0)

if (modified(stamp) === 0 || modified(stamp) < modified(lock)) {
  process.stderr.write("Installing packages (once; about a minute) ...\n")
  // Not `npm ci`: it refuses a lock file that lacks optional packages of other platforms, as one made behind a mirror does.
  const npm = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32"
  })
  if (npm.status !== 0) {
    process.stderr.write("npm install failed; its messages stand above.\n")
    process.exit(1)
  }
  utimesSync(stamp, new Date(), new Date())
}

const pinned = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies.node
if (!existsSync(nodeBinary)) {
  process.stderr.write(
    `Node ${pinned} was not installed: the package "node" needs its install script. ` +
      `Run "npm config get ignore-scripts"; if it prints true, run "npm install --no-save --ignore-scripts=false".\n`
  )
  process.exit(1)
}
