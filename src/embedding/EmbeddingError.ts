/**
 * Errors of making embeddings from texts, files and events.
 */
import * as Schema from "effect/Schema"

/** Texts without a term that enough items share. */
export class NoText extends Schema.TaggedError<NoText>()("NoText", {
  items: Schema.Int,
  /** Texts with at least one word. */
  worded: Schema.Int,
  /** Fewest texts that a term must occur in. */
  minimumTexts: Schema.Int
}) {
  /** Cause without the remedy. */
  get why() {
    return this.worded === 0
      ? `none of the ${this.items} item texts holds a word`
      : `${this.worded} of the ${this.items} item texts hold words, but no word is in ${
        this.minimumTexts === 2 ? "two" : `${this.minimumTexts} (lsa.minimumTexts)`
      } of them`
  }
  override get message() {
    return `${this.why}; give the items titles or descriptions that have words in common`
  }
}

/** A file of embeddings or of an encoder that cannot be used. */
export class BadFile extends Schema.TaggedError<BadFile>()("BadFile", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.file} cannot be used: ${this.detail}`
  }
}

/** A file with another number of rows than items. */
export class WrongRows extends Schema.TaggedError<WrongRows>()("WrongRows", {
  file: Schema.String,
  expected: Schema.Int,
  actual: Schema.Int
}) {
  override get message() {
    return `${this.file} has ${this.actual} rows for a catalogue of ${this.expected} items; ` +
      `rows stand in the order of the items after filtering: make it from \`sidereal data --json\`'s items, or use Parquet with keys`
  }
}

/** An item without a row in a file of embeddings. */
export class MissingItem extends Schema.TaggedError<MissingItem>()("MissingItem", {
  file: Schema.String,
  item: Schema.String
}) {
  override get message() {
    return `${this.file} has no embedding of item "${this.item}"; every item needs one: add its row, or choose an encoder of texts (lsa, onnx)`
  }
}

/** A component that is NaN or infinite. */
export class NotANumber extends Schema.TaggedError<NotANumber>()("NotANumber", {
  file: Schema.String,
  item: Schema.String,
  component: Schema.Int,
  value: Schema.String
}) {
  override get message() {
    return `${this.file}: the embedding of "${this.item}" has ${this.value} in component ${this.component}`
  }
}

/** A failure of the encoder's program. */
export class EncoderFailure extends Schema.TaggedError<EncoderFailure>()("EncoderFailure", {
  encoder: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the encoder ${this.encoder} failed: ${this.detail}`
  }
}

/** A model that another encoder fitted. */
export class OtherEncoder extends Schema.TaggedError<OtherEncoder>()("OtherEncoder", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `the model was fitted by the encoder ${this.expected}, which is not ${this.found}; ` +
      `encode with the files and settings that it was fitted with, or fit again`
  }
}

/** A model that its encoder cannot use. */
export class BadModel extends Schema.TaggedError<BadModel>()("BadModel", {
  encoder: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the model of the encoder ${this.encoder} cannot be used: ${this.detail}; fit it again`
  }
}

/** A text without any term of the encoder's vocabulary. */
export class UnknownText extends Schema.TaggedError<UnknownText>()("UnknownText", { text: Schema.String }) {
  override get message() {
    return `the encoder knows no word of ${
      JSON.stringify(this.text)
    }; give a text that has words in common with the items'`
  }
}

/** Items whose embeddings are not made from texts. */
export class NoEncoder extends Schema.TaggedError<NoEncoder>()("NoEncoder", { detail: Schema.String }) {
  override get message() {
    return `a new text cannot be embedded: ${this.detail}; give the items titles or descriptions and begin the run again with --fresh`
  }
}

/** Embeddings of items that could not be read or made. */
export class NoItemEmbeddings extends Schema.TaggedError<NoItemEmbeddings>()("NoItemEmbeddings", {
  detail: Schema.String
}) {
  override get message() {
    return `the embeddings of the items are not to be had: ${this.detail}`
  }
}

/** Failure of making embeddings. */
export class EmbeddingError extends Schema.TaggedError<EmbeddingError>()("EmbeddingError", {
  reason: Schema.Union([
    NoText,
    BadFile,
    WrongRows,
    MissingItem,
    NotANumber,
    EncoderFailure,
    OtherEncoder,
    BadModel,
    UnknownText,
    NoEncoder,
    NoItemEmbeddings
  ])
}) {
  override get message() {
    return this.reason.message
  }
}
