import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Checkpoints from "../../src/run/Checkpointer.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as Manifest from "../../src/run/Manifest.ts"
import { RunLog } from "../../src/run/RunLog.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import { checkpoint, inFolder, savedAtEach } from "./Checkpoints.ts"

// Every operation has its turn in the long suite.
savedAtEach("kill", 5)
savedAtEach("fail", 7)

describe("Checkpointer", () => {
  it.effect("keeps the last and the best of each kind, and finds them in a new process", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const use = <A, E>(work: (saver: Checkpointer["Service"]) => Effect.Effect<A, E>) =>
        Effect.flatMap(Checkpointer, work).pipe(Effect.provide(Checkpointer.layer(folder)))
      yield* use((saver) =>
        Effect.forEach([
          checkpoint(1, true),
          checkpoint(2, true),
          checkpoint(3, false),
          checkpoint(4, false),
          checkpoint(9, true, "grpo")
        ], saver.save)
      )
      const fs = yield* FileSystem.FileSystem
      assert.deepStrictEqual((yield* fs.readDirectory(join(folder, "checkpoints"))).toSorted(), [
        "grpo-9",
        "sft-2",
        "sft-4"
      ])
      const [latest, best, none] = yield* use((saver) =>
        Effect.all([saver.latest("sft"), saver.best("sft"), saver.latest("other")])
      )
      assert.strictEqual(latest!.step, 4)
      assert.strictEqual(best!.step, 2)
      assert.deepStrictEqual([...best!.tensors.get("w")!.data as Float32Array], [2, 1, 2, 3])
      assert.deepStrictEqual(best!.meta, { step: 2, note: "x" })
      assert.isUndefined(none)
    })))

  it.effect("knows the best one whenever it was stopped, and falls back when that one was deleted", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const saver = yield* Checkpointer
      yield* saver.save(checkpoint(1, true))
      yield* saver.save(checkpoint(2, false))
      yield* saver.save(checkpoint(3, true))
      yield* saver.save(checkpoint(4, false))
      assert.strictEqual((yield* saver.best("sft"))!.step, 3)
      assert.strictEqual((yield* Checkpoints.summary(folder, "sft")).best, 3)
      yield* saver.save(checkpoint(5, false))
      assert.strictEqual((yield* saver.best("sft"))!.step, 3)
      rmSync(join(folder, "checkpoints", "sft-3"), { recursive: true })
      assert.strictEqual((yield* saver.best("sft"))!.step, 5)
    }, (work, folder) => Effect.provide(work, Checkpointer.layer(folder)))))

  it.effect("ignores a checkpoint that does not verify, and says so when it is the best", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const saver = yield* Checkpointer
      yield* saver.save(checkpoint(1, true))
      yield* saver.save(checkpoint(2, false))
      const flip = (step: number) => {
        const file = join(folder, "checkpoints", `sft-${step}`, "tensors.safetensors")
        const bytes = readFileSync(file)
        bytes[bytes.length - 1]! ^= 1
        writeFileSync(file, bytes)
      }
      flip(2)
      assert.strictEqual((yield* saver.latest("sft"))!.step, 1)
      flip(1)
      assert.isUndefined(yield* saver.latest("sft"))
      const error = yield* Effect.flip(saver.best("sft"))
      assert.strictEqual(error.reason._tag, "Corrupt")
      assert.include(error.message, "tensors.safetensors")
    }, (effect, folder) => Effect.provide(effect, Checkpointer.layer(folder)))))

  it.effect("reads the best one of older runs, and takes its own word for newer ones", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const saver = yield* Checkpointer
      const root = join(folder, "checkpoints")
      const age = (step: number) => {
        const file = join(root, `sft-${step}`, "commit.json")
        const { best: _, ...commit } = JSON.parse(readFileSync(file, "utf8"))
        writeFileSync(file, JSON.stringify(commit))
      }
      yield* saver.save(checkpoint(1, true))
      yield* saver.save(checkpoint(2, false))
      for (const step of [1, 2]) age(step)
      writeFileSync(join(root, "best-sft.json"), JSON.stringify({ step: 1 }))
      assert.strictEqual((yield* saver.best("sft"))!.step, 1)
      yield* saver.save(checkpoint(3, false))
      assert.strictEqual((yield* saver.best("sft"))!.step, 1)
      yield* saver.save(checkpoint(4, true))
      assert.strictEqual((yield* saver.best("sft"))!.step, 4)
      writeFileSync(join(root, "best-sft.json"), JSON.stringify({ step: 5 }))
      yield* saver.save(checkpoint(5, false))
      assert.strictEqual((yield* saver.best("sft"))!.step, 4)
    }, (effect, folder) => Effect.provide(effect, Checkpointer.layer(folder)))))

  it.effect("names a commit that is none, and keeps every other checkpoint while nobody knows the best", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const saver = yield* Checkpointer
      yield* saver.save(checkpoint(1, true))
      yield* saver.save(checkpoint(2, false))
      for (const damage of ["{", "[]", "{\"version\":1}"]) {
        writeFileSync(join(folder, "checkpoints", "sft-1", "commit.json"), damage)
        const error = yield* Effect.flip(saver.best("sft"))
        assert.strictEqual(error.reason._tag, "Corrupt")
        assert.include(error.message, "commit.json")
      }
      assert.strictEqual((yield* saver.latest("sft"))!.step, 2)
      yield* saver.save(checkpoint(3, false))
      const fs = yield* FileSystem.FileSystem
      const left = yield* fs.readDirectory(join(folder, "checkpoints"))
      assert.deepStrictEqual(left.toSorted(), ["sft-1", "sft-2", "sft-3"])
    }, (effect, folder) => Effect.provide(effect, Checkpointer.layer(folder)))))
})

