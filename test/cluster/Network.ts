/**
 * A connection between processes that a test can cut and heal.
 */
import { connect, createServer, type Server, type Socket } from "node:net"

/** How a network fails: connections are closed and refused, or stay open and carry nothing. */
export type Fault = "closed" | "silent"

/** Passes what arrives at one port on to another. */
export class Network {
  readonly port: number
  private readonly server: Server
  private readonly pairs = new Set<readonly [Socket, Socket]>()
  private fault: Fault | undefined

  private constructor(server: Server, port: number) {
    this.server = server
    this.port = port
  }

  /** Opens a way to a port of this machine. */
  static async to(target: number): Promise<Network> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()))
    const address = server.address()
    const network = new Network(server, typeof address === "object" && address !== null ? address.port : 0)
    server.on("connection", (near) => network.accept(near, target))
    return network
  }

  private accept(near: Socket, target: number) {
    if (this.fault === "closed") return near.destroy()
    const far = connect(target, "127.0.0.1")
    const pair = [near, far] as const
    this.pairs.add(pair)
    for (const [from, to] of [pair, [far, near] as const]) {
      // What is sent into silence is lost.
      from.on("data", (chunk) => {
        if (this.fault === undefined) to.write(chunk)
      })
      from.on("error", () => {})
      from.on("close", () => {
        this.pairs.delete(pair)
        to.destroy()
      })
    }
    return undefined
  }

  /** Lets nothing through from now on. */
  cut(fault: Fault) {
    this.fault = fault
    if (fault === "closed") this.drop()
  }

  /** Lets new connections through; those that lost something end. */
  heal() {
    this.fault = undefined
    this.drop()
  }

  close() {
    this.drop()
    this.server.close()
  }

  private drop() {
    for (const [near, far] of this.pairs) {
      near.destroy()
      far.destroy()
    }
  }
}
