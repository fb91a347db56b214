/**
 * The technologies behind the services: everything that a command is given at the edge.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DuckDb from "../layers/duckdb/DuckDb.ts"
import * as LanceDb from "../layers/lancedb/LanceDb.ts"
import * as SystemTar from "../layers/xz/SystemTar.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Devices from "./Devices.ts"
import * as Encoders from "./Encoders.ts"
import * as Quantizers from "./Quantizers.ts"
import { Workspace, type WorkspaceOptions } from "./Workspace.ts"

/** What importing needs, without a run. */
export const importers = Layer.merge(DuckDb.layer, SystemTar.layer).pipe(Layer.provideMerge(NodeServices.layer))

/** Everything a command needs, for one run on a device. */
export const layer = (options: WorkspaceOptions & { readonly device?: Devices.Device | undefined }) =>
  Layer.unwrap(Effect.gen(function*() {
    const { file, run, settings } = yield* Workspace
    return Layer.mergeAll(
      Encoders.layer(settings.encoder, settings.lsa, settings.seed, file("encoding")),
      LanceDb.layer(file("embeddings")),
      SystemTar.layer,
      Checkpointer.layer(run),
      RunLog.layer(run),
      Quantizers.layer(yield* Quantizers.chosen(settings), settings.seed)
    )
  })).pipe(
    Layer.provideMerge(Layer.merge(Progress.layer(process.stderr), DuckDb.layer)),
    Layer.provideMerge(Devices.devices[options.device ?? "cpu"]),
    Layer.provideMerge(Workspace.layer(options)),
    Layer.provideMerge(NodeServices.layer)
  )
