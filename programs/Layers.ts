/**
 * The layers that a command is provided with at the edge.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { createRequire } from "node:module"
import * as DuckDb from "../layers/duckdb/DuckDb.ts"
import * as LanceDb from "../layers/lancedb/LanceDb.ts"
import * as TarXz from "../layers/xz/TarXz.ts"
import * as EmbeddingFiles from "../src/embedding/EmbeddingFiles.ts"
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

const hasLanceDb = Effect.sync(() => {
  try {
    createRequire(import.meta.url).resolve("@lancedb/lancedb")
    return true
  } catch {
    return false
  }
})

/** The store in which the folder already has embeddings; in a new folder LanceDB, or files where it is not installed. */
const embeddings = (folder: string) =>
  Layer.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const names = yield* fs.readDirectory(folder).pipe(Effect.orElseSucceed((): ReadonlyArray<string> => []))
    const inLanceDb = names.some((name) => name.endsWith(".lance")) ||
      !names.some((name) => name.endsWith(".safetensors")) && (yield* hasLanceDb)
    return inLanceDb ? LanceDb.layer(folder) : EmbeddingFiles.layer(folder)
  }))

const progress = Layer.unwrap(
  Effect.map(Note.Quiet, (quiet) => quiet ? Progress.layerSilent : Progress.layer(process.stderr))
)

/** The layers of importing, without a run. */
export const importers = Layer.mergeAll(DuckDb.layer, TarXz.layer, progress).pipe(
  Layer.provideMerge(NodeServices.layer)
)

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
      // A store that is not there yet would be made.
      options.readOnly === true && !(yield* (yield* FileSystem.FileSystem).exists(file("embeddings")))
        ? EmbeddingStore.layerMemory
        : embeddings(file("embeddings")),
      TarXz.layer,
      Checkpointer.layer(run),
      RunLog.layer(run),
      Quantizers.layer(
        tokenized ? { ...settings.tokenizer, quantizer: "rq-kmeans" } : yield* Quantizers.chosen(settings),
        settings.seed
      )
    )
  })).pipe(
    Layer.provideMerge(Layer.merge(progress, DuckDb.layer)),
    Layer.provideMerge(Workspace.layer(options)),
    Layer.provideMerge(Devices.devices[options.device ?? "cpu"]),
    Layer.provideMerge(NodeServices.layer)
  )