describe("RunLog", () => {
  it.effect("appends, and leaves out a line that a crash cut off", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const use = <A, E>(work: (log: RunLog["Service"]) => Effect.Effect<A, E>) =>
        Effect.flatMap(RunLog, work).pipe(Effect.provide(RunLog.layer(folder)))
      const event = (step: number) => ({ kind: "sft.step", step, fields: { loss: 1 / step } })
      yield* use((log) => log.append(event(1)))
      writeFileSync(join(folder, "events.jsonl"), "{\"kind\":\"sft.st", { flag: "a" })
      yield* use((log) => log.append(event(2)))
      const { events, torn } = yield* use((log) => log.read)
      assert.deepStrictEqual(events, [event(1), event(2)])
      assert.strictEqual(torn, 1)
    })))
})

describe("Manifest", () => {
  it.effect("is read back, grows by hashes, and its absence names the command that makes a run", () =>
    inFolder(Effect.fnUntraced(function*(folder) {
      const missing = yield* Effect.flip(Manifest.read(folder))
      assert.include(missing.message, "sidereal demo --run")
      const manifest = {
        version: 1 as const,
        created: "now",
        name: "n",
        seed: 3,
        settings: { a: [1] },
        versions: {},
        hashes: {}
      }
      yield* Manifest.write(folder, manifest)
      yield* Manifest.record(folder, "sids", "abc")
      assert.deepStrictEqual(yield* Manifest.read(folder), { ...manifest, hashes: { sids: "abc" } })
      yield* Manifest.record(folder, "sids", undefined)
      assert.deepStrictEqual(yield* Manifest.read(folder), manifest)
    })))
})

describe("Safetensors", () => {
  const tensors = new Map<string, Safetensors.StoredTensor>([
    ["empty", { dtype: "F32", shape: [0, 3], data: new Float32Array(0) }],
    ["scalar", { dtype: "F64", shape: [], data: Float64Array.of(Math.PI) }],
    ["ints", { dtype: "I32", shape: [3], data: Int32Array.of(-1, 0, 7) }],
    ["longs", { dtype: "I64", shape: [1], data: BigInt64Array.of(-5n) }],
    ["bytes", { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) }]
  ])
  it("goes there and back", () => {
    assert.deepStrictEqual(Safetensors.decode(Safetensors.encode(tensors, { a: "b" })), tensors)
  })
  it("decodes half precision to float32", () => {
    const encode = (dtype: string, bits: ReadonlyArray<number>) => {
      const header = Buffer.from(
        JSON.stringify({ x: { dtype, shape: [bits.length], data_offsets: [0, bits.length * 2] } })
      )
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(header.length))
      return Buffer.concat([length, header, Buffer.from(Uint16Array.from(bits).buffer)])
    }
    const half = Safetensors.decode(encode("F16", [0x3c00, 0xc000, 0x0001, 0x7c00, 0x3555])).get("x")!.data
    assert.deepStrictEqual([...half as Float32Array], [1, -2, 2 ** -24, Infinity, 0.333251953125])
    const brain = Safetensors.decode(encode("BF16", [0x3f80, 0xc000, 0x4049])).get("x")!.data
    assert.deepStrictEqual([...brain as Float32Array], [1, -2, 3.140625])
  })
  it("refuses damaged files, naming the tensor", () => {
    const good = Safetensors.encode(tensors)
    const edit = (
      change: (header: Record<string, { dtype: string; shape: Array<number>; data_offsets: [number, number] }>) => void
    ) => {
      const length = Number(good.slice(0, 8).reduce((sum, byte, i) => sum + byte * 256 ** i, 0))
      const header = JSON.parse(Buffer.from(good.subarray(8, 8 + length)).toString())
      change(header)
      const json = Buffer.from(JSON.stringify(header))
      const size = Buffer.alloc(8)
      size.writeBigUInt64LE(BigInt(json.length))
      return Buffer.concat([size, json, good.subarray(8 + length)])
    }
    const cases: ReadonlyArray<readonly [Uint8Array, string]> = [
      [new Uint8Array(4), "4 bytes"],
      [good.subarray(0, 40), "ends before"],
      [edit((header) => (header["ints"]!.dtype = "Q9")), "\"ints\""],
      [edit((header) => (header["ints"]!.shape = [4])), "\"ints\""],
      [edit((header) => (header["bytes"]!.data_offsets = [9_000, 9_003])), "\"bytes\""],
      [edit((header) => (header["bytes"]!.data_offsets = [0, 3])), "overlaps"]
    ]
    for (const [bytes, words] of cases) assert.throws(() => Safetensors.decode(bytes), new RegExp(words))
  })
})
