/**
 * Files that a test writes into a temporary folder.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"

/** Writes one file into a fresh folder and returns its path. */
export const written = Effect.fnUntraced(function*(name: string, content: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(yield* fs.makeTempDirectoryScoped(), name)
  yield* fs.writeFile(file, typeof content === "string" ? Buffer.from(content) : content)
  return file
})

/** Bytes of a text in UTF-16, with a mark or without. */
export const utf16 = (text: string, order: "le" | "be", mark: boolean): Buffer => {
  const bytes = Buffer.from((mark ? "\ufeff" : "") + text, "utf16le")
  return order === "le" ? bytes : bytes.swap16()
}
