/**
 * Normalisation of texts before tokens are looked for: Unicode forms, as `normalizer` of a tokenizer.json says.
 */
import * as Effect from "effect/Effect"
import { badField, type TokenizerError, unsupported } from "./TokenizerError.ts"

/** Function from a text to its normal form. */
export type Normalizer = (text: string) => string

const forms = ["NFC", "NFD", "NFKC", "NFKD"] as const

/** Builds the normaliser that the JSON of a tokenizer describes; none for null. */
export const make: (
  json: unknown,
  file: string,
  field?: string
) => Effect.Effect<Normalizer, TokenizerError> = Effect.fnUntraced(function*(json, file, field = "normalizer") {
  if (json === null || json === undefined) return (text) => text
  if (typeof json !== "object") return yield* badField(file, field, json, "an object or null")
  const { normalizers, type } = json as { readonly type?: unknown; readonly normalizers?: unknown }
  const form = forms.find((name) => name === type)
  if (form !== undefined) return (text) => text.normalize(form)
  if (type !== "Sequence") return yield* unsupported(file, `${field}.type`, type, `${forms.join(", ")} or Sequence`)
  if (!Array.isArray(normalizers)) return yield* badField(file, `${field}.normalizers`, normalizers, "a list")
  const parts = yield* Effect.forEach(normalizers, (part, i) => make(part, file, `${field}.normalizers[${i}]`))
  return (text) => parts.reduce((result, part) => part(result), text)
})
