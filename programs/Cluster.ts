/**
 * A run that several processes work on: how they find each other.
 */
import * as Effect from "effect/Effect"
import { connect, createServer } from "node:net"
import type { Address } from "../layers/cluster/Sockets.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { artefacts } from "./RunSettings.ts"
import { SettingsError } from "./Settings.ts"
import { Workspace } from "./Workspace.ts"

/** Where a process meets the others. */
export interface Meeting {
  /** The database, `postgres://user:password@host:port/database`. */
  readonly url: string
  /** Host, or host and port, where others reach this process; by default the host that reaches the database. */
  readonly address?: string | undefined
}

/** Where a process meets the others, and they meet it. */
export interface Place {
  readonly url: string
  readonly address: Address
}

const refuse = (problem: string) => new SettingsError({ source: "the command line", problems: [problem] })

const databaseOf = (url: string): Effect.Effect<Address, SettingsError> => {
  const parsed = URL.parse(url)
  return parsed !== null && /^postgres(?:ql)?:$/.test(parsed.protocol) && parsed.hostname !== ""
    ? Effect.succeed({ host: parsed.hostname.replace(/^\[|\]$/g, ""), port: Number(parsed.port || 5432) })
    : Effect.fail(refuse(`cluster: Expected postgres://user:password@host:port/database, got ${JSON.stringify(url)}`))
}

/** Returns the address of this machine in the network of the database, and fails where nobody listens. */
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

/** Returns where others reach this process, checked before anything is loaded. */
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
 * Returns the name under which the processes of a run meet: that of its data, its SIDs and the settings that its rollouts
 * depend on, so that a worker of another run, or of other settings, is not asked.
 */
export const nameOf = ({ hashes, settings }: Manifest.Manifest): string => {
  const { evaluation, grpo, policy, seed } = settings
  const parts = [hashes[artefacts.dataset], hashes[artefacts.sids], evaluation, grpo, policy, seed]
  return Manifest.hash([JSON.stringify(parts)]).slice(0, 12)
}

/** The name of the run of the context as its manifest is now. */
export const name = Effect.flatMap(Workspace, ({ manifest }) => Effect.map(manifest, nameOf))
