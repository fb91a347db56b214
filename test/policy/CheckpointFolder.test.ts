import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { type PlatformError, systemError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as CheckpointConfig from "../../src/policy/huggingface/CheckpointConfig.ts"
import * as CheckpointFolder from "../../src/policy/huggingface/CheckpointFolder.ts"
import * as CheckpointWriter from "../../src/policy/huggingface/CheckpointWriter.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import * as ParameterBuffer from "../../src/tensor/ParameterBuffer.ts"
import { golden, json, list, tensors } from "../Golden.ts"
import * as Logits from "./Logits.ts"

const models = join(golden, "lm", "models")
const runtime = OnnxRuntime.layerCpu({ threads: 2 })

const decoder = new Transformer.DecoderConfig({
  vocabulary: 40,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headWidth: 6,
  feedForward: 24,
  maxPositions: 32,
  ropeTheta: 10_000,
  attentionBias: true,
  queryKeyNorm: false,
  tied: false,
  epsilon: 1e-6
})

const drawn = (seed: number, config = decoder) => {
  const buffer = ParameterBuffer.make(Transformer.parameters(config, Random.normal(seed, 5)))
  // Zero biases would hide a bias in the wrong place.
  for (const { name } of buffer.slots) {
    if (name.endsWith(".bias")) buffer.view("weights", name).forEach((_, i, all) => (all[i] = Math.sin(seed + i)))
  }
  return buffer
}

/** A file with some of its methods replaced; it is of a class, so that spreading it would lose the others. */
const withMethods = (file: FileSystem.File, methods: Partial<FileSystem.File>): FileSystem.File =>
  new Proxy(file, {
    get: (target, key) => {
      const value: unknown = Reflect.get(methods, key) ?? Reflect.get(target, key, target)
      return typeof value === "function" && !(key in methods) ? value.bind(target) : value
    }
  })

const temporary = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

/** Writes a checkpoint of the small decoder. */
const written = Effect.fnUntraced(function*(
  folder: string,
  options: Partial<CheckpointWriter.WriteOptions> = {},
  config = decoder
) {
  yield* CheckpointWriter.write(folder, {
    config: yield* CheckpointConfig.ofDecoder(config),
    weights: CheckpointWriter.weightsOf(drawn(1, config)),
    ...options
  })
})

const loaded = Effect.fnUntraced(function*(folder: string) {
  const opened = yield* CheckpointFolder.open(folder)
  const into = new Map(opened.tensors.map(({ name, size }) => [name, new Float32Array(size)]))
  yield* CheckpointFolder.load(opened, (name) => into.get(name)!)
  return into
})

const valuesOf = (weights: CheckpointWriter.Weights) => new Map([...weights].map(([name, { data }]) => [name, data]))

/** Bytes of every tensor of a folder, by name. */
const stored = (folder: string) => {
  const all = new Map<string, string>()
  for (const file of list(folder).filter((name) => name.endsWith(".safetensors"))) {
    const bytes = readFileSync(join(folder, file))
    const start = 8 + Safetensors.headerLength(bytes, bytes.length)
    for (const [name, { dtype, from, to }] of Safetensors.entries(bytes.subarray(8, start), bytes.length - start)) {
      all.set(name, `${dtype} ${bytes.subarray(start + from, start + to).toString("base64")}`)
    }
  }
  return new Map([...all].toSorted(([a], [b]) => a < b ? -1 : 1))
}

describe("CheckpointFolder on models of transformers", () => {
  if (list(models).length === 0) it.skipIf(true)("no model case is here", () => {})

  for (const name of list(models)) {
    const hf = join(models, name, "hf")
    it.effect(`reads every tensor as it is stored, at once and in parts: ${name}`, () =>
      Effect.gen(function*() {
        const files = list(hf).filter((file) => file.endsWith(".safetensors"))
        const wanted = new Map(files.flatMap((file) => [...tensors(hf, file)].map(([key, { data }]) => [key, data])))
        const found = yield* loaded(hf)
        assert.isAbove(found.size, 5)
        assert.deepStrictEqual(new Set(found.keys()), new Set(wanted.keys()))
        const buffer = ParameterBuffer.make(CheckpointFolder.parameters(yield* CheckpointFolder.open(hf)))
        for (const [key, values] of wanted) {
          assert.deepStrictEqual(found.get(key), values)
          assert.deepStrictEqual(buffer.view("weights", key), values)
        }
      }).pipe(Effect.provide(NodeServices.layer)))

    it.effect(`writes the same bits, in one file and in shards, with its other files: ${name}`, () =>
      Effect.gen(function*() {
        const folder = yield* temporary
        const { config } = yield* CheckpointFolder.open(hf)
        const buffer = ParameterBuffer.make(CheckpointFolder.parameters(yield* CheckpointFolder.open(hf)))
        const weights = CheckpointWriter.weightsOf(buffer)
        for (const [target, shardBytes] of [["one", 1e9], ["several", 20_000]] as const) {
          const path = join(folder, target)
          yield* CheckpointWriter.write(path, { config, weights, shardBytes, tokenizer: hf })
          assert.deepStrictEqual(stored(path), stored(hf))
          assert.deepStrictEqual(json(path, "generation_config.json"), json(hf, "generation_config.json"))
          const shards = list(path).filter((file) => file.endsWith(".safetensors"))
          if (shardBytes === 1e9) assert.deepStrictEqual(shards, ["model.safetensors"])
          else {
            assert.isAbove(shards.length, 1)
            const { metadata, weight_map: map } = json(path, "model.safetensors.index.json")
            assert.deepStrictEqual(new Set(Object.values(map)), new Set(shards))
            assert.deepStrictEqual(new Set(Object.keys(map)), new Set(stored(hf).keys()))
            const bytes = [...stored(hf).values()].reduce(
              (sum, one) => sum + Buffer.from(one.split(" ")[1]!, "base64").length,
              0
            )
            assert.strictEqual(metadata.total_size, bytes)
          }
          assert.deepStrictEqual(
            (yield* CheckpointFolder.open(path)).config.decoder,
            config.decoder
          )
          assert.deepStrictEqual(list(folder).filter((one) => one.includes(".")), [])
        }
      }).pipe(Effect.provide(NodeServices.layer)))
  }
})

describe("CheckpointFolder", () => {
  it.effect("16-bit files hold the nearest numbers", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const before = valuesOf(CheckpointWriter.weightsOf(drawn(1)))
      for (const [dtype, share] of [["BF16", 2 ** -8], ["F16", 2 ** -11]] as const) {
        const path = join(folder, dtype)
        yield* written(path, { dtype })
        const after = yield* loaded(path)
        assert.strictEqual((yield* CheckpointFolder.open(path)).config.dtype, dtype)
        let worst = 0
        for (const [name, values] of before) {
          for (const [i, value] of values.entries()) {
            const error = Math.abs(after.get(name)![i]! - value)
            assert.isAtMost(error, Math.max(share * Math.abs(value), 2 ** -25), `${name}[${i}]`)
            worst = Math.max(worst, error / Math.abs(value || 1))
          }
        }
        assert.isAbove(worst, share / 4)
      }
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("a store begins with the weights of the folder, and frozen parameters stay", () =>
    Effect.gen(function*() {
      const folder = join(yield* temporary, "m")
      yield* written(folder)
      const checkpoint = yield* CheckpointFolder.open(folder)
      const isTrained = (name: string) => name.includes("layers.1")
      const store = yield* ParameterStore.make(CheckpointFolder.parameters(checkpoint, { trainable: isTrained }))
      const before = valuesOf(CheckpointWriter.weightsOf(drawn(1)))
      for (const [name, values] of before) assert.deepStrictEqual(store.buffer.view("weights", name), values)
      store.buffer.flat("gradients").fill(1)
      yield* store.apply(Adam.adamW(Schema.decodeSync(AdamW.AdamWConfig)({})), 0.1)
      for (const [name, values] of before) {
        const same = store.buffer.view("weights", name).every((value, i) => value === values[i])
        assert.strictEqual(same, !isTrained(name), name)
      }
      const trained = join(folder, "..", "trained")
      yield* CheckpointWriter.write(trained, {
        config: checkpoint.config,
        weights: CheckpointWriter.weightsOf(store.buffer)
      })
      assert.deepStrictEqual(yield* loaded(trained), valuesOf(CheckpointWriter.weightsOf(store.buffer)))
    }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, runtime])))

  it.effect("frozen weights of a bfloat16 folder are kept bit by bit in 16 bits, and give the same logits", () =>
    Effect.gen(function*() {
      const folder = join(yield* temporary, "m")
      yield* written(folder, { dtype: "BF16" })
      const opened = yield* CheckpointFolder.open(folder)
      const trainable = (name: string) => name.endsWith("norm.weight")
      const [narrow, wide] = [true, false].map((halves) =>
        ParameterBuffer.make(CheckpointFolder.parameters(opened, { halves, trainable }))
      ) as [ParameterBuffer.ParameterBuffer, ParameterBuffer.ParameterBuffer]
      const rows = [[1, 5, 9, 3, 30, 2]]
      const logits = yield* (yield* Logits.compile(decoder, narrow))(rows)
      assert.deepStrictEqual(logits, yield* (yield* Logits.compile(decoder, wide))(rows))
      const ofNames = stored(folder)
      for (const { name, storage } of narrow.slots) {
        assert.strictEqual(storage, trainable(name) ? "float32" : "bfloat16")
        if (storage === "float32") continue
        const { data } = narrow.tensors("weights")[name]!
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")
        assert.strictEqual(`BF16 ${bytes}`, ofNames.get(name))
      }
      const again = join(folder, "..", "again")
      yield* CheckpointWriter.write(again, {
        config: opened.config,
        weights: CheckpointWriter.weightsOf(narrow)
      })
      assert.deepStrictEqual(stored(again), ofNames)
      const tensor = opened.tensors.find(({ name }) => name === "lm_head.weight")!
      const bytes = readFileSync(tensor.file)
      bytes.writeUInt16LE(0x7f80, tensor.offset + 6)
      writeFileSync(tensor.file, bytes)
      assert.throws(
        () => ParameterBuffer.make(CheckpointFolder.parameters(opened, { halves: true, trainable })).flat("weights"),
        "lm_head.weight[3] is Infinity"
      )
    }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, runtime])))

  it.effect("no more than 1 MiB is read at once, and the weights go to their places", () =>
    Effect.gen(function*() {
      const large = new Transformer.DecoderConfig({ ...decoder, vocabulary: 50_000, width: 64 })
      const folder = join(yield* temporary, "m")
      yield* written(folder, { dtype: "BF16" }, large)
      const opened = yield* CheckpointFolder.open(folder)
      const sizes: Array<number> = []
      const fs = yield* FileSystem.FileSystem
      const watched = FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) =>
          Effect.map(
            fs.open(path, options),
            (file) =>
              withMethods(file, {
                read: (bytes, at) => {
                  sizes.push(bytes.length)
                  return file.read(bytes, at)
                }
              })
          )
      })
      const places = new Map(opened.tensors.map(({ name, size }) => [name, new Float32Array(size)]))
      yield* CheckpointFolder.load(opened, (name) => places.get(name)!).pipe(
        Effect.provideService(FileSystem.FileSystem, watched)
      )
      assert.isAtMost(Math.max(...sizes), 2 ** 20)
      assert.isAbove(sizes.length, opened.tensors.length)
      const whole = Safetensors.decode(readFileSync(join(folder, "model.safetensors")))
      for (const [name, values] of places) assert.deepStrictEqual(values, whole.get(name)!.data as Float32Array)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("copies of a tied output matrix and old rotary frequencies are not read", () =>
    Effect.gen(function*() {
      const tied = new Transformer.DecoderConfig({ ...decoder, tied: true })
      const folder = join(yield* temporary, "m")
      yield* written(folder, {}, tied)
      const file = join(folder, "model.safetensors")
      const all = Safetensors.decode(readFileSync(file))
      all.set("lm_head.weight", { dtype: "F32", shape: [40, 16], data: new Float32Array(640) })
      all.set("model.layers.0.self_attn.rotary_emb.inv_freq", { dtype: "F32", shape: [3], data: new Float32Array(3) })
      writeFileSync(file, Safetensors.encode(all))
      assert.deepStrictEqual(yield* loaded(folder), valuesOf(CheckpointWriter.weightsOf(drawn(1, tied))))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

const edit = (
  folder: string,
  change: (tensors: Map<string, Safetensors.StoredTensor>) => void,
  file = "model.safetensors"
) => {
  const all = Safetensors.decode(readFileSync(join(folder, file)))
  change(all)
  writeFileSync(join(folder, file), Safetensors.encode(all))
}

const editJson = (folder: string, file: string, change: (content: Record<string, unknown>) => void) => {
  const content = json(folder, file)
  change(content)
  writeFileSync(join(folder, file), JSON.stringify(content))
}

const index = "model.safetensors.index.json"

describe("CheckpointFolder refuses", () => {
  const hostile: ReadonlyArray<{
    readonly name: string
    readonly sharded?: boolean
    readonly change: (folder: string) => void
    readonly says: ReadonlyArray<string>
  }> = [
    {
      name: "a folder that is missing",
      change: (f) => rmSync(f, { recursive: true }),
      says: ["config.json is missing"]
    },
    { name: "no config.json", change: (f) => rmSync(join(f, "config.json")), says: ["config.json is missing"] },
    {
      name: "a broken config.json",
      change: (f) => truncateSync(join(f, "config.json"), 30),
      says: ["config.json is not JSON"]
    },
    {
      name: "an unknown architecture",
      change: (f) => editJson(f, "config.json", (c) => (c["model_type"] = "mamba")),
      says: ["config.json: model_type \"mamba\" is not supported", "qwen3"]
    },
    {
      name: "no weights",
      change: (f) => rmSync(join(f, "model.safetensors")),
      says: ["model.safetensors and model.safetensors.index.json are missing", "copy"]
    },
    {
      name: "pickled weights",
      change: (f) => renameSync(join(f, "model.safetensors"), join(f, "pytorch_model.bin")),
      says: ["are missing", "convert pytorch_model.bin"]
    },
    {
      name: "a truncated file",
      change: (f) => truncateSync(join(f, "model.safetensors"), 9000),
      says: ["model.safetensors is not a valid safetensors file", "lies at"]
    },
    {
      name: "a file that ends in its header",
      change: (f) => truncateSync(join(f, "model.safetensors"), 100),
      says: ["the file ends before that"]
    },
    { name: "an empty file", change: (f) => truncateSync(join(f, "model.safetensors"), 0), says: ["has 0 bytes"] },
    {
      name: "a folder as file",
      change: (f) => {
        rmSync(join(f, "model.safetensors"))
        mkdirSync(join(f, "model.safetensors"))
      },
      says: ["model.safetensors"]
    },
    ...[
      "[]",
      "null",
      "{\"a\":1}",
      "{\"a\":null}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
      "{\"a\":{\"dtype\":\"toString\",\"shape\":[],\"data_offsets\":[0,0]}}",
      "nonsense"
    ]
      .map((header) => ({
        name: `the header ${header}`,
        change: (f: string) => {
          const bytes = Buffer.alloc(8 + header.length + 16)
          bytes.writeBigUInt64LE(BigInt(header.length))
          bytes.write(header, 8)
          writeFileSync(join(f, "model.safetensors"), bytes)
        },
        says: ["is not a valid safetensors file", "copy the file"]
      })),
    {
      name: "missing, unknown and wrong tensors, all of which it names",
      change: (f) =>
        edit(f, (all) => {
          all.delete("model.layers.0.self_attn.q_proj.bias")
          all.delete("lm_head.weight")
          all.set("model.layers.7.extra.weight", { dtype: "F32", shape: [1], data: new Float32Array(1) })
          all.set("other", { dtype: "F32", shape: [1], data: new Float32Array(1) })
          all.set("model.norm.weight", { dtype: "F32", shape: [4, 4], data: new Float32Array(16) })
          all.set("model.layers.1.mlp.up_proj.weight", { dtype: "F64", shape: [24, 16], data: new Float64Array(384) })
        }),
      says: [
        "missing: model.layers.0.self_attn.q_proj.bias, lm_head.weight",
        "unknown: ",
        "model.layers.7.extra.weight",
        "other",
        "model.norm.weight is [4, 4], expected [16]",
        "model.layers.1.mlp.up_proj.weight is F64 [24, 16], expected F32, F16 or BF16 [24, 16]"
      ]
    },
    {
      name: "the weights of a model of another size",
      change: (f) =>
        editJson(f, "config.json", (c) => {
          c["num_hidden_layers"] = 3
          delete c["layer_types"]
        }),
      says: ["missing: model.layers.2.input_layernorm.weight"]
    },
    {
      name: "a missing shard",
      sharded: true,
      change: (f) => rmSync(join(f, list(f).find((name) => name.startsWith("model-00002"))!)),
      says: ["names the shards model-00002-of-", "missing"]
    },
    {
      name: "an index that is not JSON",
      sharded: true,
      change: (f) => writeFileSync(join(f, index), "{"),
      says: ["index.json is not JSON"]
    },
    {
      name: "an index without a map",
      sharded: true,
      change: (f) => writeFileSync(join(f, index), "{}"),
      says: ["has no weight_map"]
    },
    {
      name: "a shard outside the folder",
      sharded: true,
      change: (f) =>
        editJson(f, index, (c) => ((c["weight_map"] as Record<string, string>)["lm_head.weight"] = "../m.safetensors")),
      says: ["names \"../m.safetensors\" as the file of lm_head.weight"]
    },
    {
      name: "a tensor that its index does not list",
      sharded: true,
      change: (f) =>
        editJson(f, index, (c) => {
          delete (c["weight_map"] as Record<string, string>)["model.norm.weight"]
        }),
      says: ["holds model.norm.weight, which model.safetensors.index.json does not list"]
    },
    {
      name: "a tensor that its shard lacks",
      sharded: true,
      change: (f) =>
        editJson(f, index, (c) => {
          ;(c["weight_map"] as Record<string, string>)["ghost"] = list(f).find((name) =>
            name.startsWith("model-00001")
          )!
        }),
      says: ["lacks ghost"]
    }
  ]
  for (const { change, name, says, sharded = false } of hostile) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const folder = join(yield* temporary, "m")
        yield* written(folder, sharded ? { shardBytes: 4000 } : {})
        yield* CheckpointFolder.open(folder)
        change(folder)
        const error = yield* Effect.flip(CheckpointFolder.open(folder))
        assert.strictEqual(error._tag, "CheckpointError")
        for (const words of says) assert.include(error.message, words)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  it.effect("weights that are not finite, and files that change after they were opened", () =>
    Effect.gen(function*() {
      const folder = join(yield* temporary, "m")
      yield* written(folder)
      const opened = yield* CheckpointFolder.open(folder)
      const specs = CheckpointFolder.parameters(opened)
      const name = "model.layers.1.mlp.up_proj.weight"
      const bytes = readFileSync(join(folder, "model.safetensors"))
      bytes.writeFloatLE(Number.NaN, opened.tensors.find((tensor) => tensor.name === name)!.offset + 7 * 4)
      writeFileSync(join(folder, "model.safetensors"), bytes)
      const loading = CheckpointFolder.load(opened, (name) =>
        new Float32Array(opened.tensors.find((t) => t.name === name)!.size))
      const error = yield* Effect.flip(loading)
      assert.include(error.message, `${name}[7] is NaN`)
      assert.throws(() =>
        specs[name]!.initialize(new Float32Array(24 * 16)), `${name}[7] is NaN`)
      truncateSync(join(folder, "model.safetensors"), 9000)
      assert.include((yield* Effect.flip(loading)).message, "became shorter")
      rmSync(join(folder, "model.safetensors"))
      assert.include((yield* Effect.flip(loading)).message, "is missing")
      assert.throws(() => specs[name]!.initialize(new Float32Array(24 * 16)), "cannot be read")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("CheckpointWriter", () => {
  it.effect("refuses folders with other files, weights of another model and weights that do not fit", () =>
    Effect.gen(function*() {
      const root = yield* temporary
      const used = join(root, "used")
      mkdirSync(used)
      writeFileSync(join(used, "letter.txt"), "dear")
      for (const replace of [false, true]) {
        const error = yield* Effect.flip(written(used, { replace }))
        assert.include(error.message, "already has files (letter.txt)")
      }
      assert.deepStrictEqual(readdirSync(root), ["used"])
      const folder = join(root, "m")
      const weights = new Map(CheckpointWriter.weightsOf(drawn(1)))
      weights.delete("lm_head.weight")
      assert.include((yield* Effect.flip(written(folder, { weights }))).message, "missing: lm_head.weight")
      const large = drawn(1)
      large.view("weights", "model.norm.weight")[3] = 65_520
      const wide = CheckpointWriter.weightsOf(large)
      const error = yield* Effect.flip(written(folder, { weights: wide, dtype: "F16" }))
      assert.include(error.message, "model.norm.weight[3] is 65520; it is too large for F16")
      assert.isFalse(existsSync(folder))
      yield* written(folder, { weights: wide, dtype: "BF16" })
      large.view("weights", "model.norm.weight")[3] = Number.NaN
      const broken = yield* Effect.flip(written(folder, { weights: wide, replace: true }))
      assert.include(broken.message, "model.norm.weight[3] is NaN")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("copies the files of a tokenizer, and nothing else", () =>
    Effect.gen(function*() {
      const root = yield* temporary
      for (const name of ["tokenizer.json", "merges.txt", "training_args.bin", "README.md"]) {
        writeFileSync(join(root, name), name)
      }
      const folder = join(root, "m")
      yield* written(folder, { tokenizer: root })
      assert.deepStrictEqual(list(folder), ["config.json", "merges.txt", "model.safetensors", "tokenizer.json"])
      assert.strictEqual(readFileSync(join(folder, "merges.txt"), "utf8"), "merges.txt")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("where any of its file operations fails, the folder is as before or complete", () =>
    Effect.gen(function*() {
      const root = yield* temporary
      const fs = yield* FileSystem.FileSystem
      const first = valuesOf(CheckpointWriter.weightsOf(drawn(1)))
      const second = valuesOf(CheckpointWriter.weightsOf(drawn(2)))
      const outcomes = { failed: 0, after: 0 }
      for (let at = 0;; at++) {
        const folder = join(root, `m${at}`)
        yield* written(folder, { shardBytes: 4000 })
        let count = 0
        const counted = <A, R>(method: string, effect: Effect.Effect<A, PlatformError, R>) =>
          Effect.suspend((): Effect.Effect<A, PlatformError, R> =>
            count++ === at
              ? Effect.fail(systemError({ _tag: "Unknown", module: "FileSystem", method, description: "no space" }))
              : effect
          )
        const failing = FileSystem.FileSystem.of({
          ...fs,
          open: (path, options) =>
            Effect.map(
              counted("open", fs.open(path, options)),
              (file) => withMethods(file, { writeAll: (bytes) => counted("write", file.writeAll(bytes)) })
            ),
          rename: (from, to) => counted("rename", fs.rename(from, to)),
          remove: (path, options) => counted("remove", fs.remove(path, options)),
          makeDirectory: (path, options) => counted("mkdir", fs.makeDirectory(path, options))
        })
        const result = yield* written(folder, {
          weights: CheckpointWriter.weightsOf(drawn(2)),
          replace: true
        }).pipe(Effect.provideService(FileSystem.FileSystem, failing), Effect.option)
        const found = yield* loaded(folder)
        if (Option.isSome(result)) assert.deepStrictEqual(found, second)
        else {
          outcomes.failed++
          const isNew = found.get("lm_head.weight")![0] === second.get("lm_head.weight")![0]
          if (isNew) outcomes.after++
          assert.deepStrictEqual(found, isNew ? second : first)
        }
        assert.isFalse(existsSync(`${folder}.partial`) && Option.isSome(result))
        if (count <= at) break
      }
      assert.isAbove(outcomes.failed, 8)
      assert.isAtMost(outcomes.after, 2)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

const python = process.env["SIDEREAL_PYTHON"] ?? "python3"
const hasTransformers = () => spawnSync(python, ["-c", "import torch, transformers"], { stdio: "ignore" }).status === 0

describe("transformers reads what is written", () => {
  const cases: ReadonlyArray<readonly [string, Transformer.DecoderConfig, Partial<CheckpointWriter.WriteOptions>]> = [
    ["qwen2 in shards", decoder, { shardBytes: 4000 }],
    ["qwen2 in bfloat16, tied", new Transformer.DecoderConfig({ ...decoder, tied: true }), { dtype: "BF16" }],
    [
      "qwen3 in float16",
      new Transformer.DecoderConfig({ ...decoder, attentionBias: false, queryKeyNorm: true, ropeTheta: 500 }),
      { dtype: "F16" }
    ],
    [
      "llama with scaled positions",
      new Transformer.DecoderConfig({
        ...decoder,
        attentionBias: false,
        ropeTheta: 300,
        ropeScaling: { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 16 }
      }),
      {}
    ],
    [
      "mistral with a window",
      new Transformer.DecoderConfig({ ...decoder, attentionBias: false, slidingWindow: 3 }),
      {}
    ],
    ["qwen2 with a window", new Transformer.DecoderConfig({ ...decoder, slidingWindow: 4 }), {}]
  ]
  const enlivened = (config: Transformer.DecoderConfig) => {
    const buffer = drawn(3, config)
    for (const { name, shape } of buffer.slots) {
      if (shape.length > 1) buffer.view("weights", name).forEach((value, i, all) => (all[i] = value * 8))
      else if (name.includes("norm")) {
        buffer.view("weights", name).forEach((_, i, all) => (all[i] = 1 + Math.sin(i) / 4))
      }
    }
    return CheckpointWriter.weightsOf(buffer)
  }
  const available = hasTransformers()
  const script = fileURLToPath(new URL("compare_checkpoint.py", import.meta.url))

  /** Writes the logits of a checkpoint beside it, and returns both paths. */
  const withLogits = Effect.fnUntraced(function*(folder: string) {
    const opened = yield* CheckpointFolder.open(folder)
    const { decoder } = opened.config
    const buffer = ParameterBuffer.make(CheckpointFolder.parameters(opened))
    const rows = [1, 2].map((b) => Array.from({ length: 12 }, (_, t) => (b * 7 + t * t * 3) % decoder.vocabulary))
    const logits = yield* (yield* Logits.compile(decoder, buffer))(rows)
    const file = `${folder}.case.safetensors`
    writeFileSync(
      file,
      Safetensors.encode(
        new Map<string, Safetensors.StoredTensor>([
          ["ids", { dtype: "I32", shape: [2, 12], data: Int32Array.from(rows.flat()) }],
          ["logits", { dtype: "F32", shape: [2, 12, decoder.vocabulary], data: logits }]
        ])
      )
    )
    return [folder, file]
  })

  if (!available) it.skipIf(true)("no Python with torch and transformers is here (SIDEREAL_PYTHON)", () => {})
  else {
    it.effect("every family and type, and every model case written again", () =>
      Effect.gen(function*() {
        const root = yield* temporary
        const pairs: Array<string> = []
        for (const [name, config, options] of cases) {
          const folder = join(root, name.replaceAll(" ", "-"))
          yield* written(folder, { weights: enlivened(config), ...options }, config)
          pairs.push(...yield* withLogits(folder))
        }
        for (const name of list(models)) {
          const opened = yield* CheckpointFolder.open(join(models, name, "hf"))
          yield* CheckpointWriter.write(join(root, name), {
            config: opened.config,
            weights: CheckpointWriter.weightsOf(ParameterBuffer.make(CheckpointFolder.parameters(opened)))
          })
          pairs.push(...yield* withLogits(join(root, name)))
        }
        const { status, stderr, stdout } = spawnSync(python, [script, ...pairs], { encoding: "utf8" })
        assert.strictEqual(status, 0, `${stdout}${stderr}`)
        assert.strictEqual(stdout.match(/largest difference/g)!.length, pairs.length / 2)
        // The comparison must be able to fail.
        const wrong = spawnSync(python, [script, pairs[0]!, pairs[3]!], { encoding: "utf8" })
        assert.strictEqual(wrong.status, 1)
      }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, runtime])))
  }
})
