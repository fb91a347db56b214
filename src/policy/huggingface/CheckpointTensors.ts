/**
 * Tensors of a checkpoint against those of its configuration.
 */
import { type FloatType, type StoredType } from "../../storage/Safetensors.ts"
import { formatShape } from "../../tensor/TensorProgram.ts"
import * as Transformer from "../transformer/Transformer.ts"
import { CheckpointError, OtherTensors, type WrongTensor } from "./CheckpointError.ts"

/** Name and shape of a tensor. */
export interface NamedShape {
  readonly name: string
  readonly shape: ReadonlyArray<number>
}

/** Shape of a tensor, and its type where it is stored. */
export interface FoundTensor {
  readonly shape: ReadonlyArray<number>
  readonly dtype?: StoredType | undefined
}

const isFloat = (dtype: StoredType): dtype is FloatType => dtype === "F32" || dtype === "F16" || dtype === "BF16"

/** Returns the tensors of a decoder, in the order of its parameters. */
export const expected = (decoder: Transformer.DecoderConfig): ReadonlyArray<NamedShape> =>
  Object.entries(Transformer.parameters(decoder, () => 0)).map(([name, { shape }]) => ({ name, shape }))

/**
 * Returns whether a tensor that the decoder does not have may be there unread: the copy of a tied output matrix, and the
 * rotary frequencies that old checkpoints hold.
 */
export const ignored = (decoder: Transformer.DecoderConfig, name: string): boolean =>
  (decoder.tied && name === "lm_head.weight") || name.endsWith(".rotary_emb.inv_freq")

/** Returns an error that lists every missing, unknown and wrong tensor of a checkpoint at `path`, if there is one. */
export const mismatch = (
  path: string,
  decoder: Transformer.DecoderConfig,
  found: ReadonlyMap<string, FoundTensor>
): CheckpointError | undefined => {
  const tensors = expected(decoder)
  const names = new Set(tensors.map(({ name }) => name))
  const missing: Array<string> = []
  const wrong: Array<typeof WrongTensor.Type> = []
  for (const { name, shape } of tensors) {
    const actual = found.get(name)
    if (actual === undefined) {
      missing.push(name)
      continue
    }
    const wanted = formatShape(shape)
    if (actual.dtype !== undefined && !isFloat(actual.dtype)) {
      const there = `${actual.dtype} ${formatShape(actual.shape)}`
      wrong.push({ name, expected: `F32, F16 or BF16 ${wanted}`, found: there })
    } else if (formatShape(actual.shape) !== wanted) {
      wrong.push({ name, expected: wanted, found: formatShape(actual.shape) })
    }
  }
  const unknown = [...found.keys()].filter((name) => !names.has(name) && !ignored(decoder, name))
  return missing.length + unknown.length + wrong.length === 0
    ? undefined
    : new CheckpointError({ reason: new OtherTensors({ path, missing, unknown, wrong }) })
}
