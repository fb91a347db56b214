/**
 * Errors between embeddings and SIDs.
 */
import * as Schema from "effect/Schema"

/** A component that is NaN or infinite. */
export class BadEmbedding extends Schema.TaggedError<BadEmbedding>()("BadEmbedding", {
  row: Schema.Int,
  component: Schema.Int,
  value: Schema.String
}) {
  override get message() {
    return `the embedding of item ${this.row} has ${this.value} in component ${this.component}; ` +
      `every component must be a finite number; check the encoder or the file that it comes from`
  }
}

/** A catalogue of fewer than two items. */
export class TooFewItems extends Schema.TaggedError<TooFewItems>()("TooFewItems", { items: Schema.Int }) {
  override get message() {
    return `a catalogue of ${this.items} item(s) has nothing to rank; at least 2 items are needed`
  }
}

/** An index file that cannot be read as SIDs. */
export class BadIndex extends Schema.TaggedError<BadIndex>()("BadIndex", {
  item: Schema.String,
  value: Schema.String
}) {
  override get message() {
    return `item "${this.item}" has the SID ${this.value}; expected a list of tokens such as ["<a_12>", "<b_3>", "<c_7>"]`
  }
}

/** Embeddings of another width than those the quantizer was trained on. */
export class WrongWidth extends Schema.TaggedError<WrongWidth>()("WrongWidth", {
  expected: Schema.Int,
  actual: Schema.Int
}) {
  override get message() {
    return `the embeddings have ${this.actual} components, the quantizer was trained on ${this.expected}; ` +
      `embed with the same encoder, or train again`
  }
}

const mostLevels = 16
const mostCodes = 65_536

/** Suggests shapes with room for N SIDs and a tenth to spare: more codes on L levels, and more levels of K codes. */
const shapesFor = (items: number, levels: number, codes: number): ReadonlyArray<string> => {
  const out: Array<string> = []
  const wide = 2 ** Math.ceil(Math.log2((1.1 * items) ** (1 / levels)))
  if (wide <= mostCodes) out.push(`{"levels": ${levels}, "codes": ${wide}}`)
  const long = Math.ceil(Math.log(1.1 * items) / Math.log(Math.max(2, codes)))
  if (long <= mostLevels) out.push(`{"levels": ${long}, "codes": ${Math.max(2, codes)}}`)
  return out
}

/** More items than SIDs. */
export class TooFewCodes extends Schema.TaggedError<TooFewCodes>()("TooFewCodes", {
  items: Schema.Int,
  codebookSizes: Schema.Array(Schema.Int)
}) {
  override get message() {
    const { codebookSizes, items } = this
    return `${items} items cannot have a SID each: ${codebookSizes.join(" x ")} codes make ` +
      `${codebookSizes.reduce((product, size) => product * size, 1)}. Ask for a larger tokenizer.shape, such as ${
        shapesFor(items, codebookSizes.length, Math.min(...codebookSizes)).join(" or ")
      }; or set tokenizer.collision to "extra-token" (one code more for items that collide) or "keep" (they share a SID)`
  }
}

/** A setting that a quantizer cannot use on these items. */
export class BadSetting extends Schema.TaggedError<BadSetting>()("BadSetting", {
  quantizer: Schema.String,
  setting: Schema.String,
  value: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `${this.quantizer}: ${this.setting} is ${this.value}; expected ${this.expected}`
  }
}

/** A stored trie that cannot be used. */
export class BadTrie extends Schema.TaggedError<BadTrie>()("BadTrie", { detail: Schema.String }) {
  override get message() {
    return `the stored trie cannot be used: ${this.detail}; build it again from the SIDs`
  }
}

/** Refitted models that do not reproduce the SIDs of the run. */
export class OtherModels extends Schema.TaggedError<OtherModels>()("OtherModels", {
  items: Schema.Int,
  /** Number of items that would get another SID. */
  differing: Schema.Int
}) {
  override get message() {
    return `the refitted tokenizer gives ${this.differing} of ${this.items} items another SID than the run has; ` +
      `restore the encoder's files that the run was made with, or start the run again with --fresh`
  }
}

/** Failure between embeddings and SIDs. */
export class SidError extends Schema.TaggedError<SidError>()("SidError", {
  reason: Schema.Union([BadEmbedding, TooFewItems, BadIndex, WrongWidth, TooFewCodes, BadSetting, BadTrie, OtherModels])
}) {
  override get message() {
    return this.reason.message
  }
}
