/**
 * Encoders of item texts by name.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as OnnxEncoder from "../layers/onnx/OnnxEncoder.ts"
import { type TableReader } from "../src/catalog/reader/TableReader.ts"
import { type EmbeddingError } from "../src/embedding/EmbeddingError.ts"
import * as Lsa from "../src/embedding/Lsa.ts"
import * as Precomputed from "../src/embedding/Precomputed.ts"
import { type TextEncoder } from "../src/embedding/TextEncoder.ts"
import { type Progress } from "../src/run/Progress.ts"

/** Settings of the encoder: its kind and the paths of its files. */
export const EncoderConfig = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("lsa") }),
  Schema.Struct({ kind: Schema.Literal("onnx"), ...OnnxEncoder.OnnxEncoderConfig.fields }),
  /** A `.npy`, `.safetensors` or Parquet file. */
  Schema.Struct({ kind: Schema.Literal("precomputed"), path: Schema.String })
])

/** Provides the configured encoder; it keeps partial results of long computations in `folder`. */
export const layer = (
  encoder: typeof EncoderConfig.Type,
  lsa: Lsa.LsaConfig,
  seed: number,
  folder: string
): Layer.Layer<
  TextEncoder,
  EmbeddingError,
  FileSystem.FileSystem | Path.Path | TableReader | Progress
> => {
  switch (encoder.kind) {
    case "lsa":
      return Lsa.layer(lsa, seed)
    case "onnx":
      return OnnxEncoder.layer(new OnnxEncoder.OnnxEncoderConfig(encoder), folder)
    default:
      return Precomputed.layer(encoder.path)
  }
}

/** Default encoder: LSA, which needs no files. */
export const defaultEncoder = Effect.succeed({ kind: "lsa" as const })
