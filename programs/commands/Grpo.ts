/**
 * The command `grpo`: fine-tuning by rewards.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"
import * as Worker from "./Worker.ts"

/** The command `grpo`. */
export const command = Command.make("grpo", {
  ...Worker.flags,
  cluster: Root.text("cluster", "Postgres through which workers draw: postgres://user:password@host:port/database"),
  ahead: Flag.Literals("ahead", ["0", "1"]).pipe(
    Flag.withDescription("Steps drawn ahead, during the update of the previous step (default: 0)"),
    Flag.withDefault("0" as const)
  )
}, ({ address, ahead, cluster }) =>
  Root.within(Effect.gen(function*() {
    const [Cluster, Grpo, Output] = yield* Packages.load(() =>
      Promise.all([import("../Cluster.ts"), import("../Grpo.ts"), import("../Output.ts")])
    )
    const url = Option.getOrUndefined(cluster)
    const at = url === undefined
      ? undefined
      : yield* Cluster.meet({ url, address: Option.getOrUndefined(address) })
    const report = yield* Grpo.program({ at, ahead: ahead === "1" })
    yield* Output.result(
      report,
      `GRPO: ${report.steps} steps, validation NDCG@10 ${report.startNdcg.toFixed(4)} before, best ${
        report.bestNdcg.toFixed(4)
      } after step ${report.bestStep}`
    )
  }))).pipe(
    Command.withDescription("Improve the policy by rewards on constrained beams"),
    Command.withExamples([{
      command: "sidereal grpo --run runs/mine",
      description: "After sidereal sft on the same run"
    }])
  )
