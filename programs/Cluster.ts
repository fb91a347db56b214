/**
 * Addresses and names by which the processes of one run find each other.
 */
import * as Effect from "effect/Effect"
import { connect, createServer } from "node:net"
import type { Address } from "../layers/cluster/Sockets.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { artefacts } from "./RunSettings.ts"
import { SettingsError } from "./SettingsError.ts"
import { Workspace } from "./Workspace.ts"

/** Options of the command line for a cluster. */
export interface Meeting {
  /** Address of the database, `postgres://user:password@host:port/database`. */
  readonly url: string
  /**
   * Host, or host and port, at which others reach this process. @default this machine's address in the network of the
   * database, and a free port
   */
  readonly address?: string | undefined
}

/** Database of a cluster, and address of this process. */
export interface Place {
  /** Address of the database. */
  readonly url: string
  /** Address at which others reach this process. */
  readonly address: Address
}

const refuse = (problem: string) => new SettingsError({ source: "the command line", problems: [problem] })

const databaseOf = (url: string): Effect.Effect<Address, SettingsError> => {
  const parsed = URL.parse(url)
  return parsed !== null && /^postgres(?:ql)?:$/.test(parsed.protocol) && parsed.hostname !== ""
    ? Effect.succeed({ host: parsed.hostname.replace(/^\[|\]$/g, ""), port: Number(parsed.port || 5432) })
    : Effect.fail(refuse(`cluster: Expected postgres://user:password@host:port/database, got ${JSON.stringify(url)}`))
}

/**
 * Returns the address of this machine in the network of the database; fails if nothing listens at the database's
 * address.
 */
const hostTowards = ({ host, port }: Address): Effect.Effect<string, SettingsError> =>
  Effect.callback((resume) => {
    const socket = connect({ host, port, timeout: 5000 })
    const fail = (detail: string) => {
      socket.destroy()
      resume(Effect.fail(refuse(`cluster: nothing answers at ${host}:${port} (${detail}); start Postgres there`)))
    }
    socket.once("connect", () => {
      const own = socket.localAddress ?? "127.0.0.1"
      socket.destroy()
      resume(Effect.succeed(own.replace(/^::ffff:/, "")))
    })
    socket.once("error", ({ message }) => fail(message))
    socket.once("timeout", () => fail("no connection after 5 seconds"))
    return Effect.sync(() => socket.destroy())
  })

const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = createServer()
  server.listen(0, () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

/** Resolves and checks the addresses of a process before anything is loaded. */
export const meet = Effect.fn("Cluster.meet")(function*(
  { address, url }: Meeting
): Effect.fn.Return<Place, SettingsError> {
  const found = yield* hostTowards(yield* databaseOf(url))
  if (address === undefined) return { url, address: { host: found, port: yield* freePort } }
  const match = /^\[?([^\]]+?)\]?(?::(\d+))?$/.exec(address)
  const port = Number(match?.[2] ?? 0)
  if (match === null || port > 65_535) {
    return yield* refuse(`address: Expected HOST or HOST:PORT, got ${JSON.stringify(address)}`)
  }
  return { url, address: { host: match[1]!, port: port === 0 ? yield* freePort : port } }
})

/**
 * Returns the cluster name of a run: a hash of its data, its SIDs and the settings on which its rollouts depend, so
 * that workers of other runs or settings receive no messages.
 */
export const nameOf = ({ hashes, settings }: Manifest.Manifest): string => {
  const { evaluation, grpo, policy, seed } = settings
  const parts = [hashes[artefacts.dataset], hashes[artefacts.sids], evaluation, grpo, policy, seed]
  return Manifest.hash([JSON.stringify(parts)]).slice(0, 12)
}

/** Cluster name of the run of the context by its current manifest. */
export const name = Effect.flatMap(Workspace, ({ manifest }) => Effect.map(manifest, nameOf))
