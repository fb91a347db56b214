import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Lora from "../../src/policy/lora/Lora.ts"
import { LoraConfig } from "../../src/policy/lora/LoraConfig.ts"
import * as PeftFolder from "../../src/policy/lora/PeftFolder.ts"
import * as Transformer from "../../src/policy/transformer/Transformer.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import * as FailingFiles from "../run/FailingFiles.ts"

const decoder = Schema.decodeSync(Transformer.DecoderConfig)({ vocabulary: 16, width: 16, layers: 2, feedForward: 24 })
const base = Transformer.parameters(decoder, () => 0)

/** An adapter with drawn tensors. */
const adapterOf = (settings: typeof LoraConfig.Encoded, seed = 1): PeftFolder.Adapter => {
  const config = Schema.decodeSync(LoraConfig)(settings)
  const normal = Random.normal(seed)
  const tensors = new Map([...Lora.shapes(config, base)].map(([name, shape]) => [
    name,
    { dtype: "F32" as const, shape, data: Float32Array.from({ length: shape[0]! * shape[1]! }, normal) }
  ]))
  return { config, tensors, baseModel: "some/model" }
}

const adapter = adapterOf({ rank: 2, alpha: 4, modules: ["q_proj", "down_proj"] })
const [configName, tensorsName] = ["adapter_config.json", "adapter_model.safetensors"]
const name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"

/** A folder with the adapter, whose configuration and tensors are changed. */
const folderWith = Effect.fnUntraced(function*(
  change: Readonly<Record<string, unknown>>,
  tensors: (all: Map<string, Safetensors.StoredTensor>) => void = () => {}
) {
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  yield* PeftFolder.write(folder, adapter, base)
  const [configPath, tensorsPath] = [join(folder, configName), join(folder, tensorsName)]
  writeFileSync(configPath, JSON.stringify({ ...JSON.parse(readFileSync(configPath, "utf8")), ...change }))
  const all = Safetensors.decode(readFileSync(tensorsPath))
  tensors(all)
  writeFileSync(tensorsPath, Safetensors.encode(all))
  return folder
})

const provided = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem | NodeServices.NodeServices | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeServices.layer))

