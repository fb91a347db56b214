/**
 * Weights of a text policy as those of one model of Hugging Face: its matrices have grown by the rows of the SID tokens,
 * at the ids that the extended tokenizer gives them.
 */
import type * as Matrix from "../../matrix/Matrix.ts"
import { type SavedTensor } from "../../tensor/ParameterBuffer.ts"
import * as TokenizerFile from "../../tokenizer/TokenizerFile.ts"
import { type CheckpointConfig } from "../huggingface/CheckpointConfig.ts"
import type * as Lora from "../lora/Lora.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as NewRows from "./NewRows.ts"
import * as TextNetwork from "./TextNetwork.ts"
import { matrices } from "./TextParameters.ts"
import { type TextVocabulary } from "./TextVocabulary.ts"

const matrixOf = ({ data, shape: [rows, width] }: SavedTensor): Matrix.Matrix => ({ rows: rows!, width: width!, data })

/** Returns a matrix of the folder with the rows of the SID tokens. */
const grown = (matrix: SavedTensor, sid: SavedTensor, { ids, own }: TextVocabulary): SavedTensor => {
  const live = Array.from(ids.keys()).filter((row) => ids[row]! >= 0)
  const width = matrix.shape[1]!
  const values = new Float32Array(live.length * width)
  for (const [at, row] of live.entries()) values.set(sid.data.subarray(row * width, (row + 1) * width), at * width)
  const { data, rows } = NewRows.place(
    matrixOf(matrix),
    Int32Array.from(live, (row) => ids[row]!),
    { rows: live.length, width, data: values },
    own
  )
  return { dtype: "F32", shape: [rows, width], data }
}

/** Returns configuration and weights of the model; adapters among the weights stay beside them. */
export const model = (
  config: CheckpointConfig,
  vocabulary: TextVocabulary,
  weights: Lora.Tensors
): { readonly config: CheckpointConfig; readonly weights: Lora.Tensors } => {
  const all = new Map(weights)
  for (const name of matrices(config.decoder)) {
    const own = TextNetwork.sidName(name)
    all.set(name, grown(weights.get(name)!, weights.get(own)!, vocabulary))
    all.delete(own)
  }
  const [rows] = all.get(Transformer.embeddingName)!.shape
  return {
    config: { ...config, decoder: new Transformer.DecoderConfig({ ...config.decoder, vocabulary: rows! }) },
    weights: all
  }
}

/** Returns the extended tokenizer as files of the folder. */
export const tokenizer = ({ definition }: TextVocabulary): ReadonlyMap<string, Uint8Array> =>
  new Map([["tokenizer.json", Buffer.from(`${JSON.stringify(TokenizerFile.toJson(definition))}\n`)]])
