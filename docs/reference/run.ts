/**
 * Runs programs one after the other in this process and prints a line of JSON for each that fails; their own output goes
 * to standard error. The paths come as arguments.
 */
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"

console.log = console.error
for (const path of process.argv.slice(2)) {
  try {
    await import(pathToFileURL(resolve(path)).href)
  } catch (error) {
    process.stdout.write(
      `${JSON.stringify({ path, error: error instanceof Error ? error.stack ?? error.message : String(error) })}\n`
    )
  }
}
