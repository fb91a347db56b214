/**
 * The service of text tokenizers.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as ByteLevelBpe from "./ByteLevelBpe.ts"
import type * as PreTokenizer from "./PreTokenizer.ts"
import { type TokenizerError } from "./TokenizerError.ts"
import * as TokenizerFile from "./TokenizerFile.ts"

/**
 * Tokenizer of texts.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Effect from "effect/Effect"
 * import * as ByteAlphabet from "sidereal/tokenizer/ByteAlphabet"
 * import * as TextTokenizer from "sidereal/tokenizer/TextTokenizer"
 * import * as TokenizerFile from "sidereal/tokenizer/TokenizerFile"
 *
 * const vocab = Object.fromEntries([...ByteAlphabet.characters, "he", "hey"].map((token, id) => [token, id]))
 * const definition = await Effect.runPromise(
 *   TokenizerFile.parse(TokenizerFile.assemble(vocab, "h e\nhe y\n", "gpt2"))
 * )
 * const program = TextTokenizer.TextTokenizer.use((tokenizer) =>
 *   Effect.sync(() => {
 *     assert.deepEqual(Array.from(tokenizer.encode("hey<a_1>")), [257, 258])
 *     assert.equal(tokenizer.decode([257, 258]), "hey<a_1>")
 *   })
 * )
 * const extended = TokenizerFile.extend(definition, ["<a_1>"])
 * await Effect.runPromise(Effect.provide(program, TextTokenizer.TextTokenizer.layerDefinition(extended)))
 * ```
 */
export class TextTokenizer extends Context.Service<TextTokenizer, ByteLevelBpe.Tokenizer>()(
  "sidereal/tokenizer/TextTokenizer"
) {
  /** Provides the tokenizer of a definition. */
  static readonly layerDefinition = (
    definition: TokenizerFile.Definition
  ): Layer.Layer<TextTokenizer, TokenizerError> => Layer.effect(TextTokenizer, ByteLevelBpe.make(definition))

  /** Provides the tokenizer of a folder, with more tokens after its own, such as those of SIDs. */
  static readonly layer = (
    folder: string,
    tokens: ReadonlyArray<string> = [],
    options: { readonly family?: PreTokenizer.Family } = {}
  ): Layer.Layer<TextTokenizer, TokenizerError, FileSystem.FileSystem | Path.Path> =>
    Layer.effect(
      TextTokenizer,
      Effect.flatMap(
        TokenizerFile.read(folder, options),
        (definition) => ByteLevelBpe.make(TokenizerFile.extend(definition, tokens))
      )
    )
}
