/**
 * The layers that a command is provided with at the edge.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EmbeddingStore } from "../src/embedding/EmbeddingStore.ts"
import { TextEncoder } from "../src/embedding/TextEncoder.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Devices from "./Devices.ts"
import * as Encoders from "./Encoders.ts"
import * as Note from "./Note.ts"
import * as Quantizers from "./Quantizers.ts"
import { Workspace, type WorkspaceOptions } from "./Workspace.ts"

// Libraries of databases and archives are loaded when a command needs them: help and wrong usage come without waiting.
const tables = Layer.unwrap(
  Effect.map(Effect.promise(() => import("../layers/duckdb/DuckDb.ts")), ({ layer }) => layer)
)
const archives = Layer.unwrap(Effect.map(Effect.promise(() => import("../layers/xz/TarXz.ts")), ({ layer }) => layer))
const embeddings = (folder: string) =>
  Layer.unwrap(Effect.map(Effect.promise(() => import("../layers/lancedb/LanceDb.ts")), ({ layer }) => layer(folder)))

const progress = Layer.unwrap(
  Effect.map(Note.Quiet, (quiet) => quiet ? Progress.layerSilent : Progress.layer(process.stderr))
)

/** The layers of importing, without a run. */
export const importers = Layer.mergeAll(tables, archives, progress).pipe(Layer.provideMerge(NodeServices.layer))

/**
 * Provides everything that a command needs, for one run on a device. A missing device fails before the run is touched.
 */
export const layer = (options: WorkspaceOptions & { readonly device?: Devices.Device | undefined }) =>
  Layer.unwrap(Effect.gen(function*() {
    const { file, run, settings, tokenized } = yield* Workspace
    const encoder = Encoders.layer(settings.encoder, settings.lsa, settings.seed, file("encoding"))
    return Layer.mergeAll(
      // A run with SIDs may lack the files from which they were made; a command that needs one fails with an error.
      tokenized
        ? encoder.pipe(
          Layer.catch((error) =>
            Layer.succeed(
              TextEncoder,
              TextEncoder.of({ id: "absent", fit: () => Effect.fail(error), encode: () => Effect.fail(error) })
            )
          )
        )
        : encoder,
      options.readOnly === true ? EmbeddingStore.layerMemory : embeddings(file("embeddings")),
      archives,
      Checkpointer.layer(run),
      RunLog.layer(run),
      Quantizers.layer(
        tokenized ? { ...settings.tokenizer, quantizer: "rq-kmeans" } : yield* Quantizers.chosen(settings),
        settings.seed
      )
    )
  })).pipe(
    Layer.provideMerge(Layer.merge(progress, tables)),
    Layer.provideMerge(Workspace.layer(options)),
    Layer.provideMerge(Devices.devices[options.device ?? "cpu"]),
    Layer.provideMerge(NodeServices.layer)
  )
