/**
 * A Postgres of a test's own, in a temporary folder, where Postgres is installed.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, globSync } from "node:fs"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

/** The folder of its programs; undefined where it is not installed. */
export const programs: string | undefined = [
  ...(process.env["PATH"] ?? "").split(delimiter),
  ...globSync("/usr/lib/postgresql/*/bin").toSorted().toReversed()
].find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")))

/** Says why tests that need it are skipped. */
export const missing = "Postgres is not installed: actors over sockets are not tested"

/** Returns a port that nobody listens on. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const isRoot = process.getuid?.() === 0

/** Postgres refuses to be run by root, so root runs it as the user that its package made. */
const command = (program: string, args: ReadonlyArray<string>): [string, Array<string>] =>
  isRoot
    ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", join(programs!, program), ...args]]
    : [join(programs!, program), [...args]]

/** Ends a process and waits until it has ended. */
export const end = (child: ChildProcess, signal: NodeJS.Signals): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill(signal)
  })

/** A running database. */
export interface Postgres {
  readonly port: number
  readonly stop: () => Promise<void>
}

/** The address of a database behind a port. */
export const urlAt = (port: number): string => `postgres://postgres@127.0.0.1:${port}/postgres`

/** Starts a database that asks for no password and forgets everything when it is stopped. */
export const start = async (): Promise<Postgres> => {
  const folder = await mkdtemp(join(tmpdir(), "sidereal-postgres-"))
  await chmod(folder, 0o777)
  const data = join(folder, "data")
  const [initdb, initArgs] = command("initdb", [
    "-D",
    data,
    "-U",
    "postgres",
    "--auth=trust",
    "--no-sync",
    "-E",
    "UTF8"
  ])
  execFileSync(initdb, initArgs, { stdio: "pipe", cwd: folder })
  const port = await freePort()
  const settings = { listen_addresses: "127.0.0.1", port, unix_socket_directories: "", fsync: "off" }
  const [postgres, args] = command("postgres", [
    "-D",
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
  ])
  const child = spawn(postgres, args, { stdio: ["ignore", "ignore", "pipe"], cwd: folder })
  const stop = async () => {
    await end(child, "SIGQUIT")
    await rm(folder, { recursive: true, force: true })
  }
  let told = ""
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on("data", (chunk: Buffer) => {
      told += String(chunk)
      if (told.includes("ready to accept connections")) resolve()
    })
    child.once("exit", () => reject(new Error(`postgres ended: ${told}`)))
  }).catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return { port, stop }
}