describe("PeftFolder", () => {
  for (
    const [what, settings] of Object.entries(
      {
        "all options": {
          rank: 3,
          alpha: 5.5,
          rsLora: true,
          dropout: 0.25,
          modules: ["v_proj", "up_proj"],
          layers: [1]
        },
        "all layers": { rank: 1 }
      } satisfies Record<string, typeof LoraConfig.Encoded>
    )
  ) {
    it.effect(`reads what it wrote: ${what}`, () =>
      provided(Effect.gen(function*() {
        const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        const own = adapterOf(settings)
        yield* PeftFolder.write(folder, own, base)
        const found = yield* PeftFolder.read(folder, base)
        assert.deepStrictEqual(found.tensors, new Map([...own.tensors].toSorted(([a], [b]) => a < b ? -1 : 1)))
        assert.strictEqual(found.baseModel, "some/model")
        assert.deepStrictEqual(
          { ...found.config, modules: new Set(found.config.modules) },
          { ...own.config, modules: new Set(own.config.modules) }
        )
      })))
  }

  it.effect("reads other spellings of the same", () =>
    provided(Effect.gen(function*() {
      for (
        const change of [
          { target_modules: ["self_attn.q_proj", "mlp.down_proj"] },
          { task_type: null, layers_pattern: "layers", init_lora_weights: "gaussian", inference_mode: false },
          { layers_to_transform: [0, 1] },
          { some_later_option: null, another: false, third: {}, fourth: [] },
          { peft_version: "9.9", auto_mapping: { base_model_class: "Qwen2ForCausalLM" }, revision: "main" }
        ]
      ) {
        const found = yield* PeftFolder.read(yield* folderWith(change), base)
        assert.strictEqual(found.tensors.size, 8, JSON.stringify(change))
      }
      // peft leaves out what is as it is by default.
      const few = yield* folderWith({}, (all) => {
        for (const key of all.keys()) if (key.includes("layers.1.")) all.delete(key)
      })
      writeFileSync(
        join(few, configName),
        JSON.stringify({ peft_type: "LORA", target_modules: ["q_proj", "down_proj"], r: 2, layers_to_transform: 0 })
      )
      const { config } = yield* PeftFolder.read(few, base)
      assert.deepInclude(config, { rank: 2, alpha: 8, rsLora: false, dropout: 0, layers: [0] })
      const all = adapterOf({ rank: 2 })
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      yield* PeftFolder.write(folder, all, base)
      const configPath = join(folder, configName)
      const json = JSON.parse(readFileSync(configPath, "utf8"))
      writeFileSync(configPath, JSON.stringify({ ...json, target_modules: "all-linear" }))
      assert.strictEqual((yield* PeftFolder.read(folder, base)).config.modules.length, 7)
    })))

  const unsupported: Readonly<Record<string, unknown>> = {
    use_dora: true,
    bias: "all",
    lora_bias: true,
    modules_to_save: ["lm_head"],
    peft_type: "IA3",
    task_type: "SEQ_CLS",
    rank_pattern: { q_proj: 4 },
    alpha_pattern: { q_proj: 4 },
    exclude_modules: ["k_proj"],
    fan_in_fan_out: true,
    init_lora_weights: "pissa",
    layer_replication: [[0, 1]],
    layers_pattern: ["blocks"],
    target_parameters: ["mlp.experts.gate_up_proj"],
    trainable_token_indices: [1],
    use_qalora: true,
    an_option_of_tomorrow: 7,
    target_modules: ["q_proj", "down_proj", "lm_head"],
    r: 0,
    lora_alpha: "8",
    lora_dropout: 1,
    use_rslora: "yes",
    layers_to_transform: [0, 7]
  }
  for (const [option, value] of Object.entries(unsupported)) {
    it.effect(`names the option ${option} = ${JSON.stringify(value)}, with a remedy`, () =>
      provided(Effect.gen(function*() {
        const folder = yield* folderWith({ [option]: value })
        const error = yield* Effect.flip(PeftFolder.read(folder, base))
        assert.strictEqual(error.reason._tag, "InvalidAdapter")
        assert.include(error.message, folder)
        assert.include(error.message, option === "layers_to_transform" ? "layer 7 does not exist" : option)
        assert.match(error.message, /; /)
      })))
  }

  it.effect("names all problems at once", () =>
    provided(Effect.gen(function*() {
      const folder = yield* folderWith({ use_dora: true, modules_to_save: ["lm_head"], bias: "all" }, (all) => {
        const { data, shape } = all.get(name)!
        all.delete(name)
        all.set(name.replace("lora_A", "lora_magnitude_vector\u001b[2J"), { dtype: "F32", shape, data })
        all.set(name.replace("layers.0", "layers.1"), { dtype: "F32", shape: shape.toReversed(), data })
        const up = name.replace("lora_A", "lora_B")
        all.set(up, { ...all.get(up)!, data: Float32Array.from(all.get(up)!.data as Float32Array, () => NaN) })
        const integer = name.replace("self_attn.q_proj", "mlp.down_proj")
        all.set(integer, { dtype: "I32", shape: [2, 24], data: new Int32Array(48) })
      })
      const { message, reason } = yield* Effect.flip(PeftFolder.read(folder, base))
      assert.strictEqual(reason._tag === "InvalidAdapter" ? reason.problems.length : 0, 8, message)
      for (
        const words of [
          "use_dora",
          "modules_to_save",
          "bias",
          `${name}" [2, 16] is missing`,
          "[16, 2], expected [2, 16]",
          "belongs to no adapted layer",
          "lora_magnitude_vector\\x1b",
          "has the value NaN at 0",
          "is I32"
        ]
      ) assert.include(message, words)
      assert.notInclude(message, "\u001b")
    })))

  it.effect("refuses what is no adapter for this base", () =>
    provided(Effect.gen(function*() {
      const folder = yield* folderWith({})
      const other = Schema.decodeSync(Transformer.DecoderConfig)({ vocabulary: 16, width: 32, layers: 1 })
      const error = yield* Effect.flip(PeftFolder.read(folder, Transformer.parameters(other, () => 0)))
      assert.include(error.message, "[2, 16], expected [2, 32]")
      assert.include(error.message, "layers.1.self_attn.q_proj.lora_A.weight\" belongs to no adapted layer")
    })))

  const damages: Readonly<Record<string, (folder: string) => void>> = {
    "no folder": (folder) => rmSync(folder, { recursive: true }),
    "no configuration": (folder) => rmSync(join(folder, configName)),
    "no tensors": (folder) => rmSync(join(folder, tensorsName)),
    "a configuration that is a folder": (folder) => {
      rmSync(join(folder, configName))
      mkdirSync(join(folder, configName))
    },
    "a pipe": (folder) => {
      rmSync(join(folder, tensorsName))
      execFileSync("mkfifo", [join(folder, tensorsName)])
    },
    "an endless device": (folder) => {
      rmSync(join(folder, configName))
      execFileSync("ln", ["-s", "/dev/zero", join(folder, configName)])
    },
    "a link to itself": (folder) => {
      rmSync(join(folder, configName))
      execFileSync("ln", ["-s", configName, join(folder, configName)])
    },
    "half a configuration": (folder) => writeFileSync(join(folder, configName), "{\"r\": 2,"),
    "a list": (folder) => writeFileSync(join(folder, configName), "[]"),
    "null": (folder) => writeFileSync(join(folder, configName), "null"),
    "a configuration of two megabytes": (folder) => writeFileSync(join(folder, configName), " ".repeat(2 ** 21)),
    "no bytes of tensors": (folder) => writeFileSync(join(folder, tensorsName), ""),
    "half the tensors": (folder) =>
      writeFileSync(join(folder, tensorsName), readFileSync(join(folder, tensorsName)).subarray(0, -7)),
    "a header of null": (folder) =>
      writeFileSync(
        join(folder, tensorsName),
        Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from("null")])
      ),
    "a header beyond the file": (folder) => writeFileSync(join(folder, tensorsName), Buffer.alloc(64, 0x7f)),
    "a tensor of no shape": (folder) => {
      const json = Buffer.from(JSON.stringify({ [name]: { dtype: "F32", shape: 3, data_offsets: [0, 12] } }))
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(json.length))
      writeFileSync(join(folder, tensorsName), Buffer.concat([length, json, Buffer.alloc(12)]))
    }
  }
  for (const [what, damage] of Object.entries(damages)) {
    it.effect(`does not read ${what}`, () =>
      provided(Effect.gen(function*() {
        const outer = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        const folder = join(outer, "adapter")
        yield* PeftFolder.write(folder, adapter, base)
        damage(folder)
        const error = yield* Effect.flip(PeftFolder.read(folder, base))
        assert.strictEqual(error.reason._tag, "UnreadableAdapter", error.message)
        assert.include(error.message, folder)
        assert.match(error.message, /; (?:pass|save)/)
      })))
  }

  it.effect("are not polluted by names of prototypes", () =>
    provided(Effect.gen(function*() {
      const folder = yield* folderWith({})
      const text = readFileSync(join(folder, configName), "utf8")
      writeFileSync(
        join(folder, configName),
        text.replace("{", "{\"__proto__\": {\"r\": 1}, \"constructor\": 1, \"toString\": true, ")
      )
      const { message } = yield* Effect.flip(PeftFolder.read(folder, base))
      for (const key of ["__proto__", "constructor", "toString"]) assert.include(message, `${key} = `)
    })))

  it.effect("are written only where the tensors are right", () =>
    provided(Effect.gen(function*() {
      const folder = join(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped(), "adapter")
      const less = new Map(adapter.tensors)
      less.delete(name)
      const error = yield* Effect.flip(PeftFolder.write(folder, { ...adapter, tensors: less }, base))
      assert.strictEqual(error._tag, "LoraError")
      assert.include(error.message, `${name}" [2, 16] is missing`)
      assert.isFalse(existsSync(folder))
    })))

  for (const fault of ["fail", "kill"] as const) {
    it.effect(`hold the old adapter, none or the new one, at whatever operation writing ends (${fault})`, () =>
      provided(Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const outer = yield* fs.makeTempDirectoryScoped()
        const next = { ...adapterOf({ rank: 2, alpha: 1, modules: ["q_proj", "down_proj"] }, 2) }
        const seen = new Set<string>()
        for (let at = 0;; at++) {
          const folder = join(outer, String(at))
          yield* PeftFolder.write(folder, adapter, base)
          const { fileSystem, reached } = FailingFiles.make(fs, fault, at)
          yield* Effect.exit(
            PeftFolder.write(folder, next, base).pipe(Effect.provideService(FileSystem.FileSystem, fileSystem))
          )
          const found = yield* Effect.result(PeftFolder.read(folder, base))
          if (found._tag === "Failure") {
            assert.strictEqual(found.failure.reason._tag, "UnreadableAdapter")
            seen.add("none")
          } else {
            const whole = found.success.config.alpha === 4 ? adapter : next
            seen.add(whole === next ? "new" : "old")
            for (const [key, { data }] of whole.tensors) {
              assert.deepStrictEqual(found.success.tensors.get(key)!.data, data, `${key}, operation ${at}`)
            }
          }
          if (!reached()) break
          assert.isBelow(at, 100)
        }
        assert.deepStrictEqual([...seen].toSorted(), ["new", "none", "old"])
      })))
  }
})
