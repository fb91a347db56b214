/**
 * The tagged error of text tokenizers, with its reasons.
 */
import * as Schema from "effect/Schema"

/** A file of a tokenizer that cannot be read. */
export class UnreadableTokenizer extends Schema.TaggedError<UnreadableTokenizer>()("UnreadableTokenizer", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.file} cannot be read: ${this.detail}; a tokenizer is a folder with tokenizer.json, or with vocab.json and merges.txt`
  }
}

/** A field of a tokenizer's file whose value is wrong. */
export class BadTokenizerField extends Schema.TaggedError<BadTokenizerField>()("BadTokenizerField", {
  file: Schema.String,
  field: Schema.String,
  found: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.field} is ${this.found}, expected ${this.expected}; the file is damaged or of another kind: take it again from its source`
  }
}

/** A part of a tokenizer that byte-level BPE here does not have. */
export class UnsupportedTokenizer extends Schema.TaggedError<UnsupportedTokenizer>()("UnsupportedTokenizer", {
  file: Schema.String,
  field: Schema.String,
  found: Schema.String,
  supported: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.field} is ${this.found}, which is not supported; use a tokenizer with ${this.supported}`
  }
}

/** A token that the vocabulary does not have. */
export class UnknownToken extends Schema.TaggedError<UnknownToken>()("UnknownToken", {
  token: Schema.String,
  /** Number of tokens of the vocabulary. */
  size: Schema.Int,
  remedy: Schema.String
}) {
  override get message() {
    return `the tokenizer has no token ${JSON.stringify(this.token)} among its ${this.size}; ${this.remedy}`
  }
}

/** Failure of a text tokenizer; `reason` says which. */
export class TokenizerError extends Schema.TaggedError<TokenizerError>()("TokenizerError", {
  reason: Schema.Union([UnreadableTokenizer, BadTokenizerField, UnsupportedTokenizer, UnknownToken])
}) {
  override get message() {
    return this.reason.message
  }
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "missing"
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** Returns the error of a field with a wrong value. */
export const badField = (file: string, field: string, found: unknown, expected: string): TokenizerError =>
  new TokenizerError({ reason: new BadTokenizerField({ file, field, found: shown(found), expected }) })

/** Returns the error of a part that is not supported. */
export const unsupported = (file: string, field: string, found: unknown, supported: string): TokenizerError =>
  new TokenizerError({ reason: new UnsupportedTokenizer({ file, field, found: shown(found), supported }) })
