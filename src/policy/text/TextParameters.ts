/**
 * Parameters of a text policy: those of a folder, frozen or trained, adapters, and the rows of the SID tokens.
 */
import * as Matrix from "../../matrix/Matrix.ts"
import * as Random from "../../statistics/Random.ts"
import { type ParameterSpec, type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as CompactVocabulary from "../flat/CompactVocabulary.ts"
import * as CheckpointFolder from "../huggingface/CheckpointFolder.ts"
import * as Lora from "../lora/Lora.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as NewRows from "./NewRows.ts"
import * as TextNetwork from "./TextNetwork.ts"
import { type TextPolicyConfig } from "./TextPolicyConfig.ts"
import { type TextVocabulary } from "./TextVocabulary.ts"
import { type Words } from "./Words.ts"

/** Origin of the initial values. */
export interface Source {
  readonly checkpoint: CheckpointFolder.CheckpointFolder
  readonly vocabulary: TextVocabulary
  readonly words: Words
  /** Embeddings of the items [N, E], for the start `projected`. */
  readonly embeddings?: Matrix.Matrix | undefined
  readonly seed: number
}

/** Returns the names of the matrices beside which SID tokens have rows: the embedding, and an output that is not tied. */
export const matrices = (config: Transformer.DecoderConfig): ReadonlyArray<string> => [
  ...new Set([Transformer.embeddingName, Transformer.headName(config)])
]

/** Site of the initial values of adapters. */
const adapters = 0x10a4

/** Returns the initial rows of the SID tokens [R, D] beside a matrix [V, D]; tokens of the folder keep their rows. */
const startRows = (
  rows: Matrix.Matrix,
  { embeddings, seed, vocabulary, words: { ofItem } }: Source,
  start: TextPolicyConfig["start"]
): Matrix.Matrix => {
  const { codec: { sids, tokenizer }, ids, own } = vocabulary
  const noisy = (count: number) => NewRows.aroundMean(rows, { used: own, count, seed })
  const words = () =>
    NewRows.meansOfWords(
      rows,
      sids.items.map((_, item) => tokenizer.encode(ofItem(item)))
    )
  const values = start === "around-mean" ? noisy(sids.ids.length) : NewRows.rescaled(
    NewRows.meansOfItems(
      sids,
      start === "projected" && embeddings !== undefined ? NewRows.projected(embeddings, words()) : words()
    ),
    rows,
    own
  )
  const place = new Map(Array.from(sids.ids, (id, at) => [id, at]))
  const result = Matrix.zeros(ids.length, rows.width)
  for (const [row, id] of ids.entries()) {
    if (id < 0) continue
    const source = id < own ? Matrix.row(rows, id) : row === CompactVocabulary.end
      ? noisy(1).data
      : Matrix.row(values, place.get(id)!)
    Matrix.row(result, row).set(source)
  }
  return result
}

/** Returns the specifications of the parameters; each is read or made when it is initialised. */
export const make = (source: Source, { lora, start, train }: TextPolicyConfig): ParameterSpecs => {
  const { checkpoint, seed, vocabulary } = source
  const { decoder } = checkpoint.config
  const all = train === "all"
  const base = CheckpointFolder.parameters(checkpoint, { trainable: () => all, halves: !all })
  const specs = train === "lora" ? Lora.parameters(lora, base, Random.uniform(seed, adapters)) : base
  const size = vocabulary.compact.size
  const rows = matrices(decoder).map((name): [string, ParameterSpec] => [
    TextNetwork.sidName(name),
    {
      shape: [size, decoder.width],
      initialize: (values) => {
        const matrix = Matrix.zeros(decoder.vocabulary, decoder.width)
        base[name]!.initialize(matrix.data)
        values.set(startRows(matrix, source, start).data)
      }
    }
  ])
  return { ...specs, ...Object.fromEntries(rows) }
}
