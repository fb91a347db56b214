/**
 * Fitted models as artefacts of a run: one safetensors file each, with all other data as JSON in the tensor `about`.
 */
import * as Schema from "effect/Schema"
import * as Fusion from "../src/embedding/Fusion.ts"
import { type EncoderModel } from "../src/embedding/TextEncoder.ts"
import type * as Quantizer from "../src/sid/Quantizer.ts"
import * as Safetensors from "../src/storage/Safetensors.ts"
import { type Codec } from "./Artefacts.ts"

/** Model with the version of its inputs. */
export interface Versioned<A> {
  /** Hash of the settings and of all data on which the model was fitted. */
  readonly version: string
  readonly model: A
}

type Tensors = ReadonlyMap<string, Safetensors.StoredTensor>

/** Returns the codec of a model that consists of JSON and tensors. */
const codec = <About, I, A>(
  schema: Schema.Codec<About, I>,
  parts: (model: A) => { readonly about: About; readonly tensors: Tensors },
  whole: (about: About, tensors: Tensors) => A
): Codec<Versioned<A>> => {
  const file = Schema.Struct({ version: Schema.String, about: schema })
  return {
    encode: ({ model, version }) => {
      const { about, tensors } = parts(model)
      const bytes = Buffer.from(JSON.stringify(Schema.encodeSync(file)({ version, about })))
      return Safetensors.encode(
        new Map([["about", { dtype: "U8" as const, shape: [bytes.length], data: bytes }], ...tensors])
      )
    },
    decode: (bytes) => {
      const tensors = Safetensors.decode(bytes)
      const json = Buffer.from(Safetensors.pick(tensors, "about", "U8").data).toString()
      const { about, version } = Schema.decodeUnknownSync(file)(JSON.parse(json))
      tensors.delete("about")
      return { version, model: whole(about, tensors) }
    }
  }
}

/** Codec of the encoder of item texts. */
export const encoder: Codec<Versioned<EncoderModel>> = codec(
  Schema.Struct({ encoder: Schema.String }),
  ({ encoder, tensors }: EncoderModel) => ({ about: { encoder }, tensors }),
  ({ encoder }, tensors) => ({ encoder, tensors })
)

/** Codec of the fusion of texts and events. */
export const fusion: Codec<Versioned<Fusion.FusionModel>> = codec(
  Schema.Struct({ kind: Fusion.FusionConfig.fields.kind, weight: Schema.Finite }),
  ({ kind, tensors, weight }: Fusion.FusionModel) => ({ about: { kind, weight }, tensors }),
  (about, tensors) => ({ ...about, tensors })
)

/** Codec of the quantizer with the codes of its training items, before the collision policy. */
export const quantizer: Codec<Versioned<Quantizer.Trained>> = codec(
  Schema.Struct({ codebookSizes: Schema.Array(Schema.Int), levels: Schema.Int }),
  ({ codes: { codes, levels }, model: { codebookSizes, tensors } }: Quantizer.Trained) => ({
    about: { codebookSizes, levels },
    tensors: new Map<string, Safetensors.StoredTensor>([
      ...[...tensors].map(([name, { data, shape }]) => [`model.${name}`, { dtype: "F32", shape, data }] as const),
      ["codes", { dtype: "I32", shape: [codes.length / levels, levels], data: codes }]
    ])
  }),
  ({ codebookSizes, levels }, tensors): Quantizer.Trained => ({
    codes: { levels, codes: Safetensors.pick(tensors, "codes", "I32", 2).data },
    model: {
      codebookSizes,
      tensors: new Map([...tensors].flatMap(([name, { data, dtype, shape }]) => {
        if (!name.startsWith("model.")) return []
        if (dtype !== "F32") {
          throw new Safetensors.SafetensorsError({ tensor: name, detail: `is ${dtype}; expected F32` })
        }
        return [[name.slice("model.".length), { shape, data: data as Float32Array }] as const]
      }))
    }
  })
)
