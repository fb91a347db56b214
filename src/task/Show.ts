/**
 * Examples as a terminal shows them: the tokens with a loss stand out from those that are given.
 */
import * as FlatLayout from "../policy/flat/FlatLayout.ts"
import { type TrainingExample } from "../policy/Prompt.ts"
import * as TextCodec from "../policy/text/TextCodec.ts"
import * as SidIndex from "../sid/SidIndex.ts"
import * as Printable from "../text/Printable.ts"

/** Part of an example with one kind of positions. */
export interface Span {
  readonly text: string
  /** Number of positions. */
  readonly tokens: number
  /** Whether the positions are targets of the loss. */
  readonly loss: boolean
}

/** Returns the spans of an example in text; the prompt and the answer must be text, the answer as segments. */
export const ofText = (
  codec: TextCodec.TextCodec,
  { answer, prompt }: TrainingExample,
  options: TextCodec.EncodeOptions = {}
): ReadonlyArray<Span> => {
  if (prompt._tag !== "Text" || answer === "every-position") return []
  const encoded = TextCodec.encodeExample(codec, prompt.segments, answer, options)
  const spanOf = (ids: Int32Array, loss: boolean): Span => ({
    text: codec.tokenizer.decode(ids),
    tokens: ids.length,
    loss
  })
  return [spanOf(encoded.ids.subarray(0, encoded.answer), false), spanOf(encoded.ids.subarray(encoded.answer), true)]
    .filter(({ tokens }) => tokens > 0)
}

/** Returns the spans of a sequence of items whose codes after the beginning are all targets, as the flat policy has it. */
export const ofItems = (index: SidIndex.SidIndex, items: Int32Array): ReadonlyArray<Span> => [
  { text: "<begin>", tokens: 1, loss: false },
  ...Array.from(items, (item): Span => {
    const tokens = FlatLayout.itemLength(index, item)
    const codes = index.sids[item]!
    return { text: `${SidIndex.format(codes)}${tokens > codes.length ? "<end>" : ""}`, tokens, loss: true }
  })
]

/** Escape sequences of bold green and of the end of colours. */
const [green, plain] = ["\u001b[1;32m", "\u001b[0m"]

/**
 * Returns whether a terminal takes colours: it must be one, and the variable NO_COLOR absent or empty
 * (https://no-color.org).
 */
export const takesColour = (stream: { readonly isTTY?: boolean | undefined }, noColour: string | undefined): boolean =>
  stream.isTTY === true && (noColour === undefined || noColour === "")

/**
 * Renders spans as lines of text: spans with a loss in green, or between `[[` and `]]` without colours. Control
 * characters of the texts are escaped.
 */
export const render = (spans: ReadonlyArray<Span>, options: { readonly colour: boolean }): string => {
  const merged: Array<Span> = []
  for (const span of spans) {
    const last = merged.at(-1)
    if (last?.loss === span.loss) {
      merged[merged.length - 1] = { ...last, text: last.text + span.text, tokens: last.tokens + span.tokens }
    } else merged.push(span)
  }
  const [open, close] = options.colour ? [green, plain] : ["[[", "]]"]
  return merged.map(({ loss, text }) => {
    const safe = Printable.text(text)
    return loss ? `${open}${safe}${close}` : safe
  }).join("")
}

/** Describes an example in one line: its task, its positions and how many have a loss. */
export const caption = (task: string, spans: ReadonlyArray<Span>): string => {
  const count = (loss: boolean) => spans.reduce((sum, span) => sum + (!loss || span.loss ? span.tokens : 0), 0)
  return `${Printable.line(task)}: ${count(false)} tokens, ${count(true)} with a loss`
}
