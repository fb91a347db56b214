/**
 * Checkpoints as they were written before the store saved its own state: an average whether one was kept or not, both
 * moments of AdamW, and the best one named by a file beside them.
 */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Safetensors from "../../src/storage/Safetensors.ts"

/** Rewrites the checkpoints of a kind in a folder; an average that none has becomes that of weights never trained. */
export const age = (folder: string, kind: string): void => {
  for (const name of readdirSync(folder).filter((name) => name.startsWith(`${kind}-`))) {
    const file = (part: string) => join(folder, name, part)
    const tensors = Safetensors.decode(readFileSync(file("tensors.safetensors")))
    const old = new Map<string, Safetensors.StoredTensor>()
    for (const [key, tensor] of tensors) {
      if (key.startsWith("slot/")) old.set(key.replace("slot/", "").replace(".", "/"), tensor)
      else old.set(key, tensor)
    }
    for (const [key, tensor] of tensors) {
      const average = key.replace("weights/", "average/")
      if (old.has(average)) continue
      old.set(average, { ...tensor, data: Float32Array.from(tensor.data as Float32Array, (_, i) => Math.sin(i) / 10) })
    }
    const { weightsVersion: _, ...meta } = JSON.parse(readFileSync(file("meta.json"), "utf8"))
    const files = {
      "tensors.safetensors": Safetensors.encode(old),
      "meta.json": Buffer.from(JSON.stringify(meta))
    }
    for (const [part, bytes] of Object.entries(files)) writeFileSync(file(part), bytes)
    const { best } = JSON.parse(readFileSync(file("commit.json"), "utf8"))
    if (best) writeFileSync(join(folder, `best-${kind}.json`), JSON.stringify({ step: meta.step }))
    const hashes = Object.fromEntries(
      Object.entries(files).map(([part, bytes]) => [
        part,
        { bytes: bytes.byteLength, sha256: createHash("sha256").update(bytes).digest("hex") }
      ])
    )
    writeFileSync(file("commit.json"), JSON.stringify({ version: 1, files: hashes }))
  }
}
