/**
 * The command `worker`: draws rollouts for a run that another process trains.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** Flags of a process of a cluster. */
export const flags = {
  address: Root.text("address", "HOST or HOST:PORT where the others reach this process (default: found by itself)")
}

/** The command `worker`. */
export const command = Command.make("worker", {
  ...flags,
  cluster: Flag.String("cluster").pipe(
    Flag.withDescription("Postgres where the processes meet: postgres://user:password@host:port/database")
  )
}, ({ address, cluster }) =>
  Effect.gen(function*() {
    const Cluster = yield* Packages.load(() => import("../Cluster.ts"))
    const at = yield* Cluster.meet({ url: cluster, address: Option.getOrUndefined(address) })
    const { program } = yield* Packages.load(() => import("../Worker.ts"))
    return yield* Effect.forever(Root.within(program({ at }), { existing: true, readOnly: true }))
  })).pipe(
    Command.withDescription("Draw rollouts for a run that `sidereal grpo --cluster` trains"),
    Command.withExamples([{
      command: "sidereal worker --cluster postgres://me@host/sidereal --run runs/mine",
      description: "On every machine that draws rollouts; it reads the run's folder"
    }])
  )
